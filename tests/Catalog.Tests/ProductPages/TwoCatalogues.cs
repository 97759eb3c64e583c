extern alias local;

using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using Garnet;
using local::Marketplace.Local.Redis;
using local::Marketplace.Local.Sidecar;
using Marketplace.Catalog.ProductPages;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Xunit;

namespace Marketplace.Catalog.Tests.ProductPages;

/// <summary>
/// Two replicas of the catalogue on one database and one state store, through a sidecar. The first, where the seller is, never gets to withdraw
/// a page, as if it died right after each commit: the second does, with readers of its own about.
/// </summary>
public sealed class TwoCatalogues : IAsyncDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("product-pages-").FullName;
    private readonly int redisPort = Ports.Free();
    private readonly MeterListener meters = new();
    private readonly ConcurrentQueue<string> missing = new();
    private readonly ActivityListener statements;
    private readonly Guid bruno = Guid.CreateVersion7();
    private GarnetServer? redis;
    private SidecarHost? sidecars;
    private int reads;

    private TwoCatalogues() => statements = new ActivityListener
    {
        ShouldListenTo = source => source.Name == "Npgsql",
        Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
        ActivityStopped = activity =>
        {
            // Statements by id, of this database: other tests are about.
            if (activity.Tags.Any(tag => tag.Value is { } text && text.Contains("FROM listings", StringComparison.Ordinal)) && IsOurs(activity))
                Interlocked.Increment(ref reads);
        },
    };

    public ServiceUnderTest<Program> First { get; private set; } = null!;

    public ServiceUnderTest<Program> Second { get; private set; } = null!;

    public HttpClient Seller => First.As(TestTokens.Seller(Guid.CreateVersion7(), bruno, "Bruno"));

    /// <summary>How often the database was asked for listings by either.</summary>
    public int Reads => Volatile.Read(ref reads);

    /// <summary>What the metric of answers that do without something was counted for.</summary>
    public IReadOnlyCollection<string> Missing => missing;

    public static async Task<TwoCatalogues> OpenAsync()
    {
        var two = new TwoCatalogues();
        try
        {
            await two.StartAsync();
            return two;
        }
        catch
        {
            await two.DisposeAsync();
            throw;
        }
    }

    public async Task<Product> ListAsync(long minor = 1000) => await CatalogFixture.ListAsync(Seller, minor: minor);

    public async Task ChangePriceAsync(Guid productId, long minor)
    {
        using var seller = Seller;
        using var request = new HttpRequestMessage(HttpMethod.Put, new Uri($"/api/v1/products/{productId}", UriKind.Relative)) { Content = JsonContent.Create(CatalogFixture.Lamp(minor: minor)) };
        request.Headers.TryAddWithoutValidation("If-Match", "*");
        using var reply = await seller.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.True(reply.IsSuccessStatusCode, await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }

    public static async Task<(HttpStatusCode Status, long Price, string? Degraded)> LookAsync(HttpClient shopper, Guid productId)
    {
        using var reply = await shopper.GetAsync(new Uri($"/api/v1/products/{productId}", UriKind.Relative), TestContext.Current.CancellationToken);
        var price = reply.StatusCode == HttpStatusCode.OK ? (await reply.Content.ReadFromJsonAsync<Product>(TestContext.Current.CancellationToken))!.Price.Minor : 0;
        return (reply.StatusCode, price, reply.Headers.TryGetValues("X-Degraded", out var degraded) ? string.Join(", ", degraded) : null);
    }

    public static IPageShelf ShelfOf(ServiceUnderTest<Program> catalog) => catalog.Services.GetRequiredService<IPageShelf>();

    public static GatedShelf GateOf(ServiceUnderTest<Program> catalog) => (GatedShelf)ShelfOf(catalog);

    public Task BecomesAsync(Guid productId, Shelf shelf, TimeSpan? within = null) => Eventually.Async(
        async () => (await ShelfOf(First).TakeAsync(productId, TestContext.Current.CancellationToken)).Shelf == shelf, $"the place on the shelf is {shelf}", within);

    /// <summary>A reader leaves what it read; where the store was too slow for that the next one does.</summary>
    public Task IsLeftByReadersAsync(Guid productId) => Eventually.Async(
        async () =>
        {
            await LookAsync(First.As(null), productId);
            return (await ShelfOf(First).TakeAsync(productId, TestContext.Current.CancellationToken)).Shelf == Shelf.Held;
        },
        "the page is on the shelf");

    public void StopStore()
    {
        redis?.Dispose();
        redis = null;
    }

    public void StartStore() => redis = RedisCommand.Start(redisPort, Path.Combine(folder, "redis"));

    /// <summary>Nobody gets in any more, as with a server that is failing over.</summary>
    public async Task CloseDatabaseAsync(bool closed)
    {
        var name = new NpgsqlConnectionStringBuilder(First.ConnectionString).Database;
        await using var admin = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(First.ConnectionString) { Database = "postgres", Pooling = false }.ConnectionString);
        await using var close = admin.CreateCommand($"ALTER DATABASE {name} ALLOW_CONNECTIONS {(closed ? "false" : "true")}");
        await close.ExecuteNonQueryAsync();
        await using var evict = admin.CreateCommand($"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        await evict.ExecuteNonQueryAsync();
    }

    public async ValueTask DisposeAsync()
    {
        statements.Dispose();
        meters.Dispose();
        if (Second is not null) await Second.DisposeAsync();
        if (First is not null) await First.DisposeAsync();
        if (sidecars is not null) await sidecars.DisposeAsync();
        StopStore();
        Directory.Delete(folder, recursive: true);
    }

    private async Task StartAsync()
    {
        StartStore();
        var components = Directory.CreateDirectory(Path.Combine(folder, "components")).FullName;
        await File.WriteAllTextAsync(Path.Combine(components, "cache.yaml"), $"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata:
              name: cache
            spec:
              type: state.redis
              version: v1
              metadata:
                - name: redisHost
                  value: 127.0.0.1:{redisPort}
            """);
        var (http, grpc) = (Ports.Free(), Ports.Free());
        sidecars = await SidecarHost.StartAsync(new SidecarPlan(folder, 0, null, null, null, [new SidecarApp("catalog", folder, null, http, grpc, [components])]));

        First = await StartAsync(http, grpc, withdraws: false, null);
        Second = await StartAsync(http, grpc, withdraws: true, First.ConnectionString);
        await BecomesAsync(Guid.NewGuid(), Shelf.Empty);        // the first call makes the connections, which takes longer than a page is waited for

        ActivitySource.AddActivityListener(statements);
        var ours = new[] { First, Second }.Select(catalog => catalog.Services.GetRequiredService<IMeterFactory>()).ToList();
        meters.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Name == "marketplace.degraded" && ours.Contains(instrument.Meter.Scope))
                listener.EnableMeasurementEvents(instrument);
        };
        meters.SetMeasurementEventCallback<long>((_, _, tags, _) => missing.Enqueue((string)tags[0].Value!));
        meters.Start();
    }

    private async Task<ServiceUnderTest<Program>> StartAsync(int http, int grpc, bool withdraws, string? connectionString)
    {
        var catalog = await ServiceUnderTest<Program>.StartAsync(
            "catalog",
            calls: ["identity"],
            settings: new Dictionary<string, string?>
            {
                ["DAPR_HTTP_PORT"] = http.ToString(CultureInfo.InvariantCulture),
                ["DAPR_GRPC_PORT"] = grpc.ToString(CultureInfo.InvariantCulture),
                ["Outbox:Lanes"] = withdraws.ToString(),
            },
            replace: services => services.AddSingleton<StateStoreShelf>().AddSingleton<IPageShelf>(provider => new GatedShelf(provider.GetRequiredService<StateStoreShelf>())),
            connectionString: connectionString);
        catalog.Neighbour("identity").On(HttpMethod.Get, $"/api/v1/sellers/{bruno}", new { sellerId = bruno, displayName = "Bruno's Lamps" });
        return catalog;
    }

    private bool IsOurs(Activity activity) =>
        First?.ConnectionString is { } ours && activity.Tags.Any(tag => tag.Value == new NpgsqlConnectionStringBuilder(ours).Database);
}

/// <summary>The shelf, with a hand on the arm of whoever puts something there.</summary>
public sealed class GatedShelf(IPageShelf shelf) : IPageShelf
{
    public Func<Task> BeforePut { get; set; } = () => Task.CompletedTask;

    public Task<Found> TakeAsync(Guid productId, CancellationToken ct) => shelf.TakeAsync(productId, ct);

    public async Task PutAsync(Guid productId, RenderedPage page, CancellationToken ct)
    {
        await BeforePut();
        await shelf.PutAsync(productId, page, ct);
    }

    public Task WithdrawAsync(Guid productId, CancellationToken ct) => shelf.WithdrawAsync(productId, ct);
}
