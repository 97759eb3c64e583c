using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Catalog.Tests.Imports;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Catalog.Tests.Sellers;

/// <summary>A catalogue whose lanes run: the renames do, which are commands of its own.</summary>
public sealed class CatalogAtWork : IAsyncLifetime
{
    public ServiceUnderTest<Program> Catalog { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Catalog = await ServiceUnderTest<Program>.StartAsync(
        "catalog", calls: ["identity"], settings: new Dictionary<string, string?> { ["Outbox:Lanes"] = "true" });

    public ValueTask DisposeAsync() => Catalog.DisposeAsync();
}

public sealed class WhenASellerIsRenamed(CatalogAtWork shop) : IClassFixture<CatalogAtWork>
{
    private readonly Importer seller = new(shop.Catalog);

    [Fact]
    public async Task Every_listing_follows_and_each_published_one_is_announced_once()
    {
        const int many = 450;
        await seller.ImportAsync("sku,title,category,price,status\n" + string.Concat(Enumerable.Range(0, many).Select(row => $"S{row},Lamp,lighting,1,{(row % 10 == 0 ? "draft" : "published")}\n")));

        await DeliverAsync(Renamed(2, "Iris's Better Goods"));
        await NamedAsync("Iris's Better Goods", many);

        var told = (await shop.Catalog.EventsAsync<ProductUpserted>()).Where(@event => @event.SellerId == seller.Id && @event.Revision == 2).ToList();
        Assert.Equal(many * 9 / 10, told.Count);
        Assert.Equal(told.Count, told.Select(@event => @event.ProductId).Distinct().Count());
        Assert.All(told, @event => Assert.Equal("Iris's Better Goods", @event.SellerName));
        Assert.Equal(0L, await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM listings WHERE seller_id = $1 AND revision <> 2", seller.Id));
    }

    [Fact]
    public async Task A_redelivery_and_an_older_name_change_nothing()
    {
        await seller.ImportAsync("sku,title,category,price\nA,Lamp,lighting,1\n");
        var renamed = Renamed(3, "Third");
        await DeliverAsync(renamed);
        await NamedAsync("Third", 1);
        await DeliverAsync(renamed);
        await DeliverAsync(Renamed(2, "Second"));
        await DeliverAsync(Renamed(4, "Fourth"));
        await NamedAsync("Fourth", 1);

        Assert.Equal(
            ["Imported Goods", "Third", "Fourth"],
            (await shop.Catalog.EventsAsync<ProductUpserted>()).Where(@event => @event.SellerId == seller.Id).Select(@event => @event.SellerName));
    }

    [Fact]
    public async Task A_name_heard_before_the_first_listing_is_the_listings_and_identity_is_not_asked()
    {
        await DeliverAsync(Renamed(2, "Early Iris"));
        await seller.ImportAsync("sku,title,category,price\nA,Lamp,lighting,1\n");
        Assert.Equal("Early Iris", (await seller.ListingAsync("A")).GetProperty("sellerName").GetString());
    }

    [Fact]
    public async Task An_import_that_began_under_the_old_name_ends_under_the_new_one()
    {
        using var reply = await seller.PostAsync(new Pieces(async stream =>
        {
            await stream.WriteAsync(System.Text.Encoding.UTF8.GetBytes("sku,title,category,price\n" + string.Concat(Enumerable.Range(0, 250).Select(row => $"S{row},Lamp,lighting,1\n"))));
            await stream.FlushAsync();
            await Eventually.Async(async () => await seller.StoredAsync() == 200, "the first rows are stored");
            await DeliverAsync(Renamed(2, "New in the Middle"));
            await NamedAsync("New in the Middle", 200);
            await stream.WriteAsync(System.Text.Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(250, 250).Select(row => $"S{row},Lamp,lighting,1\n"))));
        }));

        Assert.Equal(500, (await Importer.StateAsync(reply, HttpStatusCode.Created)).Created);
        await NamedAsync("New in the Middle", 500);
        Assert.Equal(200L, await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM listings WHERE seller_id = $1 AND revision = 2", seller.Id));
    }

    [Fact]
    public async Task A_listing_that_is_made_or_changed_while_the_name_changes_bears_the_new_one()
    {
        var first = await CatalogFixture.ListAsync(seller.Http);
        // Both have read the old name and wait; the rename commits before they do.
        await using var connection = await shop.Catalog.Database.OpenConnectionAsync();
        await using var tx = await connection.BeginTransactionAsync();
        await using (var rename = new Npgsql.NpgsqlCommand("UPDATE sellers SET name = 'Renamed Meanwhile', version = 2 WHERE seller_id = $1", connection, tx) { Parameters = { new() { Value = seller.Id } } })
            await rename.ExecuteNonQueryAsync();
        var creating = CatalogFixture.ListAsync(seller.Http);
        using var change = new HttpRequestMessage(HttpMethod.Put, $"/api/v1/products/{first.ProductId}") { Content = JsonContent.Create(CatalogFixture.Lamp("Changed")) };
        change.Headers.TryAddWithoutValidation("If-Match", "*");
        var changing = seller.Http.SendAsync(change);
        await Eventually.Async(
            async () => await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 2, "both wait for the name");
        await tx.CommitAsync();

        Assert.Equal("Renamed Meanwhile", (await creating).SellerName);
        using var changed = await changing;
        Assert.Equal("Renamed Meanwhile", (await changed.Content.ReadFromJsonAsync<Product>())!.SellerName);
    }

    [Fact]
    public async Task A_rename_takes_the_listings_in_the_order_in_which_an_import_does_and_so_never_gets_in_its_way()
    {
        await seller.ImportAsync("sku,title,category,price\n" + string.Concat(Enumerable.Range(0, 5).Select(row => $"S{row},Lamp,lighting,1\n")));
        await using var connection = await shop.Catalog.Database.OpenConnectionAsync();
        await using var tx = await connection.BeginTransactionAsync();
        async Task LockAsync(string which)
        {
            await using var take = new Npgsql.NpgsqlCommand($"SELECT 1 FROM listings WHERE product_id = (SELECT {which}(product_id::text)::uuid FROM listings WHERE seller_id = $1) FOR NO KEY UPDATE NOWAIT", connection, tx)
            {
                Parameters = { new() { Value = seller.Id } },
            };
            await take.ExecuteNonQueryAsync();
        }

        await LockAsync("min");
        await DeliverAsync(Renamed(2, "Patient Iris"));
        await WaitsAsync();
        await LockAsync("max");                                 // which the rename does not hold while it waits for the first
        await tx.CommitAsync();

        await NamedAsync("Patient Iris", 5);
    }

    [Fact]
    public async Task A_rename_that_finds_the_newest_listings_renamed_by_somebody_else_goes_on_with_the_others()
    {
        await seller.ImportAsync("sku,title,category,price\n" + string.Concat(Enumerable.Range(0, 250).Select(row => $"S{row},Lamp,lighting,1\n")));
        // As an import of the same rows does that began after the rename was heard.
        await using var connection = await shop.Catalog.Database.OpenConnectionAsync();
        await using var tx = await connection.BeginTransactionAsync();
        await using (var overtake = new Npgsql.NpgsqlCommand("""
            UPDATE listings SET seller_name = 'Overtaken Iris', revision = revision + 1
            WHERE product_id IN (SELECT product_id FROM listings WHERE seller_id = $1 ORDER BY listed_at DESC, product_id DESC LIMIT 200)
            """, connection, tx) { Parameters = { new() { Value = seller.Id } } })
            Assert.Equal(200, await overtake.ExecuteNonQueryAsync());
        await DeliverAsync(Renamed(2, "Overtaken Iris"));
        await WaitsAsync();
        await tx.CommitAsync();

        await NamedAsync("Overtaken Iris", 250);
        Assert.Equal(0L, await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM listings WHERE seller_id = $1 AND revision <> 2", seller.Id));
    }

    [Fact]
    public async Task The_shop_says_how_much_is_on_its_shelf()
    {
        await seller.ImportAsync("sku,title,category,price,status\nA,Lamp,lighting,1,\nB,Chair,furniture,1,\nC,Draft,furniture,1,draft\n");

        var shelf = await shop.Catalog.As(null).GetFromJsonAsync<JsonElement>($"/api/v1/sellers/{seller.Id}/listings?limit=1");

        Assert.Equal((2L, 1), (shelf.GetProperty("published").GetInt64(), shelf.GetProperty("items").GetArrayLength()));
        var rest = await shop.Catalog.As(null).GetFromJsonAsync<JsonElement>($"/api/v1/sellers/{seller.Id}/listings?limit=5&cursor={shelf.GetProperty("next").GetString()}");
        Assert.Equal(1, rest.GetProperty("items").GetArrayLength());
        Assert.Equal(0, (await shop.Catalog.As(null).GetFromJsonAsync<JsonElement>($"/api/v1/sellers/{Guid.NewGuid()}/listings")).GetProperty("published").GetInt64());
    }

    private Task WaitsAsync() => Eventually.Async(
        async () => await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1, "the rename waits");

    private SellerUpdated Renamed(long version, string name) => new(seller.Id, version, name, "", null);

    private async Task DeliverAsync(SellerUpdated @event)
    {
        using var reply = await shop.Catalog.DeliverAsync(@event);
        Assert.Equal(HttpStatusCode.OK, reply.StatusCode);
    }

    private Task NamedAsync(string name, long count) => Eventually.Async(
        async () => await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM listings WHERE seller_id = $1 AND seller_name = $2", seller.Id, name) == count, "all listings bear the new name");
}
