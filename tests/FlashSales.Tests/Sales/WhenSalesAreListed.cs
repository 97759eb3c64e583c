using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Marketplace.FlashSales.Sales;

namespace Marketplace.FlashSales.Tests.Sales;

public sealed class WhenSalesAreListed
{
    [Fact]
    public async Task Shoppers_see_what_runs_or_will_the_next_first_and_page_through_it()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var later = await shop.HasSaleAsync(startsIn: TimeSpan.FromHours(2));
        var running = await shop.HasSaleAsync(startsIn: TimeSpan.FromMinutes(-10));
        var soon = await shop.HasSaleAsync(startsIn: TimeSpan.FromMinutes(5));
        await shop.HasSaleAsync(startsIn: TimeSpan.FromHours(-2), status: SaleStatus.Ended);
        await shop.HasSaleAsync(status: SaleStatus.Cancelled);
        await shop.HasSaleAsync(startsIn: TimeSpan.FromHours(-3));          // its time is up, though nobody has noted it yet
        await shop.Service.ScalarAsync<object>("UPDATE sales SET status = 'preparing' WHERE sale_id = $1", (await shop.HasSaleAsync()).SaleId);
        using var nobody = shop.Service.As(null);

        var first = (await nobody.GetFromJsonAsync<ShopperSales>("/api/v1/flash-sales?limit=2"))!;
        var rest = (await nobody.GetFromJsonAsync<ShopperSales>($"/api/v1/flash-sales?limit=2&cursor={first.Next}"))!;

        Assert.Equal([(running.SaleId, "open", 0), (soon.SaleId, "scheduled", 300)], first.Items.Select(sale => (sale.SaleId, sale.Phase, sale.StartsInSeconds)));
        Assert.Equal([later.SaleId], rest.Items.Select(sale => sale.SaleId));
        Assert.Null(rest.Next);
        Assert.Equal([soon.SaleId], (await nobody.GetFromJsonAsync<ShopperSales>($"/api/v1/flash-sales?productId={soon.ProductId}"))!.Items.Select(sale => sale.SaleId));
        Assert.Empty((await nobody.GetFromJsonAsync<ShopperSales>($"/api/v1/flash-sales?seller={Guid.NewGuid()}"))!.Items);
        using var nonsense = await nobody.GetAsync("/api/v1/flash-sales?cursor=nonsense");
        await Market.ProblemAsync(nonsense, HttpStatusCode.UnprocessableEntity, "validation");
    }

    [Fact]
    public async Task Sellers_see_their_own_and_operators_everybodys()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var (mine, older) = (await shop.HasSaleAsync(), await shop.HasSaleAsync(status: SaleStatus.Cancelled));
        var another = Guid.CreateVersion7();
        var theirs = await shop.HasSaleAsync(sellerId: another);
        using var bruno = shop.AsSeller();
        using var olga = shop.AsOperator();

        Assert.Equal(
            new HashSet<Guid> { mine.SaleId, older.SaleId }, (await bruno.GetFromJsonAsync<ManagedSales>("/api/v1/seller/flash-sales"))!.Items.Select(sale => sale.SaleId).ToHashSet());
        Assert.Equal([mine.SaleId], (await bruno.GetFromJsonAsync<ManagedSales>("/api/v1/seller/flash-sales?status=scheduled"))!.Items.Select(sale => sale.SaleId));
        Assert.Equal(3, (await olga.GetFromJsonAsync<ManagedSales>("/api/v1/operations/flash-sales"))!.Items.Count);
        Assert.Equal([theirs.SaleId], (await olga.GetFromJsonAsync<ManagedSales>($"/api/v1/operations/flash-sales?seller={another}"))!.Items.Select(sale => sale.SaleId));

        var page = (await olga.GetFromJsonAsync<ManagedSales>("/api/v1/operations/flash-sales?limit=2"))!;
        Assert.Single((await olga.GetFromJsonAsync<ManagedSales>($"/api/v1/operations/flash-sales?limit=2&cursor={page.Next}"))!.Items);
        foreach (var limit in new[] { 0, 101 })
        {
            using var bent = await olga.GetAsync($"/api/v1/operations/flash-sales?limit={limit}");
            await Market.ProblemAsync(bent, HttpStatusCode.UnprocessableEntity, "validation");
        }

        using var wrong = await bruno.GetAsync("/api/v1/seller/flash-sales?status=open");
        await Market.ProblemAsync(wrong, HttpStatusCode.UnprocessableEntity, "validation");
        using var read = await bruno.GetAsync($"/api/v1/seller/flash-sales/{mine.SaleId}");
        Assert.Equal("\"1\"", read.Headers.ETag!.Tag);
    }

    [Fact]
    public async Task Counts_of_all_shards_make_the_phase_and_what_remains()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync(units: 30, startsIn: TimeSpan.FromMinutes(-1), shards: 2);
        foreach (var (shard, taken, paid, waiting) in new[] { (0, 15, 15, 0), (1, 10, 5, 0) })
        {
            await shop.Service.ScalarAsync<object>(
                "INSERT INTO claim_counts (sale_id, shard, units, waiting_list, taken, paid, waiting) VALUES ($1, $2::int, 15, 5, $3, $4, $5)", sale.SaleId, shard, taken, paid, waiting);
        }

        using var nobody = shop.Service.As(null);
        Assert.Equal(("open", 5), await SeenAsync());
        await shop.Service.ScalarAsync<object>("UPDATE claim_counts SET taken = 15, waiting = 4 WHERE sale_id = $1 AND shard = 1", sale.SaleId);
        Assert.Equal(("allocated", 0), await SeenAsync());
        using var olga = shop.AsOperator();
        var managed = (await olga.GetFromJsonAsync<ManagedSale>($"/api/v1/operations/flash-sales/{sale.SaleId}"))!;
        Assert.Equal((30, 20, 4, 0), (managed.Claimed, managed.Paid, managed.Waiting, managed.Remaining));
        await shop.Service.ScalarAsync<object>("UPDATE claim_counts SET paid = 15 WHERE sale_id = $1", sale.SaleId);
        Assert.Equal(("sold_out", 0), await SeenAsync());

        async Task<(string, int)> SeenAsync()
        {
            var seen = (await nobody.GetFromJsonAsync<ShopperSale>($"/api/v1/flash-sales/{sale.SaleId}"))!;
            return (seen.Phase, seen.Remaining);
        }
    }

    [Fact]
    public async Task The_document_says_what_every_route_takes_and_gives()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        using var nobody = shop.Service.As(null);
        var document = (await nobody.GetFromJsonAsync<JsonNode>("/openapi/v1.json"))!;

        Assert.Equal("#/components/schemas/ShopperSales", Schema("/api/v1/flash-sales", "get", "200"));
        Assert.Equal("#/components/schemas/ManagedSale", Schema("/api/v1/seller/flash-sales", "post", "201"));
        Assert.Equal("#/components/schemas/ManagedSale", Schema("/api/v1/operations/flash-sales/{saleId}/end", "post", "200"));
        Assert.Equal(10_000, (int)document["components"]!["schemas"]!["ScheduleRequest"]!["properties"]!["admissionRate"]!["maximum"]!);
        Assert.Equal(
            ["productId", "units", "price", "startsAt", "endsAt"], document["components"]!["schemas"]!["ScheduleRequest"]!["required"]!.AsArray().Select(name => name!.GetValue<string>()));
        Assert.DoesNotContain(document["paths"]!.AsObject(), path => path.Key.StartsWith("/internal", StringComparison.Ordinal));

        string Schema(string path, string method, string status) =>
            document["paths"]![path]![method]!["responses"]![status]!["content"]!["application/json"]!["schema"]!["$ref"]!.GetValue<string>();
    }
}
