extern alias local;

using System.Net.Http.Json;
using System.Text.Json;
using local::Marketplace.Local.Sidecar;
using Marketplace.TestKit;

namespace Marketplace.Payments.Tests;

/// <summary>The status key <c>payment_status:{order id}</c>, through the sidecar host.</summary>
public sealed class WhenTheStateStoreIsThere
{
    [Fact]
    public async Task The_key_is_processing_for_a_while_then_captured_for_good_and_gone_after_a_refund()
    {
        await using var store = await StateStore.StartAsync();
        await using var till = await Till.OpenAsync(store.Setting);
        await till.ChargeAsync(A.ChargeOf(1_000));                    // the first one pays for every connection
        await till.ProviderAsync("latency", new { ms = 60_000 });
        var order = A.ChargeOf(1_000);

        var charging = till.ChargeAsync(order);
        await Eventually.Async(async () => (await store.ReadAsync(order.OrderId)).Status == "processing", "the charge is under way");
        Assert.NotNull((await store.ReadAsync(order.OrderId)).Expires);

        await till.ProviderAsync("latency", new { ms = 0 });
        await charging;
        Assert.Equal("captured", (await till.ChargeToTheEndAsync(order)).Status);
        Assert.Equal(("captured", null), await store.ReadAsync(order.OrderId));

        await till.RefundAsync(order);
        Assert.Equal((null, null), await store.ReadAsync(order.OrderId));
    }

    [Fact]
    public async Task A_decline_deletes_it()
    {
        await using var store = await StateStore.StartAsync();
        await using var till = await Till.OpenAsync(store.Setting);
        var order = A.ChargeOf(1_000, "pm_card_chargeDeclined");

        Assert.Equal("card_declined", (await till.ChargeAsync(order)).Refusal);

        Assert.Equal((null, null), await store.ReadAsync(order.OrderId));
    }

    [Fact]
    public async Task It_answers_for_a_captured_payment_while_the_database_is_away()
    {
        await using var store = await StateStore.StartAsync();
        await using var till = await Till.OpenAsync(store.Setting);
        var order = A.ChargeOf(1_000);
        var first = await till.ChargeAsync(order);
        var nowhere = new Npgsql.NpgsqlConnectionStringBuilder(till.Payments.ConnectionString) { Port = Ports.Free(), Timeout = 1 }.ConnectionString;
        await using var cutOff = await till.SecondReplicaAsync(store.Setting);
        cutOff.Database.Clear();
        await using (var admin = Npgsql.NpgsqlDataSource.Create(new Npgsql.NpgsqlConnectionStringBuilder(till.Payments.ConnectionString) { Database = "postgres", Pooling = false }.ConnectionString))
        {
            // Nobody gets in any more, as with a server that is failing over.
            var name = new Npgsql.NpgsqlConnectionStringBuilder(nowhere).Database;
            await using var close = admin.CreateCommand($"ALTER DATABASE {name} ALLOW_CONNECTIONS false");
            await close.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
            await using var evict = admin.CreateCommand($"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
            await evict.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        }

        Assert.Equal(first, await Till.ChargeAsync(cutOff.AsNeighbour(), order));
        using var other = await cutOff.AsNeighbour().PostAsJsonAsync("/internal/charges", A.ChargeOf(1_000).ToRequest(), TestContext.Current.CancellationToken);
        Assert.Equal(System.Net.HttpStatusCode.InternalServerError, other.StatusCode);
    }

    private sealed class StateStore(SidecarHost sidecar, string folder, int http, int grpc) : IAsyncDisposable
    {
        private readonly HttpClient client = new() { BaseAddress = new Uri($"http://127.0.0.1:{http}") };

        public (string, string) Setting => ("DAPR_GRPC_ENDPOINT", $"http://127.0.0.1:{grpc}");

        public static async Task<StateStore> StartAsync()
        {
            var folder = Directory.CreateTempSubdirectory("state-").FullName;
            await File.WriteAllTextAsync(Path.Combine(folder, "payment-status.yaml"), """
                apiVersion: dapr.io/v1alpha1
                kind: Component
                metadata:
                  name: payment-status
                spec:
                  type: state.in-memory
                  version: v1
                """, TestContext.Current.CancellationToken);
            var (http, grpc) = (Ports.Free(), Ports.Free());
            var plan = new SidecarPlan(folder, 0, null, null, null, [new SidecarApp("payments", folder, null, http, grpc, [folder])]);
            return new StateStore(await SidecarHost.StartAsync(plan, ct: TestContext.Current.CancellationToken), folder, http, grpc);
        }

        public async Task<(string? Status, string? Expires)> ReadAsync(Guid orderId)
        {
            using var reply = await client.GetAsync($"/v1.0/state/payment-status/payment_status:{orderId}");
            var body = await reply.Content.ReadAsStringAsync();
            return (body.Length == 0 ? null : JsonDocument.Parse(body).RootElement.GetProperty("status").GetString(),
                reply.Headers.TryGetValues("metadata.ttlExpireTime", out var expires) ? expires.First() : null);
        }

        public async ValueTask DisposeAsync()
        {
            client.Dispose();
            await sidecar.DisposeAsync();
            Directory.Delete(folder, recursive: true);
        }
    }
}
