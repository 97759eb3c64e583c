using System.Net.Http.Json;
using System.Security.Claims;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Inventory.Allotments;
using Marketplace.Inventory.Reservations;
using Marketplace.Inventory.Stock;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Time.Testing;
using Npgsql;

[assembly: AssemblyFixture(typeof(PostgresFixture))]

namespace Marketplace.Inventory.Tests;

/// <summary>The service on a database of its own, spoken to as its neighbours do. Background loops stand still: tests run them when they want.</summary>
public sealed class Warehouse : IAsyncDisposable
{
    public static readonly Guid BrunosShop = Guid.CreateVersion7();

    private readonly ServiceUnderTest<Program> service;
    private readonly HttpClient client;

    private Warehouse(ServiceUnderTest<Program> service, FakeTimeProvider clock)
    {
        this.service = service;
        client = service.AsNeighbour();
        Clock = clock;
    }

    public FakeTimeProvider Clock { get; }

    public ServiceUnderTest<Program> Service => service;

    public ReservationStore Reservations => service.Services.GetRequiredService<ReservationStore>();

    public static async Task<Warehouse> OpenAsync(string? connectionString = null, IReadOnlyDictionary<string, string?>? settings = null)
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        var all = new Dictionary<string, string?> { ["Reservations:SweepEvery"] = "1.00:00:00", ["Stock:AnnounceEvery"] = "1.00:00:00", ["Reservations:ConflictPause"] = "00:00:00" };
        foreach (var (key, value) in settings ?? new Dictionary<string, string?>()) all[key] = value;
        return new Warehouse(await ServiceUnderTest<Program>.StartAsync(
            "inventory", calls: ["catalog", "ordering"], settings: all, replace: services => services.Replace(ServiceDescriptor.Singleton<TimeProvider>(clock)), connectionString: connectionString), clock);
    }

    /// <summary>A second process on the same tables.</summary>
    public Task<Warehouse> SecondReplicaAsync(IReadOnlyDictionary<string, string?>? settings = null) => OpenAsync(service.ConnectionString, settings);

    public async Task<Guid> HasAsync(params (string Warehouse, int Units)[] shelves)
    {
        var product = Guid.CreateVersion7();
        await CountAsync(product, shelves);
        return product;
    }

    public async Task<CountOutcome> CountAsync(Guid product, params (string Warehouse, int Units)[] shelves)
    {
        var bruno = new ClaimsPrincipal(new ClaimsIdentity([new Claim("seller_id", BrunosShop.ToString())], "test"));
        return await service.Services.GetRequiredService<StockStore>().CountAsync(
            SellerId.Of(bruno), [.. shelves.Select(shelf => new CountedLine(product, shelf.Warehouse, shelf.Units))], default);
    }

    public Task<ReserveReply> ReserveAsync(Guid orderId, params (Guid Product, int Quantity)[] lines) => ReserveAsync(orderId, 1, lines);

    public async Task<ReserveReply> ReserveAsync(Guid orderId, int attempt, params (Guid Product, int Quantity)[] lines)
    {
        using var response = await PostReserveAsync(orderId, attempt, lines);
        response.EnsureSuccessStatusCode();
        return (await response.Content.ReadFromJsonAsync<ReserveReply>())!;
    }

    public Task<HttpResponseMessage> PostReserveAsync(Guid orderId, int attempt, params (Guid Product, int Quantity)[] lines) =>
        client.PostAsJsonAsync("/internal/reservations", new { orderId, attempt, lines = lines.Select(line => new { productId = line.Product, quantity = line.Quantity }) });

    /// <summary>For an order of a sale.</summary>
    public async Task<ReserveReply> ReserveOfSaleAsync(Guid saleId, Guid orderId, Guid product, int quantity = 1, int attempt = 1)
    {
        using var response = await client.PostAsJsonAsync("/internal/reservations", new { orderId, attempt, lines = (object[])[new { productId = product, quantity }], saleId });
        response.EnsureSuccessStatusCode();
        return (await response.Content.ReadFromJsonAsync<ReserveReply>())!;
    }

    public async Task<AllotmentReply> AllotAsync(Guid saleId, Guid product, int units, long version = 1, Guid? seller = null)
    {
        using var response = await PutAllotmentAsync(saleId, new { productId = product, sellerId = seller ?? BrunosShop, units, version });
        response.EnsureSuccessStatusCode();
        return (await response.Content.ReadFromJsonAsync<AllotmentReply>())!;
    }

    public async Task<HttpResponseMessage> PutAllotmentAsync(Guid saleId, object body)
    {
        using var sales = service.AsNeighbour("flashsales");
        return await sales.PutAsJsonAsync($"/internal/allotments/{saleId}", body);
    }

    public async Task<(int Units, int Taken, int Committed)> AllotmentAsync(Guid saleId)
    {
        using var sales = service.AsNeighbour("flashsales");
        var figures = await sales.GetFromJsonAsync<AllotmentFigures>($"/internal/allotments/{saleId}");
        return (figures!.Units, figures.Taken, figures.Committed);
    }

    public async Task ReleaseAsync(Guid orderId, int attempt = 1)
    {
        using var response = await client.PostAsJsonAsync($"/internal/reservations/{orderId}/{attempt}/release", new { reason = "card_declined" });
        response.EnsureSuccessStatusCode();
    }

    public async Task<CommitReply> CommitAsync(Guid orderId, int attempt = 1)
    {
        using var response = await PostCommitAsync(orderId, attempt);
        response.EnsureSuccessStatusCode();
        return (await response.Content.ReadFromJsonAsync<CommitReply>())!;
    }

    public Task<HttpResponseMessage> PostCommitAsync(Guid orderId, int attempt = 1) => client.PostAsync($"/internal/reservations/{orderId}/{attempt}/commit", null);

    /// <summary>Ordering's answer to the sweep, whatever it is asked about.</summary>
    public void OrderingSays(string status, bool needsStock) => service.Neighbour("ordering").On(HttpMethod.Get, "/internal/orders/*", new { status, needsStock });

    public void OrderingIsSilent() => service.Neighbour("ordering").On(HttpMethod.Get, "/internal/orders/*", _ => FakeReply.Broken);

    public Task<int> SweepAsync() => service.Services.GetRequiredService<ExpirySweep>().SweepAsync(default);

    public Task<bool> AnnounceAsync() => service.Services.GetRequiredService<LevelAnnouncer>().AnnounceAsync(default);

    public async Task<(int OnHand, int Reserved)> LevelAsync(Guid product, string? warehouse = null)
    {
        await using var read = service.Database.CreateCommand(
            "SELECT sum(stock)::integer, sum(reserved)::integer FROM stock_levels WHERE product_id = $1 AND ($2::text IS NULL OR warehouse = $2)");
        read.Parameters.Add(new() { Value = product });
        read.Parameters.Add(new() { Value = (object?)warehouse ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text });
        await using var reader = await read.ExecuteReaderAsync();
        Assert.True(await reader.ReadAsync());
        return (reader.GetInt32(0), reader.GetInt32(1));
    }

    /// <summary>From now on whoever changes this table loses the connection when committing.</summary>
    public Task CutOffAtCommitAsync(string table) => ExecuteAsync($"""
        CREATE OR REPLACE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER cut_off AFTER UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut_off();
        """);

    public Task ConnectAgainAsync(string table) => ExecuteAsync($"DROP TRIGGER cut_off ON {table}");

    public async Task ExecuteAsync(string sql)
    {
        await using var command = service.Database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    public Task<IReadOnlyList<TEvent>> EventsAsync<TEvent>() where TEvent : DomainEvent => service.EventsAsync<TEvent>();

    /// <summary>What came and went is what lies there, and what is counted as held is held by an order or set aside for a sale.</summary>
    public async Task BooksBalanceAsync()
    {
        Assert.Equal(0L, await service.ScalarAsync<long>("""
            SELECT count(*) FROM stock_levels s
            WHERE s.stock <> (SELECT coalesce(sum(m.quantity), 0) FROM movements m WHERE m.product_id = s.product_id AND m.warehouse = s.warehouse)
            """));
        Assert.Equal(0L, await service.ScalarAsync<long>("""
            SELECT count(*) FROM stock_levels s
            WHERE s.reserved <> (SELECT coalesce(sum(r.quantity), 0) FROM reservations r JOIN reservation_attempts a USING (order_id, attempt)
                                 WHERE a.state = 'held' AND a.sale_id IS NULL AND r.product_id = s.product_id AND r.warehouse = s.warehouse)
                              + (SELECT coalesce(sum(l.allotted - l.committed), 0) FROM allotment_levels l JOIN allotments o USING (sale_id)
                                 WHERE o.product_id = s.product_id AND l.warehouse = s.warehouse)
            """));
        Assert.Equal(0L, await service.ScalarAsync<long>("""
            SELECT count(*) FROM allotment_levels l
            CROSS JOIN LATERAL (SELECT coalesce(sum(r.quantity) FILTER (WHERE a.state IN ('held', 'committed')), 0) AS taken,
                                       coalesce(sum(r.quantity) FILTER (WHERE a.state = 'committed'), 0) AS committed
                                FROM reservations r JOIN reservation_attempts a USING (order_id, attempt)
                                WHERE a.sale_id = l.sale_id AND r.warehouse = l.warehouse) of_orders
            WHERE l.taken <> of_orders.taken OR l.committed <> of_orders.committed
            """));
    }

    public async ValueTask DisposeAsync()
    {
        client.Dispose();
        await service.DisposeAsync();
    }
}

public sealed record ReserveReply(string? Refusal, IReadOnlyList<Shortage> Shortages, IReadOnlyList<Allocation> Allocations, DateTimeOffset? ExpiresAt);
