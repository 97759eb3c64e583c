using System.Text.Json.Nodes;
using Marketplace.Contracts;
using Marketplace.Search.Engine;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests.Elasticsearch;

/// <summary>Everything the engine sends, held against Elasticsearch's published description of its API.</summary>
public sealed class WhenRequestsAreSent(WhenRequestsAreSent.EverythingTheEngineDoes done) : IClassFixture<WhenRequestsAreSent.EverythingTheEngineDoes>
{
    [Fact]
    public void Each_is_as_Elasticsearch_describes_it()
    {
        var schema = Schema();

        NoneOf(done.Sent.SelectMany(schema.Faults));
        Assert.Superset(
            new HashSet<string> { "PUT /{index}", "GET /{index}", "DELETE /{index}", "PUT /{index}/_mapping", "PUT /{index}/_settings", "POST /{index}/_refresh", "POST /_aliases", "POST /{index}/_bulk", "POST /{index}/_search" },
            done.Sent.Select(request => $"{request.Method} {request.Target}").ToHashSet());
    }

    [Fact]
    public void A_misspelt_key_is_found_wherever_it_stands_but_where_names_are_ours()
    {
        var schema = Schema();
        var unnoticed = new SortedSet<string>(StringComparer.Ordinal);
        var (tried, seen) = (0, new HashSet<string>());
        foreach (var (request, number, body) in done.Bodies)
        {
            foreach (var (place, key, holder) in KeysOf(JsonNode.Parse(body)!, ""))
            {
                // One of each: the same key in the same surroundings teaches nothing new.
                if (IsOurs($"{place}.{key}") || !seen.Add($"{request.Target} {number % 2} {System.Text.RegularExpressions.Regex.Replace(place, "[0-9]+", "")}.{key}"))
                    continue;
                var root = holder.Root;
                var value = holder[key]?.DeepClone();
                holder.Remove(key);
                holder[key + "x"] = value;
                tried++;
                if (!schema.FaultsOfBody(request.Method, request.Target, number, root).Any())
                    unnoticed.Add($"{request.Target}{place}.{key}");
                holder.Remove(key + "x");
                holder[key] = value?.DeepClone();
            }
        }

        NoneOf(unnoticed);
        Assert.InRange(tried, 300, int.MaxValue);
    }

    [Theory]
    [InlineData("/{index}/_search", """{"query":{"function_score":{"boost_mode":"replaced","query":{"match_all":{}}}}}""", "replaced")]
    [InlineData("/{index}/_search", """{"sort":[{"price":{"order":"descending"}}]}""", "descending")]
    [InlineData("/{index}/_search", """{"query":{"term":{"title":"lamp"},"terms":{"title":["lamp"]}}}""", "2 of its kinds")]
    [InlineData("/{index}/_search", """{"query":{"bool":{"must":"lamp"}}}""", "lamp")]
    [InlineData("/{index}/_search", """{"query":{"range":{"price":{"gteq":5}}}}""", "there is no gteq")]
    [InlineData("/{index}/_search", """{"size":"ten"}""", "ten")]
    [InlineData("/{index}/_search", """{"query":{"fuzzy":{"title":{"fuzziness":1}}}}""", "value is missing")]
    [InlineData("/{index}/_search", """{"suggest":{"0":{"text":"lmap","term":{"suggest_mode":"always"}}}}""", "field is missing")]
    public void A_value_that_does_not_fit_is_found(string target, string body, string found) =>
        Assert.Contains(Schema().FaultsOfBody("POST", target, 0, JsonNode.Parse(body)), fault => fault.Contains(found, StringComparison.Ordinal));

    [Theory]
    [InlineData("""{"mappings":{"properties":{"title":{"type":"txt"}}}}""", "there is no txt")]
    [InlineData("""{"mappings":{"properties":{"title":{"type":"keyword","analyzer":"plain"}}}}""", "there is no analyzer")]
    [InlineData("""{"mappings":{"dynamic":"never"}}""", "never")]
    [InlineData("""{"settings":{"similarity":{"names":{"type":"scripted"}}}}""", "script is missing")]
    [InlineData("""{"settings":{"refresh_interval":-1}}""", "-1")]
    public void A_wrong_mapping_or_setting_is_found(string body, string found) =>
        Assert.Contains(Schema().FaultsOfBody("PUT", "/{index}", 0, JsonNode.Parse(body)), fault => fault.Contains(found, StringComparison.Ordinal));

    [Fact]
    public void The_stand_ins_answers_are_as_Elasticsearch_describes_them()
    {
        var schema = Schema();

        NoneOf(done.Answers.SelectMany(answer => schema.FaultsOfAnswer(answer.Request.Method, answer.Request.Target, JsonNode.Parse(answer.Body))));
    }

    private static void NoneOf(IEnumerable<string> faults)
    {
        if (faults.Distinct().Take(20).ToList() is { Count: > 0 } found)
            Assert.Fail(string.Join('\n', found));
    }

    private static ApiSchema Schema()
    {
        if (ApiSchema.Find() is { } found)
            return found;
        Assert.Skip("Elasticsearch's API description (../shared/data/elasticsearch/openapi-subset.json) is not here; the project does not ship it.");
        throw new InvalidOperationException();
    }

    /// <summary>Names of fields, indices, aggregations and suggestions, values of scripts, documents: no description has them.</summary>
    private static bool IsOurs(string place) => System.Text.RegularExpressions.Regex.IsMatch(
        place,
        @"\.params\.|\.upsert\.|\.doc\.|\._meta\.|^\.aliases\.[^.]+$|\.properties\.[^.]+$|\.(similarity|analyzer|filter)\.[a-z]+$|\.(term|terms|range|fuzzy|match_phrase)\.[^.]+$|\.aggregations\.(attr\.)?[^.]+$|\.filters\.filters\.[^.]+(\.[^.]+)?$|\.suggest\.[^.]+$|\.sort(\[[0-9]+\])?\.[^.]+$")
        && !place.EndsWith(".suggest.text", StringComparison.Ordinal);

    private static IEnumerable<(string Place, string Key, JsonObject Holder)> KeysOf(JsonNode node, string place)
    {
        if (node is JsonObject map)
        {
            foreach (var (key, value) in map.ToList())
            {
                yield return (place, key, map);
                foreach (var inner in value is null ? [] : KeysOf(map[key]!, $"{place}.{key}"))
                    yield return inner;
            }
        }
        else if (node is JsonArray list)
        {
            for (var i = 0; i < list.Count; i++)
            {
                foreach (var inner in list[i] is { } item ? KeysOf(item, $"{place}[{i}]") : [])
                    yield return inner;
            }
        }
    }

    /// <summary>Every kind of change, search, suggestion and rebuild, once.</summary>
    public sealed class EverythingTheEngineDoes : IAsyncLifetime
    {
        private StandIn standIn = null!;

        internal IReadOnlyList<SentRequest> Sent => standIn.Sent;

        internal IReadOnlyList<(SentRequest Request, string Body)> Answers => standIn.Answered;

        internal IEnumerable<(SentRequest Request, int Number, string Body)> Bodies => Sent.SelectMany(request => request.Bodies.Index().Select(body => (request, body.Index, body.Item)));

        public async ValueTask InitializeAsync()
        {
            standIn = await StandIn.StartAsync();
            await using var search = await ServiceUnderTest<Program>.StartAsync(
                calls: ["catalog", "inventory"],
                settings: new Dictionary<string, string?>
                {
                    ["Search:Engine"] = SearchFixture.Elasticsearch,
                    ["Search:RebuildWhenEmpty"] = "false",
                    ["Secrets:elasticsearch-url"] = standIn.Address,
                    ["Search:Elasticsearch:RebuildLease"] = "00:00:00.001",
                });
            var engine = search.Services.GetRequiredService<ISearchEngine>();
            var ct = TestContext.Current.CancellationToken;
            var (shirt, small) = (Guid.CreateVersion7(), Guid.CreateVersion7());
            var listings = Enumerable.Range(1, 30).Select(number => Of(Guid.CreateVersion7(), $"Brass tea pot number {number}")).ToList();
            var withVariants = Of(shirt, "Cotton shirt") with { Variants = [new IndexedVariant(small, "CTN-S", [new IndexedAttribute("size", "S")])], CategoryPath = ["clothing", "shirts"], CategoryNames = ["Clothing", "Shirts"] };
            await engine.ApplyAsync(
                [
                    .. listings.Select(listing => new IndexChange.Upsert(listing)), new IndexChange.Upsert(withVariants), new IndexChange.Upsert(listings[0], Reread: true),
                    new IndexChange.Stock([new StockLevel(small, 3, 1), new StockLevel(listings[1].ProductId, 0, 2)]), new IndexChange.Rating(shirt, 4.5, 12, 1),
                    new IndexChange.Sale(Guid.CreateVersion7(), DateTimeOffset.UtcNow, [(small, 2), (listings[2].ProductId, 1)]),
                    new IndexChange.Withdraw(listings[3].ProductId, 2), new IndexChange.Remove(listings[4].ProductId, 2),
                ],
                ct);

            using var shopper = search.As(null);
            foreach (var query in Queries())
                (await shopper.GetAsync(query, ct)).EnsureSuccessStatusCode();
            foreach (var typed in (string[])["bra", "brss", "teapot numbr", "clo", "x1", "m"])
                (await shopper.GetAsync($"/api/v1/suggestions?q={typed}", ct)).EnsureSuccessStatusCode();
            foreach (var order in Enum.GetValues<Order>())
                await PagesAsync(engine, order, ct);

            for (var times = 0; times < 2; times++)             // the first one is left where it is
            {
                var rebuild = await engine.BeginRebuildAsync(ct);
                await rebuild.AddAsync([.. listings.Skip(10), withVariants], [new StockLevel(listings[11].ProductId, 5, 1)], [new IndexChange.Rating(listings[11].ProductId, 4.5, 2, 1)], ct);
                await engine.ApplyAsync([new IndexChange.Upsert(listings[12] with { Revision = 5 }), new IndexChange.Stock([new StockLevel(small, 1, 9)])], ct);
                if (times == 1)
                    await rebuild.CompleteAsync(ct);
            }

            await engine.NeedsFillingAsync(ct);
            await search.As(null).GetAsync("/readyz", ct);
        }

        public ValueTask DisposeAsync() => standIn.DisposeAsync();

        private static async Task PagesAsync(ISearchEngine engine, Order order, CancellationToken ct)
        {
            var word = new WantedWord("brass", [new Reading(["brass"], 1, "brass", 1)]);
            Position? after = null;
            do
            {
                var found = await engine.FindAsync(new Ask([word], 1, Spelling.NearIfUnknown, Filters.None, [], order, after, 10, Highlight: true), ct);
                after = found.End;
            }
            while (after is not null);
        }

        private static IEnumerable<string> Queries()
        {
            string[] words = ["", "q=brass", "q=brss+pot", "q=tea+pot", "q=teapots", "q=a+pot+for+tea", "q=telephone+brass", "q=mug+or+knife", "q=85123a"];
            string[] filters = ["", "category=clothing", "brand=acme&seller=0198c5b2-0000-7000-8000-000000000000", "minPrice=5", "minPrice=5&maxPrice=90000", "minRating=4", "inStock=true", "attr.colour=red&attr.size=S", "category=a&category=b&minPrice=1&minRating=1&inStock=true&attr.colour=red"];
            string[] facets = ["", "facets=all", "facets=category,brand,seller", "facets=price,rating,inStock", "facets=attr.colour,attr.odd[name]"];
            string[] sorts = ["relevance", "price", "-price", "rating", "newest", "bestselling"];
            foreach (var (word, number) in words.Select((word, number) => (word, number)))
            {
                foreach (var filter in filters.Where((_, which) => (which + number) % 3 == 0))
                {
                    foreach (var facet in facets)
                        yield return $"/api/v1/search?{word}&{filter}&{facet}&highlight=true&limit=3&sort={sorts[(number + filter.Length + facet.Length) % sorts.Length]}";
                }
            }
        }

        private static IndexedListing Of(Guid productId, string title) => new(
            productId, 1, Guid.CreateVersion7(), "Bruno's Lamps", title, "A <b>description</b>.", "Acme", "homeware", Money.Gbp(1200), null, DateTimeOffset.UtcNow, null,
            [new IndexedAttribute("colour", "Red")]);
    }
}
