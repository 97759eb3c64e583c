using System.Security.Cryptography;
using Marketplace.FlashSales.Sales;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Time.Testing;
using Npgsql;

[assembly: AssemblyFixture(typeof(PostgresFixture))]

namespace Marketplace.FlashSales.Tests;

/// <summary>
/// The service on a database of its own, at a time of its own. Background loops stand still: tests run them when they want. Tokens last for
/// days, so that the clock may be moved.
/// </summary>
public sealed class FlashSalesFixture : IAsyncDisposable
{
    public static readonly Guid Bruno = Guid.CreateVersion7();
    public static readonly Guid BrunosShop = Guid.CreateVersion7();
    public static readonly string TicketKey = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

    private static readonly TimeSpan TokensLast = TimeSpan.FromDays(3);

    private FlashSalesFixture(ServiceUnderTest<Program> service, TimeProvider time) => (Service, Time) = (service, time);

    public ServiceUnderTest<Program> Service { get; }

    public TimeProvider Time { get; }

    /// <summary>To be moved; fails in a fixture that was opened on real time.</summary>
    public FakeTimeProvider Clock => (FakeTimeProvider)Time;

    public DateTimeOffset Now => Time.GetUtcNow();

    /// <param name="connectionString">Another replica's database.</param>
    /// <param name="time">Without: a clock that starts now and stands still.</param>
    public static async Task<FlashSalesFixture> OpenAsync(
        string? connectionString = null, TimeProvider? time = null, IReadOnlyDictionary<string, string?>? settings = null, Action<IServiceCollection>? replace = null)
    {
        time ??= new FakeTimeProvider(DateTimeOffset.UtcNow);
        var all = new Dictionary<string, string?>
        {
            ["QueueTickets:Keys"] = TicketKey,
            ["Allotments:KeepEvery"] = "1.00:00:00",
            ["WaitingRoom:LookEvery"] = "1.00:00:00",
            ["Claims:SweepEvery"] = "1.00:00:00",
        };
        foreach (var (key, value) in settings ?? new Dictionary<string, string?>()) all[key] = value;
        var service = await ServiceUnderTest<Program>.StartAsync(
            "flashsales", calls: ["catalog", "inventory", "identity", "payments", "ordering"], settings: all,
            replace: services =>
            {
                services.Replace(ServiceDescriptor.Singleton(time));
                replace?.Invoke(services);
            },
            connectionString: connectionString);
        return new FlashSalesFixture(service, time);
    }

    /// <summary>A second process on the same tables, at the same time.</summary>
    public Task<FlashSalesFixture> SecondReplicaAsync(IReadOnlyDictionary<string, string?>? settings = null, Action<IServiceCollection>? replace = null) =>
        OpenAsync(Service.ConnectionString, Time, settings, replace);

    public T Get<T>() where T : notnull => Service.Services.GetRequiredService<T>();

    public FakeNeighbour Neighbour(string appId) => Service.Neighbour(appId);

    public HttpClient AsShopper(Guid id, string name = "Ada") =>
        Service.As(TestTokens.Issue(id, ["buyer"], new() { ["email"] = $"{name.ToLowerInvariant()}@example.com", ["name"] = name }, TokensLast));

    public HttpClient AsGuest(Guid id) => Service.As(TestTokens.Issue(id, ["guest"], expiresIn: TokensLast));

    public HttpClient AsSeller(Guid? sellerId = null) => Service.As(TestTokens.Issue(
        Bruno, ["buyer", "seller"], new() { ["seller_id"] = (sellerId ?? BrunosShop).ToString(), ["email"] = "bruno@example.com", ["name"] = "Bruno" }, TokensLast));

    public HttpClient AsOperator() => Service.As(TestTokens.Issue(
        Guid.Parse("0198a000-0000-7000-8000-00000000000a"), ["operator"], new() { ["email"] = "operator@marketplace.local", ["name"] = "Operator" }, TokensLast));

    /// <summary>
    /// A sale as it stands once inventory has set its units aside: from <paramref name="startsIn"/> on (before now for a running one), for
    /// <paramref name="lasts"/>.
    /// </summary>
    public async Task<Sale> HasSaleAsync(
        int units = 100, TimeSpan? startsIn = null, TimeSpan? lasts = null, int limitPerCustomer = 1, int admissionRate = 1000, int insideLimit = 1000,
        int admissionSeconds = 120, int? waitingList = null, int shards = 1, string status = SaleStatus.Scheduled, Guid? sellerId = null, Guid? productId = null)
    {
        var saleId = Guid.CreateVersion7();
        var startsAt = Now + (startsIn ?? TimeSpan.FromMinutes(10));
        var over = status is SaleStatus.Cancelled or SaleStatus.Ended;
        await using var insert = Service.Database.CreateCommand("""
            INSERT INTO sales (sale_id, seller_id, product_id, title, units, price_minor, currency, starts_at, ends_at, limit_per_customer,
                               admission_rate, inside_limit, admission_seconds, waiting_list, shards, status, end_reason, ended_at,
                               allotment_wanted, allotment_version, allotted, allotted_version, created_at, updated_at)
            VALUES ($1, $2, $3, 'Trail shoe', $4, 4900, 'GBP', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $4, 1, $4, 1, $16, $16)
            """);
        foreach (var value in new object?[]
        {
            saleId, sellerId ?? BrunosShop, productId ?? Guid.CreateVersion7(), units, startsAt, startsAt + (lasts ?? TimeSpan.FromHours(1)), (short)limitPerCustomer,
            admissionRate, insideLimit, admissionSeconds, waitingList ?? Math.Max(10, units / 2), (short)shards, status,
        })
            insert.Parameters.Add(new() { Value = value });
        insert.Parameters.Add(new() { Value = over ? SaleEnd.BySeller : DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text });
        insert.Parameters.Add(new() { Value = over ? Now : DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.TimestampTz });
        insert.Parameters.Add(new() { Value = Now });
        await insert.ExecuteNonQueryAsync();
        return (await SaleAsync(saleId))!;
    }

    /// <summary>The row, not a memory of it.</summary>
    public Task<Sale?> SaleAsync(Guid saleId) => Get<SaleStore>().FindAsync(saleId, default);

    public ValueTask DisposeAsync() => Service.DisposeAsync();
}
