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
