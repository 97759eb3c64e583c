using System.Net;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Hosting.Tests;

public sealed class WhenAServiceStartsAndStops
{
    [Fact]
    public async Task The_database_is_where_the_secret_store_says_and_a_sidecar_that_is_late_is_waited_for()
    {
        await using var sidecar = await FakeSidecar.StartAsync();
        var connection = await TestDatabase.CreateAsync(typeof(SampleApp).Assembly);
        var settings = sidecar.Settings(("ConnectionStrings:lamps", null));

        var starting = SampleApp.StartAsync(connection, settings);
        await Eventually.Async(() => sidecar.Refused >= 2, "the service asks and asks again");
        Assert.False(starting.IsCompleted);
        sidecar.Keep("lamps-db", connection);

        await using var app = await starting;
        Assert.Equal(HttpStatusCode.OK, (await app.As(null).GetAsync("/readyz")).StatusCode);
    }

    [Fact]
    public async Task On_a_database_that_was_never_migrated_it_does_not_start()
    {
        var empty = await TestDatabase.CreateAsync();

        var refused = await Assert.ThrowsAsync<DatabaseNotReadyException>(() => SampleApp.StartAsync(empty));

        Assert.Contains("migrate", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_listens_where_its_sidecar_expects_it_and_cuts_off_a_body_that_did_not_say_how_long_it_is()
    {
        var port = Ports.Free();
        await using var app = await SampleApp.StartAsync(settings: new() { ["APP_PORT"] = $"{port}" });
        using var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        using var endless = new HttpRequestMessage(HttpMethod.Post, "/turns")
        {
            Content = SampleApp.Json($$"""{"times":1,"reason":"{{new string('x', 3_000_000)}}"}"""),
            Headers = { TransferEncodingChunked = true, ExpectContinue = true },
        };

        var reply = await client.SendAsync(endless);

        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, reply.StatusCode);
        Assert.Equal("application/problem+json", reply.Content.Headers.ContentType!.MediaType);
        Assert.Equal(HttpStatusCode.OK, (await client.PostAsync("/turns", SampleApp.Json("""{"times":1,"reason":"x"}"""))).StatusCode);
    }

    [Fact]
    public async Task On_a_stop_readiness_fails_first_while_requests_are_still_answered()
    {
        await using var app = await SampleApp.StartAsync(settings: new() { ["Shutdown:ReadinessDelay"] = "00:00:02" });
        using var client = app.As(null);

        var stopping = app.StopAsync();
        await Eventually.Async(async () => (await client.GetAsync("/readyz")).StatusCode == HttpStatusCode.ServiceUnavailable, "readiness fails");

        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/livez")).StatusCode);
        Assert.False(stopping.IsCompleted);
        await stopping;
    }
}
