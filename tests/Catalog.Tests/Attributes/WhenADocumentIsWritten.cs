using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Catalog.Attributes;
using Marketplace.Catalog.Listings;
using Marketplace.Contracts;
using Microsoft.Extensions.DependencyInjection;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;
using static Marketplace.Catalog.Tests.DocumentShop;

namespace Marketplace.Catalog.Tests.Attributes;

/// <summary>The title names the size, and so shows when a listing and its document are of different changes.</summary>
public sealed class WhenADocumentIsWritten : IAsyncLifetime
{
    private readonly DocumentShop shop = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => shop.InitializeAsync();

    public ValueTask DisposeAsync() => shop.DisposeAsync();

    [Fact]
    public async Task A_reader_who_saw_the_row_before_a_change_gets_the_attributes_of_before()
    {
        var phone = await PostAsync(shop.AsBruno, OfSize(6));
        var seen = (await shop.Catalog.Services.GetRequiredService<ListingStore>().FindAsync(phone.Id(), null, Ct))!;
        using var changed = await PutAsync(shop.AsBruno, phone.Id(), OfSize(7));

        var found = await shop.Documents.ReadAsync([seen.DocumentId!.Value], Ct);

        Assert.Equal(6, found![seen.DocumentId.Value]["screen-size"].GetInt32());
        await AssertWholeAsync(phone.Id(), 7);
    }

    [Fact]
    public async Task A_reader_whose_document_was_swept_meanwhile_reads_the_row_again()
    {
        var phone = await PostAsync(shop.AsBruno, OfSize(6));
        using var stop = new CancellationTokenSource();
        var reading = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                using var reply = await shop.AsNobody.GetAsync(new Uri($"/api/v1/products/{phone.Id()}", UriKind.Relative), Ct);
                AssertWhole(await reply.Content.ReadFromJsonAsync<JsonElement>(Ct));
            }
        }, Ct);

        for (var change = 0; change < 40; change++)
        {
            using var changed = await PutAsync(change % 2 == 0 ? shop.AsBruno : shop.AsBrunoElsewhere, phone.Id(), OfSize(5 + (change % 10)));
            Assert.Equal(HttpStatusCode.OK, changed.StatusCode);
            await SweepOf(shop.Replica).SweepAsync(Ct);
        }

        await stop.CancelAsync();
        await reading;
        Assert.Equal(1, await shop.LedgerAsync());
    }

    [Fact]
    public async Task An_id_that_stands_for_other_attributes_is_taken_also_where_no_shopper_narrows_by_them()
    {
        var id = Guid.CreateVersion7();
        await PostAsync(shop.AsBruno, OfModel("X-1"));
        await PostAsync(shop.AsBruno, OfModel("X-1"));

        using var other = await shop.AsBruno.PostAsJsonAsync("/api/v1/products", OfModel("X-2"), Ct);

        await AssertProblemAsync(other, HttpStatusCode.Conflict, "/problems/product-id-taken");
        Assert.Equal("X-1", (await shop.ShownAsync(id)).GetProperty("attributes").Text("model"));

        object OfModel(string model) => Phone(productId: id, attributes: new Dictionary<string, object> { ["screen-size"] = 6.1, ["model"] = model });
    }

    [Fact]
    public async Task Of_two_writers_one_wins_with_title_and_attributes_and_the_losers_document_is_swept()
    {
        var phone = await PostAsync(shop.AsBruno, OfSize(4));
        await shop.ExecuteAsync("UPDATE attribute_documents SET free_since = NULL");

        var replies = await Task.WhenAll(Enumerable.Range(5, 8).Select(size => PutAsync(size % 2 == 0 ? shop.AsBruno : shop.AsBrunoElsewhere, phone.Id(), OfSize(size), "\"1\"")));

        Assert.Single(replies, reply => reply.StatusCode == HttpStatusCode.OK);
        Assert.Equal(7, replies.Count(reply => reply.StatusCode == HttpStatusCode.PreconditionFailed));
        AssertWhole(await shop.ShownAsync(phone.Id()));
        while (await SweepOf(shop.Catalog).SweepAsync(Ct) > 0)
        {
        }

        AssertWhole(await shop.ShownAsync(phone.Id()));
        Assert.Equal(1, await shop.LedgerAsync());
    }

    [Fact]
    public async Task Writers_who_take_any_revision_all_win_one_after_the_other()
    {
        var phone = await PostAsync(shop.AsBruno, OfSize(4));

        // Pairs want the same attributes: one of a pair may find them there already, while another change lets go of them.
        var replies = await Task.WhenAll(Enumerable.Range(0, 16).Select(change => PutAsync(change % 2 == 0 ? shop.AsBruno : shop.AsBrunoElsewhere, phone.Id(), OfSize(5 + (change % 3)))));

        Assert.All(replies, reply => Assert.Equal(HttpStatusCode.OK, reply.StatusCode));
        var told = (await shop.Catalog.EventsAsync<ProductUpserted>()).Where(@event => @event.ProductId == phone.Id()).ToList();
        Assert.Equal(Enumerable.Range(1, 17).Select(revision => (long)revision), told.Select(@event => @event.Revision));
        Assert.All(told, @event => Assert.Equal($"{@event.Title} in", @event.Attributes!.Single().Value));
        await SweepOf(shop.Catalog).SweepAsync(Ct);
        AssertWhole(await shop.ShownAsync(phone.Id()));
        Assert.Equal(1, await shop.LedgerAsync());
    }

    [Fact]
    public async Task A_crash_between_document_and_row_changes_nothing_and_leaves_a_document_that_is_swept()
    {
        var phone = await PostAsync(shop.AsBruno, OfSize(6));
        await shop.ExecuteAsync("""
            CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the process dies here'; END $$;
            CREATE TRIGGER crash BEFORE UPDATE ON listings FOR EACH ROW EXECUTE FUNCTION crash();
            CREATE TRIGGER crash_too BEFORE INSERT ON listings FOR EACH ROW EXECUTE FUNCTION crash();
            """);

        using var changed = await PutAsync(shop.AsBruno, phone.Id(), OfSize(7));
        using var created = await shop.AsBruno.PostAsJsonAsync("/api/v1/products", OfSize(8), Ct);

        Assert.Equal((HttpStatusCode.InternalServerError, HttpStatusCode.InternalServerError), (changed.StatusCode, created.StatusCode));
        Assert.Equal(3, await shop.LedgerAsync());
        await AssertWholeAsync(phone.Id(), 6);
        Assert.Equal(2, await SweepOf(shop.Replica).SweepAsync(Ct));
        Assert.Equal(1, await shop.LedgerAsync());
        await AssertWholeAsync(phone.Id(), 6);
    }

    [Fact]
    public async Task Two_replicas_sweep_together_each_document_once_and_none_in_use()
    {
        var phones = new List<JsonElement>();
        for (var size = 4; size < 8; size++)
            phones.Add(await PostAsync(shop.AsBruno, OfSize(size)));
        var orphans = await shop.Documents.WriteAsync(
            [.. Enumerable.Range(0, 300).Select(_ => new AttributeDocument(Guid.CreateVersion7(), new Dictionary<string, JsonElement> { ["screen-size"] = JsonSerializer.SerializeToElement(1) }))], Ct);

        var swept = await Task.WhenAll(AllAsync(SweepOf(shop.Catalog)), AllAsync(SweepOf(shop.Replica)));

        Assert.Equal(300, swept.Sum());
        Assert.Equal(4, await shop.LedgerAsync());
        Assert.Empty((await shop.Documents.ReadAsync(orphans, Ct))!);
        foreach (var phone in phones)
            AssertWhole(await shop.ShownAsync(phone.Id()));

        static async Task<int> AllAsync(DocumentSweep sweep)
        {
            var all = 0;
            for (int some; (some = await sweep.SweepAsync(Ct)) > 0;)
                all += some;
            return all;
        }
    }

    [Fact]
    public async Task A_writer_whose_document_was_swept_before_its_row_could_point_there_fails()
    {
        var written = await shop.Documents.WriteAsync(Guid.CreateVersion7(), new Dictionary<string, JsonElement>(), Ct);
        await SweepOf(shop.Replica).SweepAsync(Ct);

        await using var connection = await shop.Catalog.Database.OpenConnectionAsync(Ct);
        await using var tx = await connection.BeginTransactionAsync(Ct);

        await Assert.ThrowsAsync<TimeoutException>(() => shop.Documents.MoveAsync(tx, [written], [], Ct));
    }

    [Fact]
    public async Task A_change_of_price_writes_no_document()
    {
        var phone = await PostAsync(shop.AsBruno, OfSize(6));

        using var changed = await PutAsync(shop.AsBruno, phone.Id(), Phone("6", new Dictionary<string, object> { ["screen-size"] = 6.00m }, minor: 100), "\"1\"");

        Assert.Equal(HttpStatusCode.OK, changed.StatusCode);
        Assert.Equal(1, await shop.LedgerAsync());
        await AssertWholeAsync(phone.Id(), 6);
    }

    [Fact]
    public async Task What_a_deleted_listing_said_is_swept()
    {
        var phone = await PostAsync(shop.AsBruno, OfSize(6));

        using var deleted = await shop.AsBruno.DeleteAsync(new Uri($"/api/v1/products/{phone.Id()}", UriKind.Relative), Ct);
        await SweepOf(shop.Catalog).SweepAsync(Ct);

        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        Assert.Equal(0, await shop.LedgerAsync());
    }

    [Fact]
    public async Task While_the_document_store_is_away_listings_are_read_without_attributes_and_the_answer_says_so()
    {
        var phone = await PostAsync(shop.AsBruno, OfSize(6));
        await shop.StopDocumentsAsync();

        using var shown = await shop.AsNobody.GetAsync(new Uri($"/api/v1/products/{phone.Id()}", UriKind.Relative), Ct);
        using var own = await shop.AsBruno.GetAsync(new Uri($"/api/v1/seller/products/{phone.Id()}", UriKind.Relative), Ct);
        using var plain = await shop.AsBruno.PostAsJsonAsync("/api/v1/products", Lamp(), Ct);
        using var refused = await PutAsync(shop.AsBruno, phone.Id(), OfSize(7));

        foreach (var reply in new[] { shown, own })
        {
            Assert.Equal(HttpStatusCode.OK, reply.StatusCode);
            Assert.Contains("documents", reply.Headers.GetValues("X-Degraded").Single().Split(", "));
            Assert.Null(reply.Headers.ETag);
            var listing = await reply.Content.ReadFromJsonAsync<JsonElement>(Ct);
            Assert.False(listing.TryGetProperty("attributes", out _));
            Assert.Equal(["screen-size 6 in"], listing.Pairs("facets"));
        }

        Assert.Equal((HttpStatusCode.Created, HttpStatusCode.ServiceUnavailable), (plain.StatusCode, refused.StatusCode));
        Assert.Equal("6", (await shop.ShownAsync(phone.Id())).Text("title"));
    }

    private static object OfSize(int size) => Phone($"{size}", new Dictionary<string, object> { ["screen-size"] = size });

    private async Task AssertWholeAsync(Guid productId, int size)
    {
        var shown = await shop.ShownAsync(productId);
        AssertWhole(shown);
        Assert.Equal($"{size}", shown.Text("title"));
    }

    private static void AssertWhole(JsonElement phone)
    {
        Assert.True(phone.TryGetProperty("attributes", out var attributes), $"No attributes: {phone}");
        Assert.Equal(phone.Text("title"), $"{attributes.GetProperty("screen-size").GetInt32()}");
        Assert.Equal([$"screen-size {phone.Text("title")} in"], phone.Pairs("facets"));
    }
}
