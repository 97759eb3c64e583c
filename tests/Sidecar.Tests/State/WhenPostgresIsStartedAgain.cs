using System.Diagnostics;
using Dapr.Client;
using Marketplace.TestKit;
using Npgsql;
using Xunit;

namespace Marketplace.Sidecar.Tests.State;

/// <summary>Told by its effect: the connections are gone, the server is there. The first call after it is as good as any.</summary>
[EverySidecar]
public sealed class WhenPostgresIsStartedAgain : IClassFixture<PostgresFixture>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory, InlineData("v1"), InlineData("v2")]
    public async Task Nobody_meets_a_connection_of_before(string version)
    {
        var database = await TestDatabase.CreateAsync();
        var address = new NpgsqlConnectionStringBuilder(database);
        await using var sidecars = await SidecarsUnderTest.StartAsync($$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: store}
            spec:
              type: state.postgresql
              version: {{version}}
              metadata: [{name: connectionString, value: "host={{address.Host}} port={{address.Port}} user={{address.Username}} database={{address.Database}}"}]
            """, new AppUnderTest("shop"));
        using var dapr = sidecars.Client();
        await dapr.SaveStateAsync("store", "kept", 1, cancellationToken: Ct);

        foreach (var call in (Func<Task>[])[
            async () => Assert.Equal(1, await dapr.GetStateAsync<int>("store", "kept", cancellationToken: Ct)),
            async () => Assert.Equal(["1"], (await dapr.GetBulkStateAsync("store", ["kept"], parallelism: null, cancellationToken: Ct)).Select(item => item.Value)),
            () => dapr.SaveStateAsync("store", "other", 1, cancellationToken: Ct),
            () => dapr.ExecuteStateTransactionAsync("store", [new("a", "1"u8.ToArray(), StateOperationType.Upsert), new("b", "2"u8.ToArray(), StateOperationType.Upsert)], cancellationToken: Ct),
            () => dapr.DeleteStateAsync("store", "other", cancellationToken: Ct)])
        {
            var used = Stopwatch.GetTimestamp();
            await using (var other = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(database) { Pooling = false }.ConnectionString))
            {
                await other.OpenAsync(Ct);
                await using var end = new NpgsqlCommand("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()", other);
                Assert.NotEqual(0L, await end.ExecuteScalarAsync(Ct));
            }

            await Eventually.Async(() => Task.FromResult(Stopwatch.GetElapsedTime(used) > TimeSpan.FromSeconds(1.1)), "it was left alone for as long as a server takes to start");
            await call();
        }
    }
}
