using System.Text.Json.Nodes;
using Marketplace.Gateway.FlashSales;
using Marketplace.Gateway.Routes;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;

namespace Marketplace.Gateway.Documents;

public sealed class DocumentOptions
{
    public TimeSpan KeptFor { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>A document with services missing is asked for again sooner.</summary>
    public TimeSpan IncompleteKeptFor { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>A service makes its document when it is first asked, which takes a while on a cold process.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(10);
}

/// <summary>
/// One OpenAPI document out of those of the services: only the listed routes, with each service's schemas under its own name. A service
/// that is down is named in <c>info.x-missing-services</c>; the others are there all the same.
/// </summary>
public sealed partial class MergedOpenApi(Sidecar sidecar, IOptions<DocumentOptions> options, TimeProvider time, ILogger<MergedOpenApi> log) : IDisposable
{
    private readonly SemaphoreSlim making = new(1);
    private Made? made;

    public async Task<ContentHttpResult> GetAsync(CancellationToken ct)
    {
        if (Current() is { } ready)
            return TypedResults.Text(ready.Json, "application/json");

        await making.WaitAsync(ct);
        try
        {
            var next = Current() ?? await MakeAsync(ct);
            Volatile.Write(ref made, next);
            return TypedResults.Text(next.Json, "application/json");
        }
        finally
        {
            making.Release();
        }
    }

    public void Dispose() => making.Dispose();

    private Made? Current() => Volatile.Read(ref made) is { } current && time.GetUtcNow() < current.Until ? current : null;

    private async Task<Made> MakeAsync(CancellationToken ct)
    {
        var documents = await Task.WhenAll(PublicRoutes.Apps.Select(async app => (App: app, Document: await FetchAsync(app, ct))));
        var missing = documents.Where(each => each.Document is null).Select(each => each.App).ToArray();

        var paths = new JsonObject();
        var schemas = new JsonObject();
        var tags = new JsonArray();
        foreach (var (app, document) in documents)
        {
            if (document is null)
                continue;
            tags.Add(new JsonObject { ["name"] = app });
            MoveSchemas(app, document, schemas);
            foreach (var route in PublicRoutes.All.Where(route => route.App == app))
                MoveOperation(app, route, document, paths);
        }
        QueueDocument.AddTo(paths, schemas);

        var merged = new JsonObject
        {
            ["openapi"] = "3.1.1",
            ["info"] = new JsonObject
            {
                ["title"] = "Marketplace",
                ["version"] = "v1",
                ["description"] = missing.Length == 0
                    ? "Everything the gateway lets through."
                    : $"Everything the gateway lets through, except what does not answer at the moment: {string.Join(", ", missing)}.",
                ["x-missing-services"] = new JsonArray([.. missing.Select(app => (JsonNode)app)]),
            },
            ["tags"] = tags,
            ["paths"] = paths,
            ["components"] = new JsonObject
            {
                ["schemas"] = schemas,
                ["securitySchemes"] = new JsonObject
                {
                    ["token"] = new JsonObject { ["type"] = "http", ["scheme"] = "bearer", ["bearerFormat"] = "JWT" },
                },
            },
        };
        return new(merged.ToJsonString(), time.GetUtcNow() + (missing.Length == 0 ? options.Value.KeptFor : options.Value.IncompleteKeptFor));
    }

    private async Task<JsonObject?> FetchAsync(string app, CancellationToken ct)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
        patience.CancelAfter(options.Value.Timeout);
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"{sidecar.PrefixOf(app)}/openapi/v1.json");
            if (sidecar.ApiToken is { } apiToken)
                request.Headers.TryAddWithoutValidation("dapr-api-token", apiToken);
            using var response = await sidecar.Http.SendAsync(request, patience.Token);
            if (!response.IsSuccessStatusCode)
                return null;
            await using var body = await response.Content.ReadAsStreamAsync(patience.Token);
            return await JsonNode.ParseAsync(body, cancellationToken: patience.Token) as JsonObject;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or System.Text.Json.JsonException or OperationCanceledException && !ct.IsCancellationRequested)
        {
            LogMissing(app, e.Message);
            return null;
        }
    }

    private static void MoveSchemas(string app, JsonObject document, JsonObject schemas)
    {
        if (document["components"]?["schemas"] is not JsonObject own)
            return;
        foreach (var (name, schema) in own.ToList())
        {
            own.Remove(name);
            Rename(app, schema);
            schemas[$"{app}.{name}"] = schema;
        }
    }

    private static void MoveOperation(string app, PublicRoute route, JsonObject document, JsonObject paths)
    {
        // A service calls a route value what it likes: compared is the shape, and shown is the service's own name for it.
        var shape = Shape(route.Pattern);
        var found = (document["paths"] as JsonObject)?.FirstOrDefault(path => Shape(path.Key) == shape);
        if (found?.Value is not JsonObject item || item[route.Method.ToLowerInvariant()] is not JsonObject operation)
            return;

        var name = found.Value.Key.TrimEnd('/');
        item.Remove(route.Method.ToLowerInvariant());
        Rename(app, operation);
        operation["tags"] = new JsonArray(app);
        if (route.Access is Access.Token or Access.Seller or Access.Operator)
            operation["security"] = new JsonArray(new JsonObject { ["token"] = new JsonArray() });

        if (paths[name] is not JsonObject path)
            paths[name] = path = [];
        path[route.Method.ToLowerInvariant()] = operation;
    }

    private static string Shape(string pattern) => string.Join('/', pattern.TrimEnd('/').Split('/').Select(segment => segment.StartsWith('{') ? "{}" : segment.ToLowerInvariant()));

    private static void Rename(string app, JsonNode? node)
    {
        switch (node)
        {
            case JsonObject thing:
                if (thing["$ref"] is JsonValue reference && reference.TryGetValue<string>(out var target) && target.StartsWith(SchemaPrefix, StringComparison.Ordinal))
                    thing["$ref"] = $"{SchemaPrefix}{app}.{target[SchemaPrefix.Length..]}";
                foreach (var (_, child) in thing)
                    Rename(app, child);
                break;
            case JsonArray list:
                foreach (var child in list)
                    Rename(app, child);
                break;
        }
    }

    private const string SchemaPrefix = "#/components/schemas/";

    [LoggerMessage(LogLevel.Warning, "The API description of {App} is missing: {Reason}")]
    private partial void LogMissing(string app, string reason);

    private sealed record Made(string Json, DateTimeOffset Until);
}
