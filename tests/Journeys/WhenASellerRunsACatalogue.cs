using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Journeys;

public sealed class WhenASellerRunsACatalogue(Market market)
{
    private const int Rows = 3_000;
    private const int BrokenRow = 1_500;

    [Fact]
    public async Task An_import_whose_service_is_killed_goes_on_at_its_byte_and_every_row_is_stored_once()
    {
        var seller = await market.NewSellerAsync("Imported Goods");
        var word = $"imported{Guid.NewGuid():N}"[..20];
        var file = Encoding.UTF8.GetBytes("sku,title,description,category,price\n" + string.Concat(Enumerable.Range(2, Rows).Select(row =>
            row == BrokenRow ? $"S{row},\"{word} {row},never closed,gifts,1.00\n" : $"S{row},{word} {row},\"two\nlines\",gifts,{row % 50 + 1}.50\n")));

        // Half of it is on its way when the catalogue dies.
        var sending = seller.SendAsync(HttpMethod.Post, "/api/v1/seller/imports", new Piecemeal(async stream =>
        {
            await stream.WriteAsync(file.AsMemory(0, file.Length / 2));
            await stream.FlushAsync();
            await Eventually.Async(async () => await StoredAsync(seller) > 400, "rows are stored while the body still comes", TimeSpan.FromSeconds(60));
            await market.KillAsync("catalog");
            await stream.WriteAsync(file.AsMemory(file.Length / 2));
        }));
        try
        {
            var broken = await sending;
            Assert.True((int)broken.Status >= 500, broken.Text);
        }
        catch (HttpRequestException)
        {
            // The gateway cut the connection under the body.
        }

        await market.AllUpAsync();
        var import = (await seller.GetAsync("/api/v1/seller/imports")).Expect(HttpStatusCode.OK).Json.GetProperty("items")[0];
        var path = $"/api/v1/seller/imports/{import.GetProperty("importId").GetGuid()}";
        var stands = (await seller.GetAsync(path)).Expect(HttpStatusCode.OK);
        var offset = stands.Json.GetProperty("offset").GetInt64();
        Assert.InRange(offset, 1, file.Length - 1);
        Assert.Equal((await StoredAsync(seller), "open"), (stands.Json.GetProperty("created").GetInt64(), stands.String("status")));
        Assert.Equal(offset.ToString(CultureInfo.InvariantCulture), (await seller.SendAsync(HttpMethod.Head, path)).Header("Upload-Offset"));

        (await PatchAsync(seller, path, 0, file)).ExpectProblem(HttpStatusCode.Conflict);
        var ended = (await PatchAsync(seller, path, offset, file[(int)offset..])).Expect(HttpStatusCode.OK);

        Assert.Equal(("completed", file.Length, Rows - 1, 1), (
            ended.String("status"), ended.Json.GetProperty("offset").GetInt64(), ended.Json.GetProperty("created").GetInt64(), ended.Json.GetProperty("failed").GetInt64()));
        Assert.Equal(Rows - 1, await StoredAsync(seller));
        Assert.Equal(Rows - 1, (await market.SqlAsync<long>("catalog", "SELECT count(DISTINCT sku) FROM listings WHERE seller_id = $1", SellerId(seller)))[0]);
        var error = Assert.Single((await seller.GetAsync($"{path}/errors")).Expect(HttpStatusCode.OK).Json.GetProperty("items").EnumerateArray());
        Assert.Equal((BrokenRow, "title"), (error.GetProperty("row").GetInt32(), error.GetProperty("column").GetString()));

        var last = Rows + 1;
        await Eventually.Async(
            async () => (await market.Nobody.GetAsync($"/api/v1/search?q={word}%20{last}&limit=1")).Text.Contains($"{word} {last}", StringComparison.Ordinal),
            "what was imported is found", TimeSpan.FromSeconds(90));

        // What goes out comes in again and changes nothing.
        var export = (await seller.GetAsync("/api/v1/seller/products.csv")).Expect(HttpStatusCode.OK);
        var again = (await seller.SendAsync(HttpMethod.Post, "/api/v1/seller/imports", Csv(Encoding.UTF8.GetBytes(export.Text)))).Expect(HttpStatusCode.Created);
        Assert.Equal((Rows - 1, 0), (again.Json.GetProperty("unchanged").GetInt64(), again.Json.GetProperty("updated").GetInt64() + again.Json.GetProperty("created").GetInt64()));
    }

    [Fact]
    public async Task A_shops_new_name_is_on_its_listings_and_in_the_search()
    {
        var seller = await market.NewSellerAsync("Old Name");
        var title = $"renamed{Guid.NewGuid():N}"[..20];
        var product = await Market.ListAsync(seller, title, 500);
        await Eventually.Async(async () => (await market.Nobody.GetAsync($"/api/v1/search?q={title}")).Text.Contains("Old Name", StringComparison.Ordinal), "it is found", TimeSpan.FromSeconds(60));

        var profile = (await seller.GetAsync("/api/v1/seller/profile")).Expect(HttpStatusCode.OK);
        (await seller.PutAsync("/api/v1/seller/profile", new { displayName = "New Name", about = "We moved." }, ("If-Match", profile.ETag!))).Expect(HttpStatusCode.OK);

        await Eventually.Async(
            async () => (await market.Nobody.GetAsync($"/api/v1/products/{product}")).Text.Contains("New Name", StringComparison.Ordinal)
                && (await market.Nobody.GetAsync($"/api/v1/search?q={title}")).Text.Contains("New Name", StringComparison.Ordinal),
            "listing and search bear the new name", TimeSpan.FromSeconds(60));
        var shop = (await market.Nobody.GetAsync($"/api/v1/sellers/{SellerId(seller)}/listings")).Expect(HttpStatusCode.OK);
        Assert.Equal(1, shop.Json.GetProperty("published").GetInt64());
        Assert.Equal("We moved.", (await market.Nobody.GetAsync($"/api/v1/sellers/{SellerId(seller)}")).Expect(HttpStatusCode.OK).String("about"));
    }

    private async Task<long> StoredAsync(Person seller) => (await market.SqlAsync<long>("catalog", "SELECT count(*) FROM listings WHERE seller_id = $1", SellerId(seller)))[0];

    private static Guid SellerId(Person seller) => seller.Session!.Value.GetProperty("sellerId").GetGuid();

    private static Task<Reply> PatchAsync(Person seller, string path, long offset, byte[] part) =>
        seller.SendAsync(HttpMethod.Patch, path, Csv(part), null, ("Upload-Offset", offset.ToString(CultureInfo.InvariantCulture)));

    private static ByteArrayContent Csv(byte[] bytes)
    {
        var content = new ByteArrayContent(bytes);
        content.Headers.ContentType = new MediaTypeHeaderValue("text/csv");
        return content;
    }

    private sealed class Piecemeal : HttpContent
    {
        private readonly Func<Stream, Task> write;

        public Piecemeal(Func<Stream, Task> write)
        {
            this.write = write;
            Headers.ContentType = new MediaTypeHeaderValue("text/csv");
        }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => write(stream);

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
