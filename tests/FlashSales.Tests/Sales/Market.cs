using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Marketplace.FlashSales.Clients;
using Marketplace.FlashSales.Sales;
using Marketplace.TestKit;

namespace Marketplace.FlashSales.Tests.Sales;

/// <summary>Bruno's shop with one product in stock, and what its seller does.</summary>
public sealed class Market : IAsyncDisposable
{
    private readonly FlashSalesFixture? other;

    private Market(FlashSalesFixture shop, FlashSalesFixture? other) => (Shop, this.other) = (shop, other);

    public FlashSalesFixture Shop { get; }

    /// <summary>A second replica, of a market that was opened with two.</summary>
    public FlashSalesFixture Other => other ?? throw new InvalidOperationException("Opened with one replica.");

    public FakeInventory Inventory { get; } = new();

    public Guid Sneaker { get; } = Guid.CreateVersion7();

    public DateTimeOffset Now => Shop.Now;

    public static async Task<Market> OpenAsync(int inStock = 100, int replicas = 1)
    {
        var shop = await FlashSalesFixture.OpenAsync();
        var market = new Market(shop, replicas > 1 ? await shop.SecondReplicaAsync() : null);
        FlashSalesFixture[] all = market.other is null ? [shop] : [shop, market.other];
        market.Inventory.Answers(all);
        market.Inventory.Has(market.Sneaker, inStock);
        foreach (var replica in all)
        {
            replica.Neighbour("catalog").On(HttpMethod.Post, "/internal/prices", call => FakeReply.Ok(new
            {
                products = call.Read<PricesRequest>().ProductIds.Where(id => id == market.Sneaker)
                    .Select(id => new { productId = id, sellerId = FlashSalesFixture.BrunosShop, title = "Trail shoe", price = new { minor = 8900, currency = "GBP" } }),
            }));
        }

        return market;
    }

    /// <summary>A request that is fine, with some of it replaced.</summary>
    public JsonObject Asks(params (string Field, object? Value)[] with)
    {
        var request = new JsonObject
        {
            ["productId"] = Sneaker,
            ["units"] = 40,
            ["price"] = new JsonObject { ["minor"] = 4900, ["currency"] = "GBP" },
            ["startsAt"] = Now.AddMinutes(10),
            ["endsAt"] = Now.AddMinutes(70),
            ["limitPerCustomer"] = 2,
            ["admissionRate"] = 200,
            ["insideLimit"] = 500,
            ["admissionSeconds"] = 90,
        };
        foreach (var (field, value) in with)
            request[field] = value is JsonNode node ? node : System.Text.Json.JsonSerializer.SerializeToNode(value);
        return request;
    }

    public static async Task<HttpResponseMessage> PostAsync(HttpClient who, JsonObject request, string? key = "k1", string path = "/api/v1/seller/flash-sales")
    {
        using var message = new HttpRequestMessage(HttpMethod.Post, path) { Content = JsonContent.Create(request) };
        if (key is not null) message.Headers.Add("Idempotency-Key", key);
        return await who.SendAsync(message);
    }

    public static async Task<HttpResponseMessage> PutAsync(HttpClient who, Guid saleId, JsonObject request, string? ifMatch, string path = "/api/v1/seller/flash-sales")
    {
        using var message = new HttpRequestMessage(HttpMethod.Put, $"{path}/{saleId}") { Content = JsonContent.Create(request) };
        if (ifMatch is not null) message.Headers.TryAddWithoutValidation("If-Match", ifMatch);
        return await who.SendAsync(message);
    }

    public async Task<ManagedSale> ScheduledAsync(params (string Field, object? Value)[] with)
    {
        using var bruno = Shop.AsSeller();
        using var response = await PostAsync(bruno, Asks(with), key: Guid.NewGuid().ToString("N"));
        Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        return (await response.Content.ReadFromJsonAsync<ManagedSale>())!;
    }

    /// <summary>Until every question has its answer, asked by this or by the keeper that was woken.</summary>
    public Task RestAsync() => Eventually.Async(
        async () => await KeepAsync() == 0 && await Shop.Service.ScalarAsync<long>(
            "SELECT count(*) FROM sales WHERE allotment_version <> allotted_version OR status IN ('preparing', 'refused')") == 0,
        "inventory has answered all");

    public Task<int> KeepAsync() => Shop.Get<AllotmentKeeper>().KeepAsync(default);

    /// <summary>Claims as their slice leaves them: so many units taken, of which so many paid.</summary>
    public async Task ClaimedAsync(Guid saleId, int taken, int paid = 0) => await Shop.Service.ScalarAsync<object>("""
        INSERT INTO claim_counts (sale_id, shard, units, waiting_list, taken, paid) SELECT sale_id, 0, units, waiting_list, $2, $3 FROM sales WHERE sale_id = $1
        ON CONFLICT (sale_id, shard) DO UPDATE SET taken = $2, paid = $3
        """, saleId, taken, paid);

    /// <summary>What must hold once everything has come to rest: units are the sale's or anybody's, and our tables and inventory's agree.</summary>
    public async Task BooksBalanceAsync(int inStock)
    {
        var sales = await Shop.Get<SaleStore>().AsOperatorAsync(null, null, null, 100, default);
        foreach (var (sale, counts, _) in sales)
        {
            Assert.Equal(sale.Status == SaleStatus.Scheduled ? sale.Units : counts.Claimed, Inventory.Allotted(sale.SaleId));
            Assert.Equal(Inventory.Allotted(sale.SaleId), sale.Allotted);
        }

        Assert.Equal(inStock, Inventory.Free(Sneaker) + sales.Sum(each => Inventory.Allotted(each.Sale.SaleId)));
        Assert.Equal(0L, await Shop.Service.ScalarAsync<long>("SELECT count(*) FROM sales WHERE status IN ('preparing', 'refused')"));
    }

    public static async Task<JsonNode> ProblemAsync(HttpResponseMessage response, HttpStatusCode status, string slug)
    {
        var problem = (await response.Content.ReadFromJsonAsync<JsonNode>())!;
        Assert.True(response.StatusCode == status, $"{(int)response.StatusCode}: {problem}");
        Assert.Equal($"/problems/{slug}", problem["type"]!.GetValue<string>());
        return problem;
    }

    public async ValueTask DisposeAsync()
    {
        if (other is not null) await other.DisposeAsync();
        await Shop.DisposeAsync();
    }
}
