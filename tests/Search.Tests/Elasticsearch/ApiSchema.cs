using System.Text.Json;
using System.Text.Json.Nodes;

namespace Marketplace.Search.Tests.Elasticsearch;

/// <summary>
/// Holds requests and answers against Elasticsearch's published API description. Where JSON Schema would let anything pass, this does
/// not: an object has the keys its description names and no others, so that a misspelt one is found; an alternative is chosen by its
/// discriminator where there is one. What the description leaves to its users (names of fields, values of a script's parameters,
/// documents) is not looked into.
/// </summary>
internal sealed class ApiSchema
{
    private const string Reference = "#/components/";
    private readonly JsonObject document;

    private ApiSchema(JsonObject document) => this.document = document;

    /// <summary>Keys that are names of something and therefore missing from the description, which knows lists of keys only; written after Elasticsearch's reference.</summary>
    private static readonly Dictionary<string, JsonObject> Named = new()
    {
        ["_types.query_dsl.TermsQuery"] = Parse("""{"type":"array","items":{"$ref":"#/components/schemas/_types.FieldValue"}}"""),
        ["_types.aggregations.SingleBucketAggregateBase"] = Parse("""{"oneOf":[{"$ref":"#/components/schemas/_types.aggregations.StringTermsAggregate"},{"$ref":"#/components/schemas/_types.aggregations.RangeAggregate"}]}"""),
        ["_types.SortOptions"] = Parse("""
            {"type":"object","properties":{"order":{"$ref":"#/components/schemas/_types.SortOrder"},"missing":{"type":"string"},"mode":{"type":"string"},"numeric_type":{"type":"string"},"unmapped_type":{"type":"string"},"format":{"type":"string"}}}
            """),
        ["_global.search._types.Suggester"] = Parse("""
            {"type":"object","properties":{"text":{"type":"string"},"prefix":{"type":"string"},"regex":{"type":"string"},"term":{"type":"object","required":["field"],"properties":{
              "field":{"type":"string"},"analyzer":{"type":"string"},"size":{"type":"number"},"sort":{"type":"string","enum":["score","frequency"]},"suggest_mode":{"type":"string","enum":["missing","popular","always"]},
              "lowercase_terms":{"type":"boolean"},"max_edits":{"type":"number"},"prefix_length":{"type":"number"},"min_word_length":{"type":"number"},"shard_size":{"type":"number"},"max_inspections":{"type":"number"},
              "min_doc_freq":{"type":"number"},"max_term_freq":{"type":"number"},"string_distance":{"type":"string","enum":["internal","damerau_levenshtein","levenshtein","jaro_winkler","ngram"]}}}}}
            """),
    };

    /// <summary>Null where the description is not to be had: it is not part of this repository.</summary>
    public static ApiSchema? Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var file = Path.Combine(folder.FullName, "shared", "data", "elasticsearch", "openapi-subset.json");
            if (File.Exists(file))
                return new ApiSchema(JsonNode.Parse(File.ReadAllBytes(file))!.AsObject());
        }

        return null;
    }

    /// <summary>Elasticsearch without servers knows no blocks, and the description is that one's; it has no body.</summary>
    private const string NotDescribed = "/{index}/_block/write";

    /// <summary>What is wrong with a request: its address, its parameters, its body.</summary>
    public IEnumerable<string> Faults(SentRequest request)
    {
        if (request is { Method: "PUT", Target: NotDescribed, Body: "" })
            return [];
        if (Operation(request.Method, request.Target) is not { } operation)
            return [$"{request.Method} {request.Target} is not described"];

        var known = Resolved(operation["parameters"]?.AsArray() ?? []).Where(parameter => parameter["in"]!.GetValue<string>() == "query").Select(parameter => parameter["name"]!.GetValue<string>()).ToHashSet();
        var faults = request.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries).Select(pair => pair.Split('=')[0]).Where(name => !known.Contains(name)).Select(name => $"{request.Target}: no parameter {name}").ToList();
        for (var i = 0; i < request.Bodies.Count; i++)
            faults.AddRange(FaultsOfBody(request.Method, request.Target, i, JsonNode.Parse(request.Bodies[i])));
        return faults;
    }

    /// <param name="number">Of a line in a bulk request: actions and what belongs to them in turn.</param>
    public IEnumerable<string> FaultsOfBody(string method, string target, int number, JsonNode? body)
    {
        var schema = target.EndsWith("_bulk", StringComparison.Ordinal)
            ? Schema(number % 2 == 0 ? "_global.bulk.OperationContainer" : "_global.bulk.UpdateAction")
            : Content(Resolve(Operation(method, target)!["requestBody"]) ?? throw new InvalidOperationException($"{method} {target} takes no body."));
        return Faults(body, schema, $"{method} {target}", null);
    }

    /// <summary>What is wrong with an answer.</summary>
    public IEnumerable<string> FaultsOfAnswer(string method, string target, JsonNode? body) => target == NotDescribed ? [] :
        Faults(body, Content(Resolve(Operation(method, target)!["responses"]!["200"])!), $"{method} {target} answer", null);

    private static JsonObject Parse(string json) => JsonNode.Parse(json)!.AsObject();

    private JsonObject? Operation(string method, string target) => document["paths"]![target]?[method.ToLowerInvariant()]?.AsObject();

    private JsonObject Schema(string name) => document["components"]!["schemas"]![name]!.AsObject();

    private static JsonObject Content(JsonObject described) => described["content"]!["application/json"]!["schema"]!.AsObject();

    private IEnumerable<JsonObject> Resolved(JsonArray all) => all.Select(one => Resolve(one)!);

    private JsonObject? Resolve(JsonNode? node) => node?["$ref"] is { } reference
        ? reference.GetValue<string>()[Reference.Length..].Split('/', 2) is [var kind, var name] ? document["components"]![kind]![name]!.AsObject() : null
        : node?.AsObject();

    /// <param name="name">Of the schema, where it has one.</param>
    private List<string> Faults(JsonNode? value, JsonObject schema, string path, string? name)
    {
        if (schema["$ref"] is { } reference)
            return Faults(value, Resolve(schema)!, path, reference.GetValue<string>().Split('/')[^1]);
        if (value is null && schema["nullable"]?.GetValue<bool>() == true)
            return [];
        if (schema["oneOf"] is JsonArray several)
            return OneOf(value, schema, several, path);
        if (schema["allOf"] is JsonArray { Count: 1 } only && schema["properties"] is null)
            return Faults(value, only[0]!.AsObject(), path, null);
        if (schema["allOf"] is not null || schema["type"]?.GetValue<string>() == "object")
            return Object(value, schema, path, name);
        if (schema["enum"] is JsonArray allowed && !allowed.Any(one => JsonNode.DeepEquals(one, value)))
            return [$"{path}: {value?.ToJsonString() ?? "null"} is none of {allowed.ToJsonString()}"];

        var kind = value?.GetValueKind() ?? JsonValueKind.Null;
        var type = schema["type"]?.GetValue<string>();
        var fits = type switch
        {
            "string" => kind == JsonValueKind.String,
            "number" => kind == JsonValueKind.Number,
            "boolean" => kind is JsonValueKind.True or JsonValueKind.False,
            "array" => kind == JsonValueKind.Array,
            _ => throw new InvalidOperationException($"{path}: a schema of type {type ?? "none"} is not understood."),
        };
        if (!fits)
            return [$"{path}: {value?.ToJsonString() ?? "null"} is no {type}"];
        return type == "array" && schema["items"] is JsonObject items ? [.. value!.AsArray().Index().SelectMany(item => Faults(item.Item, items, $"{path}[{item.Index}]", null))] : [];
    }

    private List<string> OneOf(JsonNode? value, JsonObject schema, JsonArray several, string path)
    {
        if (schema["discriminator"] is { } discriminator && value is JsonObject which)
        {
            var property = discriminator["propertyName"]!.GetValue<string>();
            var chosen = which[property]?.ToString() ?? "";
            return discriminator["mapping"]![chosen] is { } reference
                ? Faults(value, new JsonObject { ["$ref"] = reference.GetValue<string>() }, path, null)
                : chosen.Length == 0 && property == "type" && discriminator["mapping"]!["object"] is { } untyped ? Faults(value, new JsonObject { ["$ref"] = untyped.GetValue<string>() }, path, null)
                : [$"{path}.{property}: there is no {chosen}"];
        }

        // The faults of the alternative that comes nearest.
        return several.Select(one => Faults(value, one!.AsObject(), path, null)).MinBy(faults => faults.Count)!;
    }

    private List<string> Object(JsonNode? value, JsonObject schema, string path, string? name)
    {
        var shape = new Shape();
        Collect(schema, name, shape, top: true);
        if (shape.Anything)
            return [];
        if (value is not JsonObject body)
            return shape.Others.Count > 0 && shape.Known.Count == 0 ? [.. shape.Others.SelectMany(other => Faults(value, other, path, null))] : [$"{path}: {value?.ToJsonString() ?? "null"} is no object"];

        var faults = new List<string>();
        foreach (var (key, item) in body)
        {
            if (shape.Known.TryGetValue(key, out var described))
                faults.AddRange(Faults(item, described, $"{path}.{key}", null));
            else if (shape.ByName is { } byName)
                faults.AddRange(Faults(item, byName, $"{path}.{key}", null));
            else
                faults.Add($"{path}: there is no {key}");
        }

        faults.AddRange(shape.Required.Where(key => !body.ContainsKey(key)).Select(key => $"{path}: {key} is missing"));
        foreach (var (keys, least, most) in shape.Counts)
        {
            var there = keys is null ? body.Count : body.Count(entry => keys.Contains(entry.Key));
            if (there < least || there > most)
                faults.Add($"{path}: {there} of its kinds where it takes {least} to {most}");
        }

        return faults;
    }

    private sealed class Shape
    {
        public Dictionary<string, JsonObject> Known { get; } = new(StringComparer.Ordinal);

        public List<string> Required { get; } = [];

        public List<JsonObject> Others { get; } = [];

        public List<(HashSet<string>? Keys, int Least, int Most)> Counts { get; } = [];

        public JsonObject? ByName { get; set; }

        /// <summary>The description leaves it to its users.</summary>
        public bool Anything { get; set; }
    }

    private void Collect(JsonObject schema, string? name, Shape shape, bool top)
    {
        if (schema["$ref"] is { } reference)
        {
            Collect(Resolve(schema)!, reference.GetValue<string>().Split('/')[^1], shape, top: false);
            return;
        }

        if (name is not null && Named.TryGetValue(name, out var named))
            shape.ByName = named;
        foreach (var part in schema["allOf"]?.AsArray() ?? [])
            Collect(part!.AsObject(), null, shape, top: false);
        var properties = schema["properties"]?.AsObject();
        foreach (var (key, described) in properties ?? [])
            shape.Known[key] = described!.AsObject();
        if (schema["additionalProperties"] is JsonObject more)
            shape.ByName = more;
        shape.Required.AddRange(schema["required"]?.AsArray().Select(key => key!.GetValue<string>()) ?? []);
        if (schema["minProperties"] is { } least)
            shape.Counts.Add((name is not null && Named.ContainsKey(name) || properties is null ? null : [.. properties.Select(property => property.Key)], least.GetValue<int>(), schema["maxProperties"]?.GetValue<int>() ?? int.MaxValue));
        if (schema["oneOf"] is not null)
            shape.Others.Add(schema);
        if (top && name is null && schema.Count == 1 && schema.ContainsKey("type"))
            shape.Anything = true;
    }
}
