using System.Net;
using System.Security.Claims;
using System.Text;
using Marketplace.Catalog.Imports;
using Marketplace.Hosting;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests.Imports;

public sealed class WhenAnImportBreaksOff(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    private const int Rows = 950;
    private static readonly byte[] File = Encoding.UTF8.GetBytes(
        "sku,title,description,category,price\n" + string.Concat(Enumerable.Range(0, Rows).Select(row => $"S{row:000},Lamp {row} of brass,\"two\nlines\",lighting,{1 + row % 90}.00\n")));

    private readonly Importer seller = new(shop.Catalog);

    [Fact]
    public async Task What_came_whole_is_stored_and_it_goes_on_at_the_byte_it_names()
    {
        var cut = File.Length * 2 / 3;
        await BreakOffAsync(cut);

        var found = await TheImportAsync();
        await UntilAsync(async () => (await seller.ShowAsync(found.ImportId)).Offset > cut - 100, "the whole rows that came are stored");
        var stands = await seller.ShowAsync(found.ImportId);
        Assert.Equal(("open", 0L), (stands.Status, stands.Failed));
        Assert.Equal((byte)'\n', File[stands.Offset - 1]);
        Assert.Equal(await seller.StoredAsync(), stands.Created);

        using var head = await seller.Http.SendAsync(new HttpRequestMessage(HttpMethod.Head, $"/api/v1/seller/imports/{found.ImportId}"));
        Assert.Equal(($"{stands.Offset}", "?0"), (head.Headers.GetValues("Upload-Offset").Single(), head.Headers.GetValues("Upload-Complete").Single()));

        using var rest = await seller.PatchAsync(found.ImportId, stands.Offset, Importer.Body(File[(int)stands.Offset..]));
        var ended = await Importer.StateAsync(rest, HttpStatusCode.OK);
        Assert.Equal(("completed", (long)File.Length, (Rows, 0L, 0L, 0L)), (ended.Status, ended.Offset, ended.Counts));
        Assert.Equal((Rows, Rows), (await seller.StoredAsync(), await seller.EventsAsync()));
    }

    [Fact]
    public async Task A_wrong_byte_is_refused_with_the_right_one()
    {
        using var first = await seller.PostAsync(Importer.Body(File[..20_000]), last: false);
        var stands = await Importer.StateAsync(first, HttpStatusCode.Created);

        foreach (var wrong in (long[])[0, stands.Offset - 1, stands.Offset + 1, 20_000, long.MaxValue])
        {
            using var refused = await seller.PatchAsync(stands.ImportId, wrong, Importer.Body(File[20_000..]));
            var problem = await AssertProblemAsync(refused, HttpStatusCode.Conflict, "/problems/upload-offset");
            Assert.Equal(stands.Offset, problem.GetProperty("offset").GetInt64());
            Assert.Equal($"{stands.Offset}", refused.Headers.GetValues("Upload-Offset").Single());
        }

        using var unsaid = new HttpRequestMessage(HttpMethod.Patch, $"/api/v1/seller/imports/{stands.ImportId}") { Content = Importer.Body("x") };
        using var missing = await seller.Http.SendAsync(unsaid);
        await AssertProblemAsync(missing, HttpStatusCode.BadRequest, "/problems/upload-offset-missing");
        Assert.Equal(stands, await seller.ShowAsync(stands.ImportId));
    }

    [Theory]
    [InlineData(5_000)]
    [InlineData(7_777)]
    [InlineData(30)]
    public async Task A_file_in_parts_that_end_anywhere_is_the_same_file(int part)
    {
        var file = part < 100 ? File[..(Array.IndexOf(File, (byte)'\n', 640) + 1)] : File;
        using var begun = await seller.PostAsync(Importer.Body([]), last: false);
        var stands = await Importer.StateAsync(begun, HttpStatusCode.Created);
        for (var parts = 0; stands.Status == "open"; parts++)
        {
            Assert.True(parts < 1000, "every part gets further");
            // A part that brings no whole row brings nothing: then the next one is longer.
            var length = (int)Math.Min(part * (1 + parts % 3), file.Length - stands.Offset);
            using var reply = await seller.PatchAsync(
                stands.ImportId, stands.Offset, Importer.Body(file[(int)stands.Offset..][..length]), last: stands.Offset + length == file.Length);
            stands = await Importer.StateAsync(reply, HttpStatusCode.OK);
        }

        var rows = Encoding.UTF8.GetString(file).Split("lighting").Length - 1;
        Assert.Equal((rows, file.Length), (await seller.StoredAsync(), stands.Offset));
        Assert.Equal((rows, 0L, 1L + rows), (stands.Created, stands.Failed, stands.Rows));
    }

    [Fact]
    public async Task A_repeat_with_the_same_key_goes_on_where_the_first_was_and_ends_with_one_import()
    {
        await BreakOffAsync(File.Length / 2, key: "spring catalogue");

        using var again = await seller.PostAsync(Importer.Body(File), key: "spring catalogue");
        var ended = await Importer.StateAsync(again, HttpStatusCode.OK);
        using var oncemore = await seller.PostAsync(Importer.Body(File), key: "spring catalogue");
        var same = await Importer.StateAsync(oncemore, HttpStatusCode.OK);

        Assert.Equal(("completed", (Rows, 0L, 0L, 0L)), (ended.Status, ended.Counts));
        Assert.Equal(ended, same);
        Assert.Equal("true", oncemore.Headers.GetValues("Idempotent-Replayed").Single());
        Assert.Equal(1L, await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM imports WHERE seller_id = $1", seller.Id));
        Assert.Equal(Rows, await seller.EventsAsync());
    }

    [Fact]
    public async Task A_repeat_goes_on_where_not_even_the_header_had_come()
    {
        using var first = await seller.PostAsync("sku,tit", key: "k", last: false);
        await Importer.StateAsync(first, HttpStatusCode.Created);
        using var again = await seller.PostAsync(Importer.Body(File), key: "k");
        var ended = await Importer.StateAsync(again, HttpStatusCode.OK);
        Assert.Equal(("completed", (Rows, 0L, 0L, 0L)), (ended.Status, ended.Counts));
    }

    [Theory]
    [InlineData(1_200_000)]
    [InlineData(1_700_000)]
    [InlineData(2_000_060)]
    public async Task A_repeat_goes_on_from_within_a_row_that_is_too_long(int cut)
    {
        var file = Encoding.UTF8.GetBytes($"sku,title,category,price\nA,Lamp,lighting,1\nB,{new string('x', 2_000_000)},lighting,1\nC,Lamp,lighting,1\nD,Lamp,lighting,1\n");
        using var first = await seller.PostAsync(Importer.Body(file[..cut]), key: "k", last: false);
        Assert.Equal((1L, 0L, 0L, 1L), (await Importer.StateAsync(first, HttpStatusCode.Created)).Counts);

        using var again = await seller.PostAsync(Importer.Body(file), key: "k");

        var ended = await Importer.StateAsync(again, HttpStatusCode.OK);
        Assert.Equal(("completed", (long)file.Length, 5L, (3L, 0L, 0L, 1L)), (ended.Status, ended.Offset, ended.Rows, ended.Counts));
    }

    [Fact]
    public async Task A_key_that_cannot_be_kept_is_refused_and_not_passed_over()
    {
        using var reply = await seller.PostAsync(Importer.Body(File), key: new string('k', 256));
        var problem = await AssertProblemAsync(reply, HttpStatusCode.BadRequest, "/problems/idempotency-key-missing");
        Assert.Equal("Idempotency-Key", problem.GetProperty("field").GetString());
        Assert.Equal(0, await seller.StoredAsync());
    }

    [Theory]
    [InlineData("A,Lamp,lighting,1\nB,Desk lamp,lighting,2\nC,Vase,homeware,3\n")]
    [InlineData("A,Lamp,lighting,1\n")]
    [InlineData("A,Lamp,lighting,1\nB,Desk lamp,lighting,20\n")]
    public async Task A_file_that_was_changed_is_not_answered_with_what_became_of_the_old_one(string changed)
    {
        const string Header = "sku,title,category,price\n";
        using var first = await seller.PostAsync(Header + "A,Lamp,lighting,1\nB,Desk lamp,lighting,2\n", key: "k");
        Assert.Equal("completed", (await Importer.StateAsync(first, HttpStatusCode.Created)).Status);
        using var again = await seller.PostAsync(Header + changed, key: "k");
        await AssertProblemAsync(again, HttpStatusCode.UnprocessableEntity, "/problems/idempotency-key-reused");
        Assert.Equal(2, await seller.StoredAsync());
    }

    [Fact]
    public async Task Another_file_under_a_used_key_is_refused()
    {
        using var first = await seller.PostAsync(Importer.Body(File[..20_000]), key: "k", last: false);
        await Importer.StateAsync(first, HttpStatusCode.Created);
        using var header = await seller.PostAsync("sku,title\nA,Lamp\n", key: "k");
        await AssertProblemAsync(header, HttpStatusCode.UnprocessableEntity, "/problems/idempotency-key-reused");
        using var rows = await seller.PostAsync("sku,title,description,category,price\n" + new string('x', 30_000) + "\n", key: "k");
        await AssertProblemAsync(rows, HttpStatusCode.UnprocessableEntity, "/problems/idempotency-key-reused");
    }

    [Fact]
    public async Task Of_two_requests_at_once_the_later_goes_on_and_the_earlier_stores_nothing_more()
    {
        using var begun = await seller.PostAsync(Importer.Body(File[..20_000]), last: false);
        var stands = await Importer.StateAsync(begun, HttpStatusCode.Created);
        var rest = File[(int)stands.Offset..];
        var half = new TaskCompletionSource();
        var taken = new TaskCompletionSource();

        var earlier = seller.PatchAsync(stands.ImportId, stands.Offset, new Pieces(async stream =>
        {
            await stream.WriteAsync(rest.AsMemory(0, 100));
            await stream.FlushAsync();
            half.SetResult();
            await taken.Task;
            await stream.WriteAsync(rest.AsMemory(100));
        }));
        await half.Task;
        await UntilAsync(async () => await shop.Catalog.ScalarAsync<long>("SELECT run FROM imports WHERE import_id = $1", stands.ImportId) == 2, "the earlier one has begun");
        using var later = await seller.PatchAsync(stands.ImportId, stands.Offset, Importer.Body(rest));
        taken.SetResult();
        using var late = await earlier;

        Assert.Equal("completed", (await Importer.StateAsync(later, HttpStatusCode.OK)).Status);
        await AssertProblemAsync(late, HttpStatusCode.Conflict, "/problems/import-ended");
        Assert.Equal((Rows, Rows), (await seller.StoredAsync(), await seller.EventsAsync()));
        Assert.Equal(Rows, (await seller.ShowAsync(stands.ImportId)).Created);
    }

    [Fact]
    public async Task Many_at_once_with_the_same_rows_store_each_once()
    {
        var replies = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => seller.PostAsync(Importer.Body(File))));
        var states = await Task.WhenAll(replies.Select(reply => Importer.StateAsync(reply, HttpStatusCode.Created)));

        Assert.All(states, state => Assert.Equal(("completed", 0L), (state.Status, state.Failed)));
        Assert.Equal(Rows, states.Sum(state => state.Created));
        Assert.Equal((Rows, Rows), (await seller.StoredAsync(), await seller.EventsAsync()));
    }

    [Fact]
    public async Task Rows_that_are_not_committed_are_not_counted_and_come_again()
    {
        await using var dying = await ServiceUnderTest<Program>.StartAsync("catalog", calls: ["identity"]);
        var victim = new Importer(dying);
        using var begun = await victim.PostAsync(Importer.Body(File[..20_000]), last: false);
        var stands = await Importer.StateAsync(begun, HttpStatusCode.Created);
        // The database refuses in the middle of a batch, as if the process had died there.
        await using (var trap = dying.Database.CreateCommand("""
            CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'died' USING ERRCODE = 'admin_shutdown'; END $$;
            CREATE TRIGGER die BEFORE INSERT ON outbox FOR EACH ROW WHEN (NEW.payload->>'title' LIKE 'Lamp 700%') EXECUTE FUNCTION die();
            """))
            await trap.ExecuteNonQueryAsync();
        using var failed = await victim.PatchAsync(stands.ImportId, stands.Offset, Importer.Body(File[(int)stands.Offset..]));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, failed.StatusCode);

        var between = await victim.ShowAsync(stands.ImportId);
        Assert.Equal(await victim.StoredAsync(), between.Created);
        Assert.Equal(await victim.EventsAsync(), between.Created);
        Assert.InRange(between.Created, 400, 700);

        await using (var mend = dying.Database.CreateCommand("DROP TRIGGER die ON outbox"))
            await mend.ExecuteNonQueryAsync();
        using var rest = await victim.PatchAsync(stands.ImportId, between.Offset, Importer.Body(File[(int)between.Offset..]));
        var ended = await Importer.StateAsync(rest, HttpStatusCode.OK);
        Assert.Equal(("completed", (Rows, 0L, 0L, 0L)), (ended.Status, ended.Counts));
        Assert.Equal((Rows, Rows), (await victim.StoredAsync(), await victim.EventsAsync()));
    }

    [Fact]
    public async Task Rows_whose_commit_was_not_heard_of_are_neither_stored_nor_counted_twice()
    {
        var services = shop.Catalog.Services;
        var iris = SellerId.Of(new ClaimsPrincipal(new ClaimsIdentity([new Claim("seller_id", $"{seller.Id}")], "test")));
        var (import, _) = await services.GetRequiredService<ImportStore>().StartAsync(iris, null, null, (byte)',', default, default);

        // The second time as it stood before the first: as whoever believes that nothing came of it.
        Assert.Equal(RunEnd.Stored, await RunAsync());
        Assert.Equal(RunEnd.TakenOver, await RunAsync());

        Assert.Equal((2L, 0L, 0L, 0L), (await seller.ShowAsync(import.ImportId)).Counts);
        Assert.Equal(2, await seller.EventsAsync());

        async Task<RunEnd> RunAsync()
        {
            using var rows = new CsvRows(new MemoryStream("sku,title,category,price\nA,Lamp,lighting,1\nB,Lamp,lighting,1\n"u8.ToArray()), default);
            var (columns, _) = ImportColumns.Of(await rows.NextAsync(last: false, default));
            return (await services.GetRequiredService<ImportRun>().RunAsync(import, iris, "Iris", rows, columns!, last: false, default)).End;
        }
    }

    [Fact]
    public async Task One_that_others_overtake_each_time_is_told_to_come_back_and_can()
    {
        await using var busy = await ServiceUnderTest<Program>.StartAsync("catalog", calls: ["identity"]);
        var victim = new Importer(busy);
        await using (var trap = busy.Database.CreateCommand("""
            CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'unique_violation'; END $$;
            CREATE TRIGGER overtake BEFORE INSERT ON skus FOR EACH ROW EXECUTE FUNCTION overtake();
            """))
            await trap.ExecuteNonQueryAsync();
        const string rows = "A,Lamp,lighting,1\n";

        using var refused = await victim.PostAsync("sku,title,category,price\n" + rows, key: "k");
        await AssertProblemAsync(refused, HttpStatusCode.ServiceUnavailable, "/problems/unavailable");

        await using (var mend = busy.Database.CreateCommand("DROP TRIGGER overtake ON skus"))
            await mend.ExecuteNonQueryAsync();
        using var again = await victim.PostAsync("sku,title,category,price\n" + rows, key: "k");
        Assert.Equal((1L, 0L, 0L, 0L), (await Importer.StateAsync(again, HttpStatusCode.OK)).Counts);
    }

    /// <summary>Sends the file's first bytes and, once some of their rows are stored, hangs up.</summary>
    private async Task BreakOffAsync(int cut, string? key = null)
    {
        using var line = new CancellationTokenSource();
        var body = new Pieces(async stream =>
        {
            await stream.WriteAsync(File.AsMemory(0, cut));
            await stream.FlushAsync();
            await UntilAsync(async () => await seller.StoredAsync() > 200, "rows are stored while the body still comes");
            await line.CancelAsync();
            await Task.Delay(Timeout.Infinite, line.Token);
        });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => seller.PostAsync(body, key, ct: line.Token));
    }

    private static Task UntilAsync(Func<Task<bool>> condition, string because) => Eventually.Async(condition, because, TimeSpan.FromSeconds(30));

    private async Task<ImportState> TheImportAsync()
    {
        var page = await System.Net.Http.Json.HttpClientJsonExtensions.GetFromJsonAsync<System.Text.Json.JsonElement>(seller.Http, "/api/v1/seller/imports");
        return await seller.ShowAsync(page.GetProperty("items")[0].GetProperty("importId").GetGuid());
    }
}
