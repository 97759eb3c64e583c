using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Search.Engine;
using Marketplace.Search.Indexing;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests;

public sealed class WhenTheIndexIsOnDisk : IAsyncLifetime
{
    private const string Pages = "/internal/listings/pages";
    private const string Levels = "/internal/stock/levels";
    private readonly SearchFixture search = new(SearchFixture.Lucene);

    public ValueTask InitializeAsync() => search.InitializeAsync();

    public ValueTask DisposeAsync() => search.DisposeAsync();

    [Fact]
    public async Task A_second_replica_on_the_same_folder_is_refused_and_told_why()
    {
        var refused = await Assert.ThrowsAnyAsync<Exception>(() => search.StartAsync());

        Assert.Contains("Another search process uses the index", refused.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_index_that_cannot_be_read_is_put_aside_and_built_anew()
    {
        await search.DeliverAsync(Listed("Brass lamp"));
        await search.Search.DisposeAsync();
        foreach (var file in Directory.GetFiles(Path.Combine(search.Folder, "index"), "segments*"))
            await File.WriteAllTextAsync(file, "not an index");

        await search.RestartAsync();

        Assert.Empty(await search.TitlesAsync("q=lamp"));
        Assert.Single(Directory.GetDirectories(search.Folder, "index.unreadable-*"));
        await search.DeliverAsync(Listed("Brass lamp"));
        Assert.Single(await search.TitlesAsync("q=lamp"));
    }

    [Fact]
    public async Task A_killed_process_has_lost_nothing_it_acknowledged()
    {
        var folder = Directory.CreateTempSubdirectory("search-killed-").FullName;
        try
        {
            var lamp = Listed("Brass lamp");
            await using (var first = await SearchProcess.StartAsync(folder))
            {
                await first.DeliverAsync(lamp);
                await first.DeliverAsync(Stock(lamp.ProductId, 2));
                first.Kill();
            }

            await using var second = await SearchProcess.StartAsync(folder);
            Assert.Equal(1, await second.CountAsync("q=lamp&inStock=true"));
            await second.DeliverAsync(lamp);                    // what was in flight comes again
            Assert.Equal(1, await second.CountAsync("q=lamp&inStock=true"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task A_process_killed_amid_many_events_catches_up_with_those_it_had_not_acknowledged()
    {
        var folder = Directory.CreateTempSubdirectory("search-killed-").FullName;
        try
        {
            var lamps = Enumerable.Range(1, 120).Select(number => Listed($"Lamp {number}")).ToList();
            var orders = lamps.Select(lamp => Bought(lamp.ProductId, 1)).ToList();
            var acknowledged = new ConcurrentBag<Guid>();
            await using (var first = await SearchProcess.StartAsync(folder))
            {
                await Parallel.ForEachAsync(lamps.Zip(orders), new ParallelOptions { MaxDegreeOfParallelism = 16 }, async (both, _) =>
                {
                    try
                    {
                        await first.DeliverAsync(both.First);
                        await first.DeliverAsync(both.Second);
                        acknowledged.Add(both.First.ProductId);
                    }
                    catch (Exception gone) when (gone is HttpRequestException or SocketException)
                    {
                        return;                                 // the process died, just when it had accepted perhaps: the broker would deliver it again
                    }

                    if (acknowledged.Count == 40)
                        first.Kill();
                });
            }

            await using var second = await SearchProcess.StartAsync(folder);
            Assert.Subset((await second.FoundAsync("q=lamp")).ToHashSet(), acknowledged.ToHashSet());

            foreach (var (lamp, order) in lamps.Zip(orders))    // all of it again, in another order
            {
                await second.DeliverAsync(order);
                await second.DeliverAsync(lamp);
            }

            await second.DeliverAsync(Bought(lamps[7].ProductId, 1));
            Assert.Equal(120, (await second.FoundAsync("q=lamp")).Count);
            Assert.Equal(lamps[7].ProductId, (await second.FoundAsync("sort=bestselling"))[0]);     // two units: no order counted twice
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Every commit leaves segments behind, and merging those is most of the work of small ones.</summary>
    [Fact]
    public async Task A_rebuild_commits_ratings_with_the_listings_and_not_page_by_page()
    {
        var lamps = Enumerable.Range(1, 6).Select(number => Listed($"Lamp {number}")).ToList();
        search.Search.Neighbour("inventory").On(HttpMethod.Post, "/internal/stock/levels", new { levels = Array.Empty<StockLevel>() });
        search.Search.Neighbour("catalog").On(HttpMethod.Post, Pages, call =>
        {
            var after = call.Read<JsonElement>().GetProperty("after");
            var at = after.ValueKind == JsonValueKind.Null ? 0 : lamps.FindIndex(lamp => lamp.ProductId == after.GetGuid()) + 1;
            return FakeReply.Ok(new { items = lamps.Skip(at).Take(1), next = at < lamps.Count ? lamps[at].ProductId : (Guid?)null, ratings = lamps.Skip(at).Take(1).Select(lamp => new { productId = lamp.ProductId, average = 4.5, count = 2, version = 1 }) });
        });
        var engine = search.Search.Services.GetRequiredService<ISearchEngine>();
        var before = engine.Generation;

        using var operations = search.Search.As(TestTokens.Operator());
        await operations.PostAsync("/api/v1/operations/search/rebuild", null);
        await Eventually.Async(async () => (await operations.GetFromJsonAsync<JsonElement>("/api/v1/operations/search/rebuild")).GetProperty("state").GetString() == "done", "the rebuild ends");

        Assert.Equal(6, (await search.FindAsync("minRating=4")).Total);
        Assert.InRange(engine.Generation - before, 1, 3);       // listings with all that is told of them, what is gone, that it is whole
    }

    [Fact]
    public async Task A_filling_that_was_cut_off_is_taken_up_again_by_the_next_start()
    {
        await search.DeliverAsync(Listed("Brass lamp"));        // an event, but no rebuild ever came to its end
        await search.Search.DisposeAsync();
        await using var catalog = await FakeNeighbour.StartAsync();
        await using var inventory = await FakeNeighbour.StartAsync();
        catalog.On(HttpMethod.Post, Pages, new { items = new[] { Listed("Silver lamp") }, next = (Guid?)null });
        inventory.On(HttpMethod.Post, Levels, new { levels = Array.Empty<StockLevel>() });

        await using var filling = await search.StartAsync(
            ("Search:RebuildWhenEmpty", "true"), ("Neighbours:catalog", catalog.Address.ToString()), ("Neighbours:inventory", inventory.Address.ToString()));

        await Eventually.Async(
            async () => (await filling.As(null).GetFromJsonAsync<FoundPage>("/api/v1/search?q=lamp"))!.Items.Select(product => product.Title).SequenceEqual(["Silver lamp"]), "the catalogue is read, and what it has not is gone");
    }

    [Fact]
    public async Task How_far_the_index_is_behind_is_measured()
    {
        using var meters = new MeterListener();
        var lags = new ConcurrentBag<double>();
        meters.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == IndexFeed.MeterName && instrument.Name == "search.index.lag")
                listener.EnableMeasurementEvents(instrument);
        };
        meters.SetMeasurementEventCallback<double>((_, seconds, _, _) => lags.Add(seconds));
        meters.Start();

        await search.DeliverAsync(Listed("Brass lamp") with { OccurredAt = DateTimeOffset.UtcNow.AddMinutes(-7) });

        Assert.Contains(lags, seconds => seconds is > 419 and < 600);
    }

    [Fact]
    public async Task An_engine_that_does_not_exist_is_refused_and_named()
    {
        var refused = await Assert.ThrowsAnyAsync<Exception>(() => search.StartAsync(("Search:Engine", "altavista")));

        Assert.Contains("no search engine altavista", refused.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_empty_index_fills_itself()
    {
        await search.Search.DisposeAsync();
        await using var catalog = await FakeNeighbour.StartAsync();
        await using var inventory = await FakeNeighbour.StartAsync();
        var lamp = Listed("Brass lamp");
        catalog.On(HttpMethod.Post, Pages, new { items = new[] { lamp }, next = (Guid?)null });
        inventory.On(HttpMethod.Post, Levels, new { levels = new[] { new StockLevel(lamp.ProductId, 1, 1) } });

        await using var filling = await search.StartAsync(
            ("Search:RebuildWhenEmpty", "true"), ("Neighbours:catalog", catalog.Address.ToString()), ("Neighbours:inventory", inventory.Address.ToString()));

        await Eventually.Async(
            async () => (await filling.As(null).GetFromJsonAsync<FoundPage>("/api/v1/search?q=lamp&inStock=true"))!.Items.Count == 1, "the catalogue's lamp is found");
    }

    [Theory]
    [InlineData(null, null, "/repo/.local/search"), InlineData(null, "/data", "/data/search"), InlineData("mine", "/data", "/repo/services/Search/mine"), InlineData("/else/where", null, "/else/where")]
    public void The_folder_is_the_configured_one_or_under_the_data_folder_or_the_repositorys(string? configured, string? data, string expected) =>
        Assert.Equal(expected, new SearchOptions { IndexFolder = configured }.FolderUnder("/repo/services/Search", data));

    /// <summary>The built executable, because only a process can be killed.</summary>
    private sealed class SearchProcess(Process process, HttpClient http) : IAsyncDisposable
    {
        public static async Task<SearchProcess> StartAsync(string folder)
        {
            var port = Ports.Free();
            var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Search.dll"), "--urls", $"http://127.0.0.1:{port}"])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                WorkingDirectory = folder,
                Environment =
                {
                    ["APP_API_TOKEN"] = "test-token", ["Search__IndexFolder"] = Path.Combine(folder, "index-folder"), ["Search__RebuildWhenEmpty"] = "false",
                    ["Auth__Jwks"] = TestTokens.Jwks, ["Logging__LogLevel__Default"] = "Warning",
                },
            };
            var process = Process.Start(start)!;
            process.OutputDataReceived += (_, _) => { };
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
            http.DefaultRequestHeaders.Add("dapr-api-token", "test-token");
            await Eventually.Async(
                async () =>
                {
                    try
                    {
                        return (await http.GetAsync("/livez")).IsSuccessStatusCode;
                    }
                    catch (HttpRequestException)
                    {
                        return process.HasExited ? throw new InvalidOperationException($"The process ended with {process.ExitCode}.") : false;
                    }
                },
                "the process answers",
                TimeSpan.FromSeconds(60));
            return new SearchProcess(process, http);
        }

        public async Task DeliverAsync(DomainEvent @event)
        {
            var topic = (string)@event.GetType().GetField("Topic")!.GetRawConstantValue()!;
            (await http.PostAsJsonAsync($"/events/{topic.Replace('.', '-')}", (object)@event)).EnsureSuccessStatusCode();
        }

        public async Task<int> CountAsync(string query) => (await http.GetFromJsonAsync<FoundPage>($"/api/v1/search?{query}"))!.Items.Count;

        public async Task<List<Guid>> FoundAsync(string query)
        {
            var (found, cursor) = (new List<Guid>(), (string?)null);
            do
            {
                var page = (await http.GetFromJsonAsync<FoundPage>($"/api/v1/search?{query}&limit=100&cursor={cursor}"))!;
                found.AddRange(page.Items.Select(product => product.ProductId));
                cursor = page.Next;
            }
            while (cursor is not null);
            return found;
        }

        public void Kill() => process.Kill();                   // SIGKILL

        public async ValueTask DisposeAsync()
        {
            if (!process.HasExited)
                process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
            http.Dispose();
        }
    }
}
