using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.FlashSales.Claims;
using Marketplace.FlashSales.Sales;
using Marketplace.FlashSales.WaitingRoom;
using Marketplace.TestKit;
using Marketplace.WaitingRoom;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Marketplace.FlashSales.Tests.Claims;

/// <summary>A replica that takes claims, with shards that need no sidecar.</summary>
public sealed class ClaimCounter : IAsyncDisposable
{
    private ClaimCounter(FlashSalesFixture shop, DirectShards shards) => (Shop, Shards) = (shop, shards);

    public FlashSalesFixture Shop { get; }

    public DirectShards Shards { get; }

    public ClaimDesk Desk => Shop.Get<ClaimDesk>();

    /// <param name="of">Whose database it is, for a replica with other settings and shards of its own.</param>
    public static async Task<ClaimCounter> OpenAsync(IReadOnlyDictionary<string, string?>? settings = null, TimeProvider? time = null, ClaimCounter? of = null)
    {
        var shards = new DirectShards();
        return Open(await FlashSalesFixture.OpenAsync(of?.Shop.Service.ConnectionString, time ?? of?.Shop.Time, settings, With(shards)), shards);
    }

    /// <summary>Another replica; with <paramref name="shards"/> of its own it does not know that they are active elsewhere.</summary>
    public async Task<ClaimCounter> SecondAsync(DirectShards? shards = null) =>
        Open(await Shop.SecondReplicaAsync(replace: With(shards ?? Shards)), shards ?? Shards);

    public async Task<Guid> HasShopperAsync()
    {
        var buyer = Guid.CreateVersion7();
        await HaveCheckoutsAsync([buyer]);
        return buyer;
    }

    public async Task<Guid[]> HasShoppersAsync(int count)
    {
        var buyers = Enumerable.Range(0, count).Select(_ => Guid.CreateVersion7()).ToArray();
        await HaveCheckoutsAsync(buyers);
        return buyers;
    }

    public async Task HaveCheckoutsAsync(Guid[] buyers)
    {
        await Shop.Service.ScalarAsync<object>("""
            INSERT INTO express_checkouts (buyer_id, address_id, name, line1, city, postal_code, country, contact_email, contact_name, payment_method, changed_at)
            SELECT id, gen_random_uuid(), 'Ada', '1 Quay', 'Leeds', 'LS1', 'GB', 'ada@example.com', 'Ada', '00000000-0000-0000-0000-0000000000ad', now() FROM unnest($1) AS b (id)
            """, buyers);
    }

    /// <summary>From a place that nobody else has.</summary>
    public Task<Decided> ClaimAsync(Sale sale, Guid buyer, int quantity = 1, long? rank = null) =>
        Desk.DecideAsync(sale, buyer, rank ?? RankOf(buyer), quantity, TestContext.Current.CancellationToken);

    public static long RankOf(Guid buyer) => BitConverter.ToInt64(buyer.ToByteArray(), 8) & long.MaxValue;

    public Task<LastClaim?> LastClaimAsync(Sale sale, Guid buyer) => Desk.LastClaimAsync(sale.SaleId, buyer, TestContext.Current.CancellationToken);

    public async Task ConfirmAsync(Guid order) => (await Shop.Service.DeliverAsync(Confirmed(order))).EnsureSuccessStatusCode();

    public async Task FailAsync(Guid order, string reason = "card_declined") => (await Shop.Service.DeliverAsync(Failed(order, reason))).EnsureSuccessStatusCode();

    public async Task CancelAsync(Guid order) => (await Shop.Service.DeliverAsync(
        new OrderCancelled(order, 1, Guid.NewGuid(), Money.Gbp(4900), "changed_mind", Refunded: true, Contact))).EnsureSuccessStatusCode();

    /// <summary>
    /// A sale that starts now with so many in its queue, in the order of the draw. <paramref name="rate"/> people a second are let in, the first
    /// second's at once.
    /// </summary>
    public async Task<(Sale Sale, Ticket[] Queue)> OpenSaleAsync(int people, int units = 10, int rate = 1_000, int limit = 1, int? waitingList = null)
    {
        var sale = await Shop.HasSaleAsync(units, startsIn: TimeSpan.FromSeconds(10), admissionRate: rate, limitPerCustomer: limit, waitingList: waitingList);
        var buyers = await HasShoppersAsync(people);
        await Shop.Service.ScalarAsync<object>("""
            WITH numbers AS (INSERT INTO queue_numbers (sale_id, late, next) VALUES ($1, false, cardinality($2)))
            INSERT INTO places (sale_id, buyer_id, late, number, joined_at) SELECT $1, buyer, false, n - 1, $3 FROM unnest($2) WITH ORDINALITY AS b (buyer, n)
            """, sale.SaleId, buyers, Shop.Now);
        Shop.Clock.Advance(TimeSpan.FromSeconds(10));
        await Shop.Get<Doorkeeper>().DrawAsync(sale.SaleId, TestContext.Current.CancellationToken);
        sale = (await Shop.SaleAsync(sale.SaleId))!;
        var tickets = buyers.Select((buyer, number) => new Ticket(sale.SaleId, buyer, Late: false, number, sale.EndsAt + TimeSpan.FromHours(1)));
        return (sale, [.. tickets.OrderBy(ticket => sale.RankOf(ticket))]);
    }

    public static string Sign(Ticket ticket) => TicketKeys.Parse(FlashSalesFixture.TicketKey).Sign(ticket);

    /// <summary>As the shopper of the ticket, unless <paramref name="by"/> says who.</summary>
    public Task<HttpResponseMessage> PostClaimAsync(Ticket ticket, object? body = null, HttpClient? by = null, string? text = null, Guid? saleId = null) =>
        PostClaimAsync(saleId ?? ticket.SaleId, by ?? Shop.AsShopper(ticket.BuyerId), text ?? Sign(ticket), body);

    public static async Task<HttpResponseMessage> PostClaimAsync(Guid saleId, HttpClient by, string? ticket, object? body = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/api/v1/flash-sales/{saleId}/claims") { Content = body is null ? null : JsonContent.Create(body) };
        if (ticket is not null) request.Headers.Add("Queue-Ticket", ticket);
        return await by.SendAsync(request, TestContext.Current.CancellationToken);
    }

    public async Task<JsonElement> MineAsync(Ticket ticket)
    {
        using var client = Shop.AsShopper(ticket.BuyerId);
        return await client.GetFromJsonAsync<JsonElement>($"/api/v1/flash-sales/{ticket.SaleId}/claims/mine", TestContext.Current.CancellationToken);
    }

    public async Task<HttpStatusCode> LeaveListAsync(Ticket ticket)
    {
        using var client = Shop.AsShopper(ticket.BuyerId);
        using var answer = await client.DeleteAsync(new Uri($"/api/v1/flash-sales/{ticket.SaleId}/claims/mine", UriKind.Relative), TestContext.Current.CancellationToken);
        return answer.StatusCode;
    }

    public static OrderConfirmed Confirmed(Guid order) => new(
        order, 1, Guid.NewGuid(), Guid.NewGuid(), Money.Gbp(4900), [], [], new PostalAddress("Ada", "1 Quay", null, "Leeds", "LS1", "GB"), Contact);

    public static OrderFailed Failed(Guid order, string reason) => new(order, 1, Guid.NewGuid(), Money.Gbp(4900), reason, Contact);

    public Task SweepAsync() => Shop.Get<ClaimSweep>().SweepAsync(TestContext.Current.CancellationToken);

    public async Task<(int Taken, int Paid, int Waiting)> CountsAsync(Sale sale)
    {
        await using var read = Shop.Service.Database.CreateCommand(
            "SELECT coalesce(sum(taken), 0)::integer, coalesce(sum(paid), 0)::integer, coalesce(sum(waiting), 0)::integer FROM claim_counts WHERE sale_id = $1");
        read.Parameters.Add(new() { Value = sale.SaleId });
        await using var row = await read.ExecuteReaderAsync();
        await row.ReadAsync();
        return (row.GetInt32(0), row.GetInt32(1), row.GetInt32(2));
    }

    public Task<long> CountAsync(Sale sale, string state) =>
        Shop.Service.ScalarAsync<long>("SELECT count(*) FROM claims WHERE sale_id = $1 AND state = $2", sale.SaleId, state);

    /// <summary>The counters say what the claims say, every unit has one holder, and every claim that has units was told of.</summary>
    public async Task BooksBalanceAsync()
    {
        Assert.Equal(0L, await Shop.Service.ScalarAsync<long>("""
            SELECT count(*) FROM claim_counts n
            WHERE (n.taken, n.paid, n.waiting) <> (
                SELECT coalesce(sum(quantity) FILTER (WHERE state IN ('claimed', 'paid')), 0), coalesce(sum(quantity) FILTER (WHERE state = 'paid'), 0),
                       coalesce(sum(quantity) FILTER (WHERE state = 'waiting'), 0)
                FROM claims c WHERE c.sale_id = n.sale_id AND c.shard = n.shard)
            """));
        Assert.Equal(0L, await Shop.Service.ScalarAsync<long>("""
            SELECT count(*) FROM claims c
            WHERE (SELECT count(*) FROM claim_units u WHERE u.claim_id = c.claim_id) <> CASE WHEN state IN ('claimed', 'paid') THEN quantity ELSE 0 END
            """));
        Assert.Equal(0L, await Shop.Service.ScalarAsync<long>("""
            SELECT count(*) FROM claims c
            WHERE (SELECT count(*) FROM outbox o WHERE o.topic = 'flashsale.claimed' AND o.aggregate_id = c.claim_id) <> CASE WHEN order_id IS NULL THEN 0 ELSE 1 END
               OR (SELECT count(*) FROM outbox o WHERE o.topic = 'flashsale.released' AND o.aggregate_id = c.claim_id) <> CASE WHEN state = 'released' THEN 1 ELSE 0 END
            """));
    }

    public ValueTask DisposeAsync() => Shop.DisposeAsync();

    private static OrderContact Contact => new("ada@example.com", "Ada");

    private static ClaimCounter Open(FlashSalesFixture shop, DirectShards shards)
    {
        shards.RunIn(shop.Service.Services);
        return new ClaimCounter(shop, shards);
    }

    private static Action<IServiceCollection> With(DirectShards shards) => services => services.Replace(ServiceDescriptor.Singleton<IShards>(shards));
}
