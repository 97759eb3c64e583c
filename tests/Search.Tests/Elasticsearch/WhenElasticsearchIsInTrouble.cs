using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Search.Engine;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests.Elasticsearch;

/// <summary>What the engine does when Elasticsearch is away, busy or half done, on a stand-in that can be told to be.</summary>
public sealed class WhenElasticsearchIsInTrouble : IAsyncLifetime
{
    private readonly List<ServiceUnderTest<Program>> replicas = [];
    private readonly ConcurrentQueue<string> logged = new();
    private StandIn standIn = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => standIn = await StandIn.StartAsync();

    public async ValueTask DisposeAsync()
    {
        foreach (var replica in replicas)
            await replica.DisposeAsync();
        await standIn.DisposeAsync();
    }

    [Fact]
    public async Task Unreachable_at_the_start_it_is_waited_for_and_searches_and_events_are_told_to_come_again()
    {
        var port = Ports.Free();
        var search = await StartAsync(("Secrets:elasticsearch-url", $"http://127.0.0.1:{port}"), ("Search:RebuildWhenEmpty", "true"));

        var refused = await search.As(null).GetAsync("/api/v1/search?q=lamp", Ct);
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "1"), (refused.StatusCode, refused.Headers.RetryAfter?.ToString()));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await search.As(null).GetAsync("/api/v1/suggestions?q=lamp", Ct)).StatusCode);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await search.DeliverAsync(Listed("Brass lamp"))).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await search.As(null).GetAsync("/livez", Ct)).StatusCode);
        var ready = await search.As(null).GetAsync("/readyz", Ct);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, ready.StatusCode);
        Assert.Contains($"127.0.0.1:{port}", (await ready.Content.ReadFromJsonAsync<JsonElement>(Ct)).GetProperty("checks").GetProperty("engine").GetString(), StringComparison.Ordinal);
        Assert.Contains(logged, line => line.Contains("Waiting for Elasticsearch", StringComparison.Ordinal));

        search.Neighbour("catalog").On(HttpMethod.Post, "/internal/listings/pages", new { items = Array.Empty<object>(), next = (string?)null });
        await using var late = await StandIn.StartAsync(port);
        await Eventually.Async(async () => (await search.As(null).GetAsync("/readyz", Ct)).IsSuccessStatusCode, "it is found", TimeSpan.FromSeconds(30));
        await Eventually.Async(async () => (await search.DeliverAsync(Listed("Brass lamp"))).IsSuccessStatusCode, "it takes events");
        await Eventually.Async(async () => (await TitlesAsync(search, "q=lamp")).SequenceEqual(["Brass lamp"]), "and shows them");
        await Eventually.Async(() => late.Indices is ["products-2"], "and the index is filled");
    }

    [Fact]
    public async Task Away_for_a_while_it_is_not_ready_and_goes_on_by_itself()
    {
        var search = await StartAsync();
        await DeliverAsync(search, Listed("Brass lamp"));

        using var up = new Gauge("search.elasticsearch.up");
        await Eventually.Async(() => up.Read() == 1, "all that are started answer");

        standIn.Instead = _ => StandIn.Refused(503, "unavailable", "no master");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await search.As(null).GetAsync("/api/v1/search?q=lamp+brass", Ct)).StatusCode);
        Assert.Equal(0, up.Read());
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await search.As(null).GetAsync("/readyz", Ct)).StatusCode);

        standIn.Instead = _ => null;
        Assert.Equal(["Brass lamp"], await TitlesAsync(search, "q=lamp"));
        Assert.Equal(HttpStatusCode.OK, (await search.As(null).GetAsync("/readyz", Ct)).StatusCode);
        await Eventually.Async(() => up.Read() == 1, "it answers again");
    }

    [Fact]
    public async Task Too_busy_for_a_change_it_gets_it_again_whole_or_in_part()
    {
        var search = await StartAsync();
        var (lamp, vase) = (Listed("Brass lamp"), Listed("Crystal vase"));
        var refusals = 2;
        standIn.Instead = request => request.Target.EndsWith("_bulk", StringComparison.Ordinal) && refusals-- > 0 ? StandIn.Refused(429, "es_rejected_execution_exception", "queue is full") : null;
        await DeliverAsync(search, lamp);

        var partial = 2;
        standIn.InsteadOfItem = id => id == vase.ProductId.ToString("N") && partial-- > 0 ? (partial == 0 ? 429 : 409, "version_conflict_engine_exception") : null;
        await search.Services.GetRequiredService<ISearchEngine>().ApplyAsync([Upsert(vase), new IndexChange.Stock([new StockLevel(lamp.ProductId, 4, 1)])], Ct);

        Assert.Equal(["Brass lamp", "Crystal vase"], (await TitlesAsync(search, "")).Order());
        Assert.Equal(["Brass lamp"], await TitlesAsync(search, "inStock=true"));
        var again = standIn.Sent.Last(request => request.Target.EndsWith("_bulk", StringComparison.Ordinal));
        Assert.DoesNotContain(lamp.ProductId.ToString("N"), again.Body, StringComparison.Ordinal);     // only what failed
    }

    [Fact]
    public async Task What_it_will_never_take_fails_its_own_event_and_no_other()
    {
        var search = await StartAsync();
        var (bad, good) = (Listed("Bad lamp"), Enumerable.Range(1, 20).Select(number => Listed($"Good lamp {number}")).ToList());
        standIn.InsteadOfItem = id => id == bad.ProductId.ToString("N") ? (400, "document_parsing_exception") : null;

        var replies = await Task.WhenAll(good.Append(bad).Select(listing => search.DeliverAsync(listing)));

        Assert.All(replies[..^1], reply => Assert.Equal(HttpStatusCode.OK, reply.StatusCode));
        Assert.Equal(HttpStatusCode.InternalServerError, replies[^1].StatusCode);
        Assert.Equal(20, (await FindAsync(search, "q=lamp")).Total);
    }

    [Fact]
    public async Task Of_a_batch_only_what_it_refuses_or_does_not_take_in_time_is_delivered_again()
    {
        var search = await StartAsync(("Search:Elasticsearch:WritePatience", "00:00:00.200"));
        var lamps = Enumerable.Range(1, 20).Select(number => Listed($"Lamp {number}")).ToList();
        standIn.InsteadOfItem = id => id == lamps[3].ProductId.ToString("N") ? (400, "document_parsing_exception") : id == lamps[7].ProductId.ToString("N") ? (429, "es_rejected_execution_exception") : null;

        var reply = await search.AsNeighbour().PostAsJsonAsync("/events/product-upserted", new { entries = lamps.Select((lamp, number) => new { entryId = $"{number}", @event = new { data = lamp } }) }, Ct);

        var statuses = (await reply.Content.ReadFromJsonAsync<JsonElement>(Ct)).GetProperty("statuses").EnumerateArray().ToDictionary(one => one.GetProperty("entryId").GetString()!, one => one.GetProperty("status").GetString());
        Assert.Equal(["3", "7"], statuses.Where(one => one.Value == "RETRY").Select(one => one.Key));
        Assert.Equal(18, statuses.Values.Count(status => status == "SUCCESS"));
        Assert.Equal(18, (await FindAsync(search, "q=lamp")).Total);
    }

    [Fact]
    public async Task A_change_it_does_not_take_in_time_goes_back_to_the_broker()
    {
        var search = await StartAsync(("Search:Elasticsearch:WritePatience", "00:00:00.200"));
        standIn.InsteadOfItem = _ => (429, "es_rejected_execution_exception");

        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await search.DeliverAsync(Listed("Brass lamp"))).StatusCode);
    }

    [Fact]
    public async Task A_death_between_the_change_of_a_variant_and_that_of_its_listing_is_made_good_by_the_next_delivery()
    {
        var search = await StartAsync(("Search:Elasticsearch:WritePatience", "00:00:00.200"));
        var variant = Guid.CreateVersion7();
        var shirt = Listed("Cotton shirt") with { Variants = [new ListingVariant(variant, "CTN", [new ListingAttribute("size", "S")], Money.Gbp(100))] };
        await DeliverAsync(search, shirt);

        standIn.InsteadOfItem = id => id == shirt.ProductId.ToString("N") ? (503, "unavailable") : null;
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await search.DeliverAsync(Stock(variant, 3))).StatusCode);
        Assert.Equal(3, standIn.Document(standIn.Behind("products"), variant)!["available"]!.GetValue<long>());
        Assert.Empty(await TitlesAsync(search, "inStock=true"));

        standIn.InsteadOfItem = _ => null;
        await DeliverAsync(search, Stock(variant, 3));
        Assert.Equal(["Cotton shirt"], await TitlesAsync(search, "inStock=true"));
    }

    [Fact]
    public async Task Two_replicas_share_the_index_and_an_order_told_to_both_counts_once()
    {
        var (one, other) = (await StartAsync(), await StartAsync());
        var (lamp, vase) = (Listed("Brass lamp"), Listed("Crystal vase"));
        var order = Bought(lamp.ProductId, 2);
        await Task.WhenAll(DeliverAsync(one, lamp), DeliverAsync(other, vase));
        await Task.WhenAll(DeliverAsync(one, order), DeliverAsync(other, order), DeliverAsync(other, Bought(vase.ProductId, 3)));

        Assert.Equal(["Crystal vase", "Brass lamp"], await TitlesAsync(one, "sort=bestselling"));
        Assert.Single(standIn.Indices);

        await DeliverAsync(one, Bought(lamp.ProductId, 2));     // the other one remembers its last answer for a second at most
        await Eventually.Async(async () => (await TitlesAsync(other, "sort=bestselling")).SequenceEqual(["Brass lamp", "Crystal vase"]), "the other replica shows it", TimeSpan.FromSeconds(5));
    }

    [Fact]
    public async Task The_alias_moves_at_once_and_only_when_all_is_there()
    {
        var (one, other) = (await StartAsync(), await StartAsync());
        var (kept, gone, late) = (Listed("Kept lamp"), Listed("Gone lamp"), Listed("Late lamp"));
        await DeliverAsync(one, kept, gone, Stock(kept.ProductId, 4), Bought(kept.ProductId, 2));
        var rebuild = await BeginAsync(one);
        await rebuild.AddAsync([Upsert(kept).Listing], [], [], Ct);
        await DeliverAsync(other, late, Stock(late.ProductId, 2), kept with { Title = "Kept lamp, polished", Revision = 2 });      // to the one that serves
        Assert.Equal("products-1", standIn.Behind("products"));
        Assert.Equal(3, (await FindAsync(one, "q=lamp")).Total);

        var before = standIn.Sent.Count;
        Assert.Equal(1, await rebuild.CompleteAsync(Ct));

        Assert.Equal(["products-2"], standIn.Indices);
        Assert.Equal(["Kept lamp, polished", "Late lamp"], (await TitlesAsync(other, "q=lamp&inStock=true")).Order());
        Assert.Equal("Kept lamp, polished", (await TitlesAsync(one, "sort=bestselling"))[0]);
        var steps = standIn.Sent.Skip(before).Where(request => request.Target is "/_aliases" or "/{index}/_settings" or "/{index}/_block/write" or "/{index}" && request.Method is not ("GET" or "HEAD")).Select(request => $"{request.Method} {request.Path}").ToList();
        Assert.Equal(["PUT /products-1/_block/write", "PUT /products-2/_settings", "POST /_aliases", "DELETE /products-1"], steps);

        await DeliverAsync(one, gone with { Revision = 1 });    // an old event of what the catalogue does not show
        Assert.Equal(2, (await FindAsync(one, "q=lamp")).Total);
        await DeliverAsync(one, gone with { Revision = 2 });
        Assert.Equal(3, (await FindAsync(one, "q=lamp")).Total);
    }

    [Fact]
    public async Task Killed_halfway_a_rebuild_has_harmed_nothing_and_the_next_one_removes_what_it_left()
    {
        var (one, other) = (await StartAsync(("Search:Elasticsearch:RebuildLease", "00:00:01")), await StartAsync(("Search:Elasticsearch:RebuildLease", "00:00:01")));
        var lamp = Listed("Brass lamp");
        await DeliverAsync(one, lamp);
        await (await BeginAsync(one)).AddAsync([], [], [], Ct);     // and nothing more

        Assert.Contains("Another replica is rebuilding", (await Assert.ThrowsAsync<Engine.Elasticsearch.RebuildElsewhereException>(() => BeginAsync(other))).Message, StringComparison.Ordinal);
        Assert.Equal(["Brass lamp"], await TitlesAsync(one, "q=lamp"));

        await Eventually.Async(
            async () =>
            {
                try
                {
                    var rebuild = await BeginAsync(other);
                    await rebuild.AddAsync([Upsert(lamp).Listing], [], [], Ct);
                    await rebuild.CompleteAsync(Ct);
                    return true;
                }
                catch (Engine.Elasticsearch.RebuildElsewhereException)
                {
                    return false;
                }
            },
            "the dead one is given up");
        Assert.Single(standIn.Indices);
        Assert.Equal(["Brass lamp"], await TitlesAsync(one, "q=lamp"));
    }

    [Fact]
    public async Task Of_two_replicas_that_begin_a_rebuild_at_once_one_does_it()
    {
        var search = await StartAsync();
        standIn.Instead = request => request is { Method: "PUT", Target: "/{index}" } ? StandIn.Refused(400, "resource_already_exists_exception", "index [products-2] already exists") : null;

        await Assert.ThrowsAsync<Engine.Elasticsearch.RebuildElsewhereException>(() => BeginAsync(search));
        Assert.Equal("products-1", standIn.Behind("products"));
    }

    [Fact]
    public async Task A_rebuild_that_took_too_long_does_not_push_aside_the_one_that_took_over()
    {
        var (one, other) = (await StartAsync(), await StartAsync(("Search:Elasticsearch:RebuildLease", "00:00:00")));
        await DeliverAsync(one, Listed("Brass lamp"));
        var slow = await BeginAsync(one);
        var quick = await BeginAsync(other);

        await Assert.ThrowsAnyAsync<InvalidOperationException>(() => slow.CompleteAsync(Ct));
        await quick.CompleteAsync(Ct);
        Assert.Equal([standIn.Behind("products")], standIn.Indices);
    }

    [Fact]
    public async Task A_failure_while_it_hands_over_leaves_the_old_index_in_service_and_writable()
    {
        var search = await StartAsync();
        var lamp = Listed("Brass lamp");
        await DeliverAsync(search, lamp);
        var rebuild = await BeginAsync(search);
        await rebuild.AddAsync([Upsert(lamp).Listing], [], [], Ct);
        standIn.Instead = request => request.Target == "/_aliases" ? StandIn.Refused(503, "unavailable", "no master") : null;

        await Assert.ThrowsAsync<Engine.Elasticsearch.ElasticsearchAwayException>(() => rebuild.CompleteAsync(Ct));

        Assert.Equal(("products-1", false), (standIn.Behind("products"), standIn.IsBlocked("products-1")));
        await DeliverAsync(search, lamp with { Title = "Silver lamp", Revision = 2 });
        Assert.Equal(["Silver lamp"], await TitlesAsync(search, "q=lamp"));
    }

    [Fact]
    public async Task A_death_while_it_hands_over_leaves_an_index_without_writes_which_whoever_writes_next_puts_right()
    {
        var (one, other) = (await StartAsync(("Search:Elasticsearch:RebuildLease", "00:00:00.500")), await StartAsync(("Search:Elasticsearch:RebuildLease", "00:00:00.500")));
        var lamp = Listed("Brass lamp");
        await DeliverAsync(one, lamp);
        var rebuild = await BeginAsync(one);
        var handedOver = false;
        standIn.Instead = request => (handedOver |= request.Target == "/_aliases") && request.Target is "/_aliases" or "/{index}/_settings" ? StandIn.Refused(503, "unavailable", "gone") : null;
        await Assert.ThrowsAsync<Engine.Elasticsearch.ElasticsearchAwayException>(() => rebuild.CompleteAsync(Ct));
        Assert.True(standIn.IsBlocked("products-1"));

        standIn.Instead = _ => null;
        await DeliverAsync(other, Stock(lamp.ProductId, 3));
        Assert.False(standIn.IsBlocked("products-1"));
        Assert.Equal(["Brass lamp"], await TitlesAsync(other, "q=lamp&inStock=true"));
    }

    [Fact]
    public async Task Events_that_come_while_it_hands_over_wait_and_land_in_the_new_index()
    {
        var (one, other) = (await StartAsync(), await StartAsync());
        var lamp = Listed("Brass lamp");
        await DeliverAsync(one, lamp);
        var rebuild = await BeginAsync(one);
        await rebuild.AddAsync([Upsert(lamp).Listing], [], [], Ct);
        Task? delivered = null;
        standIn.Instead = request =>
        {
            if (request.Target == "/_aliases")
                delivered = Task.Run(() => DeliverAsync(other, Stock(lamp.ProductId, 7)), Ct);
            return null;
        };
        await rebuild.CompleteAsync(Ct);
        await delivered!;

        Assert.Equal(7, standIn.Document("products-2", lamp.ProductId)!["available"]!.GetValue<long>());
    }

    [Theory]
    [InlineData("none", "Basic YWRhOnMzY3JldA==")]
    [InlineData("password", "Basic YnJ1bm86aDFkZGVu")]
    [InlineData("api-key", "ApiKey a2V5LTQy")]
    public async Task It_signs_in_with_what_the_secret_store_has_and_logs_none_of_it(string credentials, string header)
    {
        var address = new UriBuilder(standIn.Address) { UserName = "ada", Password = "s3cret" }.Uri.ToString();
        var search = await StartAsync(
            ("Secrets:elasticsearch-url", address), ("Secrets:elasticsearch-user", "bruno"), ("Secrets:elasticsearch-password", "h1dden"), ("Secrets:elasticsearch-api-key", "a2V5LTQy"),
            ("Search:Elasticsearch:Credentials", credentials));
        await DeliverAsync(search, Listed("Brass lamp"));
        standIn.Instead = _ => StandIn.Refused(403, "security_exception", "not allowed");
        await search.As(null).GetAsync("/api/v1/search?q=lamp", Ct);

        Assert.All(standIn.Sent, request => Assert.Equal(header, request.Authorization));
        Assert.NotEmpty(logged);
        Assert.DoesNotContain(logged, line => line.Contains("s3cret", StringComparison.Ordinal) || line.Contains("h1dden", StringComparison.Ordinal) || line.Contains("a2V5LTQy", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_index_of_another_format_is_filled_anew()
    {
        var first = await StartAsync();
        await (await BeginAsync(first)).CompleteAsync(Ct);
        Assert.False(await first.Services.GetRequiredService<ISearchEngine>().NeedsFillingAsync(Ct));

        standIn.SetMeta("products-2", "format", "0");
        var second = await StartAsync();
        Assert.True(await second.Services.GetRequiredService<ISearchEngine>().NeedsFillingAsync(Ct));
    }

    private async Task<ServiceUnderTest<Program>> StartAsync(params (string Key, string Value)[] settings)
    {
        var all = new Dictionary<string, string?>
        {
            ["Search:Engine"] = SearchFixture.Elasticsearch,
            ["Search:RebuildWhenEmpty"] = "false",
            ["Secrets:elasticsearch-url"] = standIn.Address,
            ["Search:Elasticsearch:WritePatience"] = "00:00:10",
            ["Logging:LogLevel:Default"] = "Debug",
        };
        foreach (var (key, value) in settings)
            all[key] = value;
        var replica = await ServiceUnderTest<Program>.StartAsync(calls: ["catalog", "inventory"], settings: all, replace: services => services.AddSingleton<ILoggerProvider>(new Logged(logged)));
        replicas.Add(replica);
        return replica;
    }

    private static Task<IIndexRebuild> BeginAsync(ServiceUnderTest<Program> search) => search.Services.GetRequiredService<ISearchEngine>().BeginRebuildAsync(Ct);

    private static IndexChange.Upsert Upsert(ProductUpserted listed) => new(Indexing.IndexEvents.ToIndex(listed));

    private static async Task DeliverAsync(ServiceUnderTest<Program> search, params DomainEvent[] events)
    {
        foreach (var @event in events)
            (await search.DeliverAsync(@event)).EnsureSuccessStatusCode();
    }

    private static async Task<FoundPage> FindAsync(ServiceUnderTest<Program> search, string query) => (await search.As(null).GetFromJsonAsync<FoundPage>($"/api/v1/search?{query}", Ct))!;

    private static async Task<List<string>> TitlesAsync(ServiceUnderTest<Program> search, string query) => [.. (await FindAsync(search, query)).Items.Select(product => product.Title)];

    /// <summary>The last value of a gauge of this process; other tests have engines of their own, which answer.</summary>
    private sealed class Gauge : IDisposable
    {
        private readonly MeterListener listener = new();
        private readonly ConcurrentBag<int> values = [];

        public Gauge(string name)
        {
            listener.InstrumentPublished = (instrument, meters) =>
            {
                if (instrument.Meter.Name == Indexing.IndexFeed.MeterName && instrument.Name == name)
                    meters.EnableMeasurementEvents(instrument);
            };
            listener.SetMeasurementEventCallback<int>((_, value, _, _) => values.Add(value));
            listener.Start();
        }

        public int Read()
        {
            values.Clear();
            listener.RecordObservableInstruments();
            return values.Min();
        }

        public void Dispose() => listener.Dispose();
    }

    private sealed class Logged(ConcurrentQueue<string> lines) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue($"{formatter(state, exception)} {exception}");

        public void Dispose()
        {
        }
    }
}
