using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Marketplace.Search.Engine;

namespace Marketplace.Search.Tests.Elasticsearch;

/// <summary>A search over the documents of an index, one after the other.</summary>
internal sealed class StandInSearch
{
    private readonly StandInIndex index;
    private readonly Dictionary<string, (double Documents, double Words)> statistics = [];

    private StandInSearch(StandInIndex index) => this.index = index;

    public static JsonObject Answer(StandInIndex index, JsonObject body, bool typedKeys) => new StandInSearch(index).Answer(body, typedKeys);

    public static JsonNode? SourceOf(JsonObject source, JsonNode wanted)
    {
        var includes = (wanted is JsonObject filter ? filter["includes"] ?? filter["include"] : wanted) switch
        {
            JsonArray several => several.Select(field => field!.GetValue<string>()).ToHashSet(),
            { } one => [one.GetValue<string>()],
            null => throw new StandInRefusal(400, "parsing_exception", "an empty source filter"),
        };
        return new JsonObject(source.Where(field => includes.Contains(field.Key)).Select(field => KeyValuePair.Create(field.Key, field.Value?.DeepClone())));
    }

    private JsonObject Answer(JsonObject body, bool typedKeys)
    {
        var matching = index.Searchable.Select(document => (Document: document, Score: body["query"] is { } query ? Score(query, document) : 1)).Where(match => match.Score is not null).ToList();
        var answer = new JsonObject { ["took"] = 1, ["timed_out"] = false, ["_shards"] = StandIn.Shards() };
        if (body["aggregations"] is JsonObject aggregations)
            answer["aggregations"] = Aggregate(aggregations, [.. matching.Select(match => match.Document)], typedKeys);
        if (body["suggest"] is JsonObject suggest)
            answer["suggest"] = new JsonObject(suggest.Select(one => KeyValuePair.Create(typedKeys ? $"term#{one.Key}" : one.Key, (JsonNode?)Suggest(one.Value!))));

        if (body["post_filter"] is { } filter)
            matching = [.. matching.Where(match => Score(filter, match.Document) is not null)];
        var sorts = (body["sort"] as JsonArray ?? [new JsonObject { ["_score"] = new JsonObject { ["order"] = "desc" } }])
            .Select(sort => sort!.AsObject().Single()).Select(sort => (Field: sort.Key, Descending: sort.Value!["order"]?.GetValue<string>() == "desc")).ToList();
        var sorted = matching.Select(match => (match.Document, match.Score, Keys: sorts.ConvertAll(sort => KeyOf(match.Document, (double)match.Score!, sort.Field)))).ToList();
        sorted.Sort((one, other) => Compare(sorts, one.Keys, other.Keys));
        if (body["search_after"] is JsonArray after)
        {
            var end = after.Select(value => JsonValues.Of(value)!).ToList();
            sorted = [.. sorted.Where(match => Compare(sorts, match.Keys, end) > 0)];
        }

        var hits = sorted.Take(body["size"]?.GetValue<int>() ?? 10).Select(match => Hit(match.Document, match.Keys, body["_source"]));
        var found = new JsonObject { ["max_score"] = null, ["hits"] = new JsonArray([.. hits]) };
        if (body["track_total_hits"]?.GetValue<bool>() == true)
            found["total"] = new JsonObject { ["value"] = matching.Count, ["relation"] = "eq" };
        answer["hits"] = found;
        return answer;
    }

    private JsonNode Hit(StandInDocument document, List<object> keys, JsonNode? wanted)
    {
        var hit = new JsonObject { ["_index"] = index.Name, ["_id"] = document.Id, ["_score"] = null, ["sort"] = new JsonArray([.. keys.Select(JsonValues.Back)]) };
        if (wanted?.GetValueKind() != JsonValueKind.False)
            hit["_source"] = wanted is null ? document.Source.DeepClone() : SourceOf(document.Source, wanted);
        return hit;
    }

    private object KeyOf(StandInDocument document, double score, string field) => field == "_score" ? score : index.TypeOf(field) switch
    {
        "boolean" => document.Source[field]!.GetValue<bool>() ? 1L : 0L,
        _ => JsonValues.Of(document.Source[field])!,
    };

    private static int Compare(List<(string Field, bool Descending)> sorts, List<object> one, List<object> other)
    {
        for (var i = 0; i < sorts.Count; i++)
        {
            var order = one[i] is string text ? string.CompareOrdinal(text, (string)other[i]) : one[i] is long first && other[i] is long second ? first.CompareTo(second) : Number(one[i]).CompareTo(Number(other[i]));
            if (order != 0)
                return sorts[i].Descending ? -order : order;
        }

        return 0;
    }

    private static double Number(object value) => Convert.ToDouble(value, CultureInfo.InvariantCulture);

    /// <summary>Null for a document that does not match.</summary>
    private double? Score(JsonNode query, StandInDocument document)
    {
        var (kind, node) = query.AsObject().Single();
        var body = node!.AsObject();
        switch (kind)
        {
            case "match_all":
                return 1;
            case "bool":
                return Bool(body, document);
            case "dis_max":
                var scores = body["queries"]!.AsArray().Select(one => Score(one!, document)).OfType<double>().ToList();
                var most = scores.Count > 0 ? scores.Max() : 0;
                return scores.Count == 0 ? null : (most + (scores.Sum() - most) * (body["tie_breaker"]?.GetValue<double>() ?? 0)) * Boost(body);
            case "constant_score":
                return Score(body["filter"]!, document) is null ? null : Boost(body);
            case "function_score":
                return Score(body["query"]!, document) is { } inner ? Scripted(body, inner, document) : null;
            case "ids":
                return body["values"]!.AsArray().Any(id => id!.GetValue<string>() == document.Id) ? 1 : null;
            case "term":
                var (field, term) = body.Single();
                return Term(field, term!["value"]!, Boost(term.AsObject()), document);
            case "terms":
                var (of, values) = body.Single(entry => entry.Key != "boost");
                return values!.AsArray().Any(value => Term(of, value!, 1, document) is not null) ? 1 : null;
            case "range":
                return Range(body.Single(), document) ? 1 : null;
            case "fuzzy":
                return Fuzzy(body.Single(), document) ? 1 : null;
            case "match_phrase":
                return Phrase(body.Single(), document);
            default:
                throw new StandInRefusal(400, "parsing_exception", $"unknown query [{kind}]");
        }
    }

    private double? Bool(JsonObject body, StandInDocument document)
    {
        var score = 0.0;
        foreach (var must in Clauses(body["must"]))
        {
            if (Score(must, document) is not { } one)
                return null;
            score += one;
        }

        var filters = Clauses(body["filter"]).ToList();
        if (!filters.TrueForAll(filter => Score(filter, document) is not null))
            return null;

        var should = Clauses(body["should"]).ToList();
        var fitting = should.Select(one => Score(one, document)).OfType<double>().ToList();
        var needed = body["minimum_should_match"]?.GetValue<int>() ?? (body["must"] is null && filters.Count == 0 && should.Count > 0 ? 1 : 0);
        return fitting.Count < needed ? null : (score + fitting.Sum()) * Boost(body);

        static IEnumerable<JsonNode> Clauses(JsonNode? clauses) => clauses switch { null => [], JsonArray several => several.OfType<JsonNode>(), var one => [one] };
    }

    private double Scripted(JsonObject body, double inner, StandInDocument document)
    {
        if (body["boost_mode"]?.GetValue<string>() != "replace")
            throw new StandInRefusal(400, "parsing_exception", "the stand-in knows boost_mode replace only");
        var script = body["functions"]!.AsArray().Single()!["script_score"]!["script"]!;
        var result = index.Compiled(script["source"]!.GetValue<string>()).Run(new Dictionary<string, object?> { ["_score"] = inner, ["doc"] = document.Fields, ["params"] = JsonValues.Of(script["params"]) });
        return (float)Number(result!);
    }

    private double? Term(string field, JsonNode value, double boost, StandInDocument document)
    {
        if (index.TypeOf(field) != "text")
            return (document.Source[field] as IEnumerable<JsonNode?> ?? [document.Source[field]]).Any(one => one is not null && JsonNode.DeepEquals(one, value)) ? boost : null;

        var words = document.Words.GetValueOrDefault(field, []);
        var times = words.Count(word => word == value.GetValue<string>());
        return times == 0 ? null : Similar(field, words.Count, times) * boost;
    }

    /// <summary>By the script of the index's own similarity.</summary>
    private double Similar(string field, int length, int times)
    {
        if (index.SimilarityOf(field) is not { } similarity)
            return 1;
        if (!statistics.TryGetValue(field, out var known))
        {
            var having = index.Searchable.Select(document => document.Words.GetValueOrDefault(field, []).Count).Where(count => count > 0).ToList();
            statistics[field] = known = (having.Count, having.Sum());
        }

        return (double)index.ScriptOf(similarity).Run(new Dictionary<string, object?>
        {
            ["query"] = new Dictionary<string, object?> { ["boost"] = 1.0 },
            ["field"] = new Dictionary<string, object?> { ["docCount"] = (long)known.Documents, ["sumTotalTermFreq"] = (long)known.Words },
            ["doc"] = new Dictionary<string, object?> { ["freq"] = (double)times, ["length"] = (long)length },
        })!;
    }

    private double? Phrase(KeyValuePair<string, JsonNode?> body, StandInDocument document)
    {
        var (words, phrase) = (document.Words.GetValueOrDefault(body.Key, []), body.Value!["query"]!.GetValue<string>().Split(' '));
        var slop = body.Value["slop"]?.GetValue<int>() ?? 0;
        for (var start = 0; start < words.Count; start++)
        {
            var at = start;
            var gaps = 0;
            var found = phrase.All(word =>
            {
                var next = words.Skip(at).ToList().IndexOf(word);
                gaps += Math.Max(0, next);
                at += next + 1;
                return next >= 0;
            });
            if (found && gaps <= slop)
                return phrase.Length * Similar(body.Key, words.Count, 1) * Boost(body.Value.AsObject());     // each of its words scores
        }

        return null;
    }

    private static bool Fuzzy(KeyValuePair<string, JsonNode?> body, StandInDocument document)
    {
        var (typed, edits) = (body.Value!["value"]!.GetValue<string>(), int.Parse(body.Value["fuzziness"]!.ToString(), CultureInfo.InvariantCulture));
        return document.Words.GetValueOrDefault(body.Key, []).Any(word => Beginnings.Distance(word, typed, wholeWord: true) <= edits);
    }

    private static bool Range(KeyValuePair<string, JsonNode?> body, StandInDocument document)
    {
        if (document.Source[body.Key] is not { } held)
            return false;
        var value = Number(JsonValues.Of(held)!);
        return body.Value!.AsObject().All(end => end.Key switch
        {
            "gte" => value >= Number(JsonValues.Of(end.Value)!),
            "lte" => value <= Number(JsonValues.Of(end.Value)!),
            "gt" => value > Number(JsonValues.Of(end.Value)!),
            "lt" => value < Number(JsonValues.Of(end.Value)!),
            _ => throw new StandInRefusal(400, "parsing_exception", $"[range] query does not support [{end.Key}]"),
        });
    }

    private static double Boost(JsonObject body) => body["boost"]?.GetValue<double>() ?? 1;

    private JsonObject Aggregate(JsonObject aggregations, IReadOnlyList<StandInDocument> documents, bool typedKeys)
    {
        var answer = new JsonObject();
        foreach (var (name, body) in aggregations)
        {
            var (kind, of) = body!.AsObject().Single(part => part.Key != "aggregations");
            var (type, result) = kind switch
            {
                "filter" => ("filter", Filter(of!, body["aggregations"]?.AsObject())),
                "filters" => ("filters", Filters(of!)),
                "terms" => ("sterms", Terms(of!.AsObject())),
                "range" => ("range", Ranges(of!.AsObject())),
                _ => throw new StandInRefusal(400, "parsing_exception", $"Unknown aggregation type [{kind}]"),
            };
            answer[typedKeys ? $"{type}#{name}" : name] = result;
        }

        return answer;

        JsonObject Filter(JsonNode filter, JsonObject? within)
        {
            var some = documents.Where(document => Score(filter, document) is not null).ToList();
            var bucket = new JsonObject { ["doc_count"] = some.Count };
            foreach (var (name, value) in within is null ? [] : Aggregate(within, some, typedKeys))
                bucket[name] = value?.DeepClone();
            return bucket;
        }

        JsonObject Filters(JsonNode body)
        {
            if (body["keyed"]?.GetValue<bool>() != false)
                throw new StandInRefusal(400, "parsing_exception", "the stand-in answers filters as a list only");
            var buckets = body["filters"]!.AsObject().Select(filter => (JsonNode)new JsonObject { ["key"] = filter.Key, ["doc_count"] = documents.Count(document => Score(filter.Value!, document) is not null) });
            return new JsonObject { ["buckets"] = new JsonArray([.. buckets]) };
        }

        JsonObject Terms(JsonObject body)
        {
            var include = body["include"]?.GetValue<string>();
            var buckets = documents
                .SelectMany(document => (document.Source[body["field"]!.GetValue<string>()] as IEnumerable<JsonNode?> ?? [document.Source[body["field"]!.GetValue<string>()]]).OfType<JsonNode>().Select(value => value.GetValue<string>()).Distinct())
                .Where(value => include is null || Regex.IsMatch(value, $"^(?:{include})$", RegexOptions.Singleline))
                .GroupBy(value => value, StringComparer.Ordinal)
                .OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal)
                .Take(body["size"]?.GetValue<int>() ?? 10)
                .Select(group => (JsonNode)new JsonObject { ["key"] = group.Key, ["doc_count"] = group.Count() });
            return new JsonObject { ["doc_count_error_upper_bound"] = 0, ["sum_other_doc_count"] = 0, ["buckets"] = new JsonArray([.. buckets]) };
        }

        JsonObject Ranges(JsonObject body)
        {
            var field = body["field"]!.GetValue<string>();
            var buckets = body["ranges"]!.AsArray().OrderBy(range => range!["from"]?.GetValue<double>() ?? double.MinValue).Select(range =>
            {
                var (from, to) = (range!["from"]?.GetValue<double>(), range["to"]?.GetValue<double>());
                var bucket = new JsonObject { ["key"] = range["key"]!.GetValue<string>(), ["doc_count"] = documents.Count(document => document.Source[field] is { } held && Number(JsonValues.Of(held)!) is var value && !(value < from) && !(value >= to)) };
                if (from is not null)
                    bucket["from"] = from;
                if (to is not null)
                    bucket["to"] = to;
                return (JsonNode)bucket;
            });
            return new JsonObject { ["buckets"] = new JsonArray([.. buckets]) };
        }
    }

    private JsonArray Suggest(JsonNode body)
    {
        var (text, term) = (body["text"]!.GetValue<string>(), body["term"]!);
        var (edits, size) = (term["max_edits"]!.GetValue<int>(), term["size"]!.GetValue<int>());
        var options = index.Searchable.SelectMany(document => document.Words.GetValueOrDefault(term["field"]!.GetValue<string>(), []).Distinct())
            .GroupBy(word => word, StringComparer.Ordinal)
            .Select(word => (Word: word.Key, Products: word.Count(), Distance: Beginnings.Distance(word.Key, text, wholeWord: true)))
            .Where(word => word.Distance > 0 && word.Distance <= edits)
            .OrderBy(word => word.Distance).ThenByDescending(word => word.Products)
            .Take(size)
            .Select(word => (JsonNode)new JsonObject { ["text"] = word.Word, ["score"] = 1.0 / (1 + word.Distance), ["freq"] = word.Products });
        return [new JsonObject { ["text"] = text, ["offset"] = 0, ["length"] = text.Length, ["options"] = new JsonArray([.. options]) }];
    }
}
