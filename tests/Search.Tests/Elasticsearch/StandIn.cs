using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Marketplace.Search.Tests.Elasticsearch;

/// <summary>A request as it came.</summary>
/// <param name="Target">The route as the specification writes it: <c>/{index}/_search</c>.</param>
internal sealed record SentRequest(string Method, string Path, string Target, string Query, string Body, string? Authorization)
{
    /// <summary>The lines of a bulk request, or the one body; none without a body.</summary>
    public IReadOnlyList<string> Bodies => [.. Target.EndsWith("_bulk", StringComparison.Ordinal) ? Body.Split('\n', StringSplitOptions.RemoveEmptyEntries) : Body.Length > 0 ? [Body] : []];
}

internal sealed record StandInReply(int Status, string Body);

/// <summary>
/// Answers as Elasticsearch does, as far as the engine asks: indices, aliases, write blocks, conditional scripted updates in bulk,
/// searches with scores, sorts, aggregations and suggestions, seen only once refreshed. It holds what one reads in Elasticsearch's
/// documentation against what the engine does, and lets a test make it fail. It is not Elasticsearch: where one is to be had, the same
/// tests run against that.
/// </summary>
internal sealed class StandIn : IAsyncDisposable
{
    private readonly WebApplication server;
    private readonly Lock gate = new();
    private readonly SortedDictionary<string, StandInIndex> indices = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<SentRequest> sent = new();
    private readonly ConcurrentQueue<(SentRequest Request, string Body)> answered = new();

    private StandIn(WebApplication server) => this.server = server;

    public string Address { get; private set; } = "";

    public IReadOnlyList<SentRequest> Sent => [.. sent];

    /// <summary>What it answered where it had something to say.</summary>
    public IReadOnlyList<(SentRequest Request, string Body)> Answered => [.. answered];

    /// <summary>Asked first; an answer of null lets the request through.</summary>
    public Func<SentRequest, StandInReply?> Instead { get; set; } = _ => null;

    /// <summary>Called for each item of a bulk request with what it is about; an error's type and status keep it from being done.</summary>
    public Func<string, (int Status, string Type)?> InsteadOfItem { get; set; } = _ => null;

    public IReadOnlyList<string> Indices
    {
        get
        {
            lock (gate)
                return [.. indices.Keys];
        }
    }

    public static async Task<StandIn> StartAsync(int? port = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{port ?? 0}");
        var server = builder.Build();
        var standIn = new StandIn(server);
        server.Run(standIn.AnswerAsync);
        await server.StartAsync();
        standIn.Address = server.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        return standIn;
    }

    public string Behind(string alias)
    {
        lock (gate)
            return indices.Single(index => index.Value.Aliases.Contains(alias)).Key;
    }

    public void SetMeta(string index, string key, string value)
    {
        lock (gate)
            indices[index].Meta[key] = value;
    }

    public bool IsBlocked(string index)
    {
        lock (gate)
            return indices[index].Blocked;
    }

    /// <summary>A document as it was written, whether searches see it or not.</summary>
    public JsonObject? Document(string index, Guid productId)
    {
        lock (gate)
            return indices[index].Documents.GetValueOrDefault(productId.ToString("N"))?.Source;
    }

    public async ValueTask DisposeAsync() => await server.DisposeAsync();

    private async Task AnswerAsync(HttpContext http)
    {
        using var reader = new StreamReader(http.Request.Body);
        var path = http.Request.Path.Value!;
        var request = new SentRequest(
            http.Request.Method, path, TargetOf(path), http.Request.QueryString.Value ?? "", await reader.ReadToEndAsync(), http.Request.Headers.Authorization.ToString() is { Length: > 0 } given ? given : null);
        sent.Enqueue(request);

        StandInReply reply;
        try
        {
            lock (gate)
                reply = Instead(request) ?? Answer(request, http.Request.Query);
        }
        catch (StandInRefusal refusal)
        {
            reply = Refused(refusal.Status, refusal.Type, refusal.Message);
        }
        catch (Exception surprised)                             // of its own: the test that sees a 500 shows where
        {
            reply = Refused(500, "stand_in_exception", $"{request.Method} {request.Path}: {surprised}");
        }

        if (reply.Status == 200 && request.Method != "HEAD")
            answered.Enqueue((request, reply.Body));
        http.Response.StatusCode = reply.Status;
        http.Response.Headers["X-Elastic-Product"] = "Elasticsearch";
        http.Response.ContentType = "application/vnd.elasticsearch+json;compatible-with=9";
        if (request.Method != "HEAD")
            await http.Response.WriteAsync(reply.Body);
    }

    public static StandInReply Refused(int status, string type, string reason)
    {
        var error = new JsonObject { ["type"] = type, ["reason"] = reason };
        return new StandInReply(status, new JsonObject { ["error"] = new JsonObject { ["root_cause"] = new JsonArray(error.DeepClone()), ["type"] = type, ["reason"] = reason }, ["status"] = status }.ToJsonString());
    }

    private static string TargetOf(string path) => path.Split('/', StringSplitOptions.RemoveEmptyEntries) switch
    {
        [] => "/",
        [['_', ..] action] => $"/{action}",
        [_] => "/{index}",
        [_, .. var action] => $"/{{index}}/{string.Join('/', action)}",
    };

    private StandInReply Answer(SentRequest request, IQueryCollection query)
    {
        var name = request.Path.Split('/', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault() ?? "";
        return (request.Method, request.Target) switch
        {
            ("GET" or "HEAD", "/") => Ok(new JsonObject { ["name"] = "stand-in", ["cluster_name"] = "stand-in", ["version"] = new JsonObject { ["number"] = "9.1.0" }, ["tagline"] = "You Know, for Search" }),
            ("HEAD", "/{index}") => One(name) is not null ? Ok(new JsonObject()) : throw new InvalidOperationException(),
            ("PUT", "/{index}/_block/write") => Block(One(name)),
            ("GET", "/{index}") => Ok(new JsonObject(Named(name).Select(index => KeyValuePair.Create(index.Key, (JsonNode?)index.Value.Described())))),
            ("PUT", "/{index}") => Create(name, Read(request.Body)),
            ("DELETE", "/{index}") => Delete(name, query["ignore_unavailable"] == "true"),
            ("PUT", "/{index}/_mapping") => Acknowledged(() => One(name).Meta = Read(request.Body)["_meta"]!.AsObject()),
            ("PUT", "/{index}/_settings") => Acknowledged(() => One(name).Set(Read(request.Body))),
            ("POST", "/{index}/_refresh") => Refresh(One(name)),
            ("POST", "/_aliases") => Acknowledged(() => ChangeAliases(Read(request.Body)["actions"]!.AsArray())),
            ("POST", "/{index}/_bulk") => Bulk(name, request.Body, query["refresh"] == "true", query["require_alias"] == "true"),
            ("POST", "/{index}/_search") => Ok(StandInSearch.Answer(One(name), Read(request.Body), query["typed_keys"] == "true")),
            _ => throw new StandInRefusal(405, "method_not_allowed", $"{request.Method} {request.Target} is nothing the stand-in knows."),
        };
    }

    private static StandInReply Ok(JsonNode body) => new(200, body.ToJsonString());

    private static JsonObject Read(string body) => JsonNode.Parse(body)!.AsObject();

    private static StandInReply Acknowledged(Action change)
    {
        change();
        return Ok(new JsonObject { ["acknowledged"] = true });
    }

    private static StandInReply Refresh(StandInIndex index)
    {
        index.Refresh();
        return Ok(new JsonObject { ["_shards"] = Shards() });
    }

    private static StandInReply Block(StandInIndex index)
    {
        index.Blocked = true;
        return Ok(new JsonObject { ["acknowledged"] = true, ["shards_acknowledged"] = true, ["indices"] = new JsonArray(new JsonObject { ["name"] = index.Name, ["blocked"] = true }) });
    }

    internal static JsonObject Shards() => new() { ["total"] = 1, ["successful"] = 1, ["skipped"] = 0, ["failed"] = 0 };

    private StandInIndex One(string name) => Named(name) is [var only] ? only.Value : throw new StandInRefusal(404, "index_not_found_exception", $"no such index [{name}]");

    private List<KeyValuePair<string, StandInIndex>> Named(string name) =>
        [.. indices.Where(index => Regex.IsMatch(index.Key, $"^{Regex.Escape(name).Replace("\\*", ".*", StringComparison.Ordinal)}$") || index.Value.Aliases.Contains(name))];

    private StandInReply Create(string name, JsonObject body)
    {
        if (indices.ContainsKey(name))
            throw new StandInRefusal(400, "resource_already_exists_exception", $"index [{name}] already exists");
        indices[name] = new StandInIndex(name, body);
        return Ok(new JsonObject { ["acknowledged"] = true, ["shards_acknowledged"] = true, ["index"] = name });
    }

    private StandInReply Delete(string name, bool evenIfAbsent)
    {
        if (!indices.Remove(name) && !evenIfAbsent)
            throw new StandInRefusal(404, "index_not_found_exception", $"no such index [{name}]");
        return Ok(new JsonObject { ["acknowledged"] = true });
    }

    private void ChangeAliases(JsonArray actions)
    {
        foreach (var (kind, action) in actions.SelectMany(action => action!.AsObject()))
        {
            var (index, alias) = (One(action!["index"]!.GetValue<string>()), action["alias"]!.GetValue<string>());
            if (kind == "add")
                index.Aliases.Add(alias);
            else if (!index.Aliases.Remove(alias))
                throw new StandInRefusal(404, "aliases_not_found_exception", $"aliases [{alias}] missing");
        }
    }

    private StandInReply Bulk(string name, string body, bool refresh, bool requireAlias)
    {
        var lines = body.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var items = new JsonArray();
        for (var i = 0; i < lines.Length; i += 2)
        {
            var id = JsonNode.Parse(lines[i])!["update"]!["_id"]!.GetValue<string>();
            JsonObject item;
            try
            {
                if (InsteadOfItem(id) is { } fault)
                    throw new StandInRefusal(fault.Status, fault.Type, "as the test wants it");
                if (requireAlias && indices.ContainsKey(name))
                    throw new StandInRefusal(404, "index_not_found_exception", $"[{name}] is not an alias");
                item = One(name).Update(id, JsonNode.Parse(lines[i + 1])!.AsObject());
            }
            catch (Exception wrong) when (wrong is StandInRefusal or InvalidOperationException)
            {
                var (status, type) = wrong is StandInRefusal refusal ? (refusal.Status, refusal.Type) : (400, "illegal_argument_exception");
                item = new JsonObject { ["_index"] = name, ["_id"] = id, ["status"] = status, ["error"] = new JsonObject { ["type"] = type, ["reason"] = wrong.Message } };
            }

            items.Add(new JsonObject { ["update"] = item });
        }

        if (refresh && Named(name) is [var written])
            written.Value.Refresh();
        return Ok(new JsonObject { ["errors"] = items.Any(item => item!["update"]!["error"] is not null), ["took"] = 1, ["items"] = items });
    }
}

internal sealed class StandInRefusal(int status, string type, string reason) : Exception(reason)
{
    public int Status { get; } = status;

    public string Type { get; } = type;
}

/// <param name="Words">By field, as analysed.</param>
internal sealed record StandInDocument(string Id, JsonObject Source, IReadOnlyDictionary<string, IReadOnlyList<string>> Words)
{
    /// <summary>As a script that scores sees them.</summary>
    public Dictionary<string, object?> Fields { get; } = Source.ToDictionary(field => field.Key, field => (object?)new Dictionary<string, object?> { ["value"] = JsonValues.Of(field.Value) });
}

/// <summary>Documents as written, and as they were when searches were last shown them.</summary>
internal sealed class StandInIndex(string name, JsonObject definition)
{
    private readonly Dictionary<string, Painless> scripts = [];
    private readonly JsonObject properties = definition["mappings"]!["properties"]!.AsObject();
    private readonly int longestBeginning = definition["settings"]!["analysis"]!["filter"]!["beginnings"]!["max_gram"]!.GetValue<int>();
    private long version;

    public string Name { get; } = name;

    public HashSet<string> Aliases { get; } = [.. definition["aliases"]?.AsObject().Select(alias => alias.Key) ?? []];

    public JsonObject Meta { get; set; } = definition["mappings"]!["_meta"]!.AsObject();

    public bool Blocked { get; set; }

    public Dictionary<string, StandInDocument> Documents { get; } = new(StringComparer.Ordinal);

    public IReadOnlyList<StandInDocument> Searchable { get; private set; } = [];

    public string TypeOf(string field) => properties[field]?["type"]?.GetValue<string>() ?? throw new StandInRefusal(400, "query_shard_exception", $"no mapping for [{field}]");

    public string? SimilarityOf(string field) => properties[field]!["similarity"]?.GetValue<string>();

    public Painless ScriptOf(string similarity) => Compiled(definition["settings"]!["similarity"]![similarity]!["script"]!["source"]!.GetValue<string>());

    public Painless Compiled(string script) => scripts.TryGetValue(script, out var compiled) ? compiled : scripts[script] = Painless.Compile(script);

    public void Refresh() => Searchable = [.. Documents.Values.OrderBy(document => document.Id, StringComparer.Ordinal)];

    public void Set(JsonObject settings)
    {
        var blocks = (settings["index"] ?? settings)["blocks"];
        if (blocks?["write"] is { } write)
            Blocked = write.GetValue<bool>();
    }

    public JsonObject Described() => new()
    {
        ["aliases"] = new JsonObject(Aliases.Select(alias => KeyValuePair.Create(alias, (JsonNode?)new JsonObject()))),
        ["mappings"] = new JsonObject { ["dynamic"] = "strict", ["_meta"] = Meta.DeepClone(), ["properties"] = properties.DeepClone() },
        ["settings"] = new JsonObject { ["index"] = new JsonObject { ["provided_name"] = Name, ["blocks"] = new JsonObject { ["write"] = Blocked ? "true" : "false" } } },
    };

    public JsonObject Update(string id, JsonObject body)
    {
        if (Blocked)
            throw new StandInRefusal(403, "cluster_block_exception", $"index [{Name}] blocked by: [FORBIDDEN/8/index write (api)];");

        var known = Documents.GetValueOrDefault(id);
        var source = (Dictionary<string, object?>)JsonValues.Of(known?.Source ?? (body["scripted_upsert"]?.GetValue<bool>() == true ? body["upsert"] : throw new StandInRefusal(404, "document_missing_exception", id)))!;
        var compiled = Compiled(body["script"]!["source"]!.GetValue<string>());
        var context = new Dictionary<string, object?> { ["_source"] = source, ["_now"] = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), ["op"] = known is null ? "create" : "index" };
        compiled.Run(new Dictionary<string, object?> { ["ctx"] = context, ["params"] = JsonValues.Of(body["script"]!["params"]) });
        var result = "noop";
        if ((string)context["op"]! != "none")
        {
            var written = JsonValues.Back(source)!.AsObject();
            Documents[id] = new StandInDocument(id, written, Analysed(written));
            (result, version) = (known is null ? "created" : "updated", version + 1);
        }

        var after = Documents.GetValueOrDefault(id);
        var item = new JsonObject
        {
            ["_index"] = Name,
            ["_id"] = id,
            ["_version"] = version,
            ["result"] = result,
            ["_shards"] = StandIn.Shards(),
            ["status"] = result == "created" ? 201 : 200,
            ["_seq_no"] = version,
            ["_primary_term"] = 1,
        };
        if (body["_source"] is { } wanted && wanted.GetValueKind() != System.Text.Json.JsonValueKind.False)
            item["get"] = after is null ? new JsonObject { ["found"] = false } : new JsonObject { ["_seq_no"] = version, ["_primary_term"] = 1, ["found"] = true, ["_source"] = StandInSearch.SourceOf(after.Source, wanted) };
        return item;
    }

    private Dictionary<string, IReadOnlyList<string>> Analysed(JsonObject source)
    {
        var words = new Dictionary<string, IReadOnlyList<string>>(StringComparer.Ordinal);
        foreach (var (field, value) in source)
        {
            if (properties[field] is not { } property)
                throw new StandInRefusal(400, "strict_dynamic_mapping_exception", $"mapping set to strict, dynamic introduction of [{field}] within [_doc] is not allowed");
            Fits(field, property["type"]!.GetValue<string>(), value);
            if (property["type"]!.GetValue<string>() != "text" || value is null)
                continue;
            var tokens = value.GetValue<string>().Split(' ', StringSplitOptions.RemoveEmptyEntries).ToList();
            if (property["analyzer"]!.GetValue<string>() == "beginnings")
                tokens = [.. tokens.SelectMany(token => Enumerable.Range(1, Math.Min(token.Length, longestBeginning)).Select(length => token[..length]))];
            words[field] = tokens;
            if (property["copy_to"]?.ToString() is { } target)
                words[target] = [.. words.GetValueOrDefault(target, []), .. tokens];
        }

        return words;
    }

    private static void Fits(string field, string type, JsonNode? value)
    {
        foreach (var one in value as IEnumerable<JsonNode?> ?? [value])
        {
            var fits = one is null || type switch
            {
                "boolean" => one.GetValueKind() is System.Text.Json.JsonValueKind.True or System.Text.Json.JsonValueKind.False,
                "long" => long.TryParse(one.ToJsonString(), CultureInfo.InvariantCulture, out _),
                "integer" => int.TryParse(one.ToJsonString(), CultureInfo.InvariantCulture, out _),
                "double" => double.TryParse(one.ToJsonString(), CultureInfo.InvariantCulture, out _),
                "keyword" or "text" => one.GetValueKind() == System.Text.Json.JsonValueKind.String,
                _ => one is JsonObject || value is JsonObject,
            };
            if (!fits)
                throw new StandInRefusal(400, "document_parsing_exception", $"failed to parse field [{field}] of type [{type}]");
        }
    }
}
