using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.Invocation;

public sealed class WhenFaultsAreOrdered
{
    [Fact]
    public async Task They_are_listed_and_removed_through_the_control_port()
    {
        var port = Ports.Free();
        await using var sidecars = await SidecarsUnderTest.StartAsync("", new AppUnderTest("shop", ControlPort: port));
        using var control = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        Assert.Equal(HttpStatusCode.OK, (await control.GetAsync("/livez")).StatusCode);

        using var created = await control.PostAsJsonAsync("/faults", new { kind = "activity", name = "CapturePayment", mode = "hold", times = 2 });
        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        var id = (await created.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetInt64();

        Assert.Null(sidecars.Host.Faults.Activity("ReserveStock"));
        var fault = sidecars.Host.Faults.Activity("CapturePayment")!;
        var listed = (await control.GetFromJsonAsync<JsonElement>("/faults"))[0];
        Assert.Equal((id, "activity", 1), (listed.GetProperty("id").GetInt64(), listed.GetProperty("kind").GetString(), listed.GetProperty("hits").GetInt32()));

        Assert.False(fault.Released.IsCompleted);
        using var deleted = await control.DeleteAsync("/faults");
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        await fault.Released.WaitAsync(TimeSpan.FromSeconds(5));
        Assert.Empty(sidecars.Host.Faults.All);

        using var unknown = await control.PostAsJsonAsync("/faults", new { kind = "weather", mode = "rain" });
        Assert.Equal(HttpStatusCode.BadRequest, unknown.StatusCode);
    }

    [Fact]
    public void A_fault_strikes_as_often_as_ordered_also_at_once()
    {
        var faults = new Local.Sidecar.Faults();
        Assert.Null(faults.TryAdd(new Local.Sidecar.Fault { Kind = "deliver", Topic = "order.confirmed", App = "fulfilment", Mode = "twice", Times = 3 }, out _));
        var struck = new int[1];
        Parallel.For(0, 50, _ =>
        {
            if (faults.Deliver("order.confirmed", "fulfilment") is not null) Interlocked.Increment(ref struck[0]);
        });
        Assert.Equal(3, struck[0]);
        Assert.Null(faults.Deliver("order.created", "fulfilment"));
    }
}
