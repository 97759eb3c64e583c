using System.Net;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Sidecar.Tests.Invocation;

[EverySidecar]
public sealed class WhenAnAppHasTwoInstances
{
    [Fact]
    public async Task Calls_are_shared_and_the_death_of_one_is_not_felt()
    {
        var one = await TestApp.StartAsync(app => app.MapGet("/who", () => "one"));
        await using var two = await TestApp.StartAsync(app => app.MapGet("/who", () => "two"));
        await using var sidecars = await SidecarsUnderTest.StartAsync("", new AppUnderTest("caller"), new AppUnderTest("callee", one.Port), new AppUnderTest("callee", two.Port));
        await sidecars.ReadyAsync();
        using var http = sidecars.Http();

        var answers = new List<string>();
        for (var i = 0; i < 10; i++)
            answers.Add(await http.GetStringAsync("/v1.0/invoke/callee/method/who"));
        Assert.Equal(5, answers.Count(answer => answer == "one"));
        Assert.Equal(5, answers.Count(answer => answer == "two"));

        await one.DisposeAsync();
        for (var i = 0; i < 4; i++)
            Assert.Equal("two", await http.GetStringAsync("/v1.0/invoke/callee/method/who"));
        if (SidecarsUnderTest.Kind == SidecarKind.Local) await Eventually.Async(() => !sidecars.Host.Instances[1].Channel.IsHealthy, "the dead instance is noticed");

        await using var again = await TestApp.StartAsync(app => app.MapGet("/who", () => "again"), one.Port);
        await Eventually.Async(async () => await http.GetStringAsync("/v1.0/invoke/callee/method/who") == "again", "the restarted instance gets calls");
    }

    [Fact]
    public async Task Nothing_is_sent_before_the_first_good_probe_and_healthz_waits_for_the_port()
    {
        var well = false;
        var port = Ports.Free();
        await using var sidecars = await SidecarsUnderTest.StartAsync("",
            new AppUnderTest("caller"), new AppUnderTest("callee", port, new AppHealthCheck("/livez", TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(5), 2)));
        using var http = sidecars.Http();
        using var own = sidecars.Http(1);

        using (var early = await own.GetAsync("/v1.0/healthz"))
            Assert.Equal(HttpStatusCode.InternalServerError, early.StatusCode);
        using (var outbound = await own.GetAsync("/v1.0/healthz/outbound"))
            Assert.Equal(HttpStatusCode.NoContent, outbound.StatusCode);

        await using var app = await TestApp.StartAsync(
            server =>
            {
                server.MapGet("/livez", () => well ? Results.Ok() : Results.StatusCode(503));
                server.MapGet("/who", () => "me");
            },
            port);
        await Eventually.Async(async () => (await own.GetAsync("/v1.0/healthz")).StatusCode == HttpStatusCode.NoContent, "the port is open");
        using (var unwell = await http.GetAsync("/v1.0/invoke/callee/method/who"))
            Assert.Contains("app is not in a healthy state", await unwell.Content.ReadAsStringAsync());

        well = true;
        await Eventually.Async(async () => (await http.GetAsync("/v1.0/invoke/callee/method/who")).IsSuccessStatusCode, "one good probe is enough");

        well = false;
        await Eventually.Async(async () => !(await http.GetAsync("/v1.0/invoke/callee/method/who")).IsSuccessStatusCode, "two bad probes end it");
    }
}
