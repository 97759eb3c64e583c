using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Dapr.Client.Autogen.Grpc.v1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Marketplace.Local.Sidecar.Resiliency;

namespace Marketplace.Local.Sidecar.State;

/// <summary>The state API over HTTP and gRPC.</summary>
internal sealed class StateBlock(SidecarHost host) : BuildingBlock(host)
{
    public override void Map(IEndpointRouteBuilder routes)
    {
        string[] write = ["POST", "PUT"];
        routes.MapMethods("/v1.0/state/{store}", write, (RequestDelegate)SaveAsync);
        routes.MapMethods("/v1.0/state/{store}/bulk", write, (RequestDelegate)GetManyAsync);
        routes.MapMethods("/v1.0/state/{store}/transaction", write, (RequestDelegate)TransactAsync);
        routes.MapGet("/v1.0/state/{store}/{**key}", (RequestDelegate)GetAsync);
        routes.MapDelete("/v1.0/state/{store}/{**key}", (RequestDelegate)DeleteAsync);
    }

    public override void MapGrpc(DaprMethods methods)
    {
        methods.Unary<GetStateRequest, GetStateResponse>("GetState", GetAsync);
        methods.Unary<GetBulkStateRequest, GetBulkStateResponse>("GetBulkState", GetManyAsync);
        methods.Unary<SaveStateRequest, Empty>("SaveState", SaveAsync);
        methods.Unary<DeleteStateRequest, Empty>("DeleteState", DeleteAsync);
        methods.Unary<DeleteBulkStateRequest, Empty>("DeleteBulkState", DeleteManyAsync);
        methods.Unary<ExecuteStateTransactionRequest, Empty>("ExecuteStateTransaction", TransactAsync);
    }

    // gRPC

    private async Task<GetStateResponse> GetAsync(SidecarInstance sidecar, GetStateRequest request, ServerCallContext call)
    {
        var store = Store(sidecar, request.StoreName);
        if (await ReadAsync(sidecar, store, request.Key, call.CancellationToken) is not { } entry) return new GetStateResponse();

        var answer = new GetStateResponse { Data = UnsafeByteOperations.UnsafeWrap(entry.Value), Etag = entry.ETag };
        if (entry.ExpiresAt is { } expires) answer.Metadata.Add("ttlExpireTime", Rfc3339(expires));
        return answer;
    }

    private async Task<GetBulkStateResponse> GetManyAsync(SidecarInstance sidecar, GetBulkStateRequest request, ServerCallContext call)
    {
        var store = Store(sidecar, request.StoreName);
        var answer = new GetBulkStateResponse();
        var entries = await ReadManyAsync(sidecar, store, request.Keys, call.CancellationToken);
        for (var i = 0; i < entries.Count; i++)
        {
            var item = new BulkStateItem { Key = request.Keys[i] };
            if (entries[i] is { } entry)
            {
                item.Data = UnsafeByteOperations.UnsafeWrap(entry.Value);
                item.Etag = entry.ETag;
                if (entry.ExpiresAt is { } expires) item.Metadata.Add("ttlExpireTime", Rfc3339(expires));
            }

            answer.Items.Add(item);
        }

        return answer;
    }

    private async Task<Empty> SaveAsync(SidecarInstance sidecar, SaveStateRequest request, ServerCallContext call)
    {
        var store = Store(sidecar, request.StoreName);
        await SaveAsync(sidecar, store, [.. request.States.Select(item => item.Key.Length > 0
            ? Write(store, item, Saving(store))
            : throw new DaprApiException(400, StatusCode.InvalidArgument, Code.Save, "state key cannot be empty") { IsCodedOverGrpc = true })], call.CancellationToken);
        return new Empty();
    }

    private async Task<Empty> DeleteAsync(SidecarInstance sidecar, DeleteStateRequest request, ServerCallContext call)
    {
        var store = Store(sidecar, request.StoreName);
        var write = new StateWrite(FullKey(store, request.Key), ETag: request.Etag?.Value, Concurrency: Concurrency(request.Options), Delete: true);
        await DeleteAsync(sidecar, store, request.Key, write, call.CancellationToken);
        return new Empty();
    }

    private async Task<Empty> DeleteManyAsync(SidecarInstance sidecar, DeleteBulkStateRequest request, ServerCallContext call)
    {
        var store = Store(sidecar, request.StoreName);
        StateWrite[] writes = [.. request.States.Select(item => Write(store, item, problem => new DaprApiException(500, StatusCode.Internal, Code.DeleteMany, problem)) with { Delete = true })];
        var results = await Task.WhenAll(writes.Select(write => DeleteAsync(sidecar, store, write, WasRefused, call.CancellationToken)));
        if (Worst(results) is { } failure) throw Refusal(failure, Code.DeleteMany, $"failed deleting state in state store {store.Name}: {failure.Message}");
        return new Empty();
    }

    private async Task<Empty> TransactAsync(SidecarInstance sidecar, ExecuteStateTransactionRequest request, ServerCallContext call)
    {
        var store = Store(sidecar, request.StoreName);
        await TransactAsync(sidecar, store, [.. request.Operations.Select(operation => operation.OperationType switch
        {
            "upsert" => Write(store, operation.Request, Transacting, parsed: false),
            "delete" => Write(store, operation.Request, Transacting, parsed: false) with { Delete = true },
            var other => throw UnknownOperation(other),
        })], call.CancellationToken);
        return new Empty();
    }

    private static StateWrite Write(StateStoreComponent store, StateItem item, Func<string, DaprApiException> refuse, bool parsed = true)
    {
        var isJson = item.Metadata.TryGetValue("contentType", out var type) && type == "application/json";
        return new StateWrite(
            FullKey(store, item.Key),
            isJson && parsed ? Reparsed(item.Value) : item.Value.Memory,
            item.Etag?.Value,
            Concurrency(item.Options),
            Ttl(item.Metadata, refuse),
            isJson);
    }

    /// <summary>What is called JSON is stored as Go writes it, as over HTTP.</summary>
    private static ReadOnlyMemory<byte> Reparsed(ByteString value)
    {
        try
        {
            using var document = JsonDocument.Parse(value.Memory);
            return GoJson.Rewrite(document.RootElement);
        }
        catch (JsonException e)
        {
            throw new RpcException(new Status(StatusCode.Unknown, e.Message));
        }
    }

    private static StateConcurrency Concurrency(StateOptions? options) => options?.Concurrency switch
    {
        StateOptions.Types.StateConcurrency.ConcurrencyFirstWrite => StateConcurrency.FirstWrite,
        StateOptions.Types.StateConcurrency.ConcurrencyLastWrite => StateConcurrency.LastWrite,
        _ => StateConcurrency.Unspecified,
    };

    // HTTP

    private async Task GetAsync(HttpContext http)
    {
        var sidecar = SidecarInstance.Of(http);
        var store = Store(sidecar, http.RouteText("store"));
        var entry = await ReadAsync(sidecar, store, http.RouteText("key"), http.RequestAborted);
        if (entry is null)
        {
            http.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        http.Response.ContentType = "application/json";
        http.Response.ContentLength = entry.Value.Length;
        http.Response.Headers.ETag = entry.ETag;
        if (entry.ExpiresAt is { } expires) http.Response.Headers["metadata.ttlExpireTime"] = Rfc3339(expires);
        await http.Response.Body.WriteAsync(entry.Value, http.RequestAborted);
    }

    private async Task SaveAsync(HttpContext http)
    {
        var sidecar = SidecarInstance.Of(http);
        var store = Store(sidecar, http.RouteText("store"));
        using var body = await BodyAsync(http);
        if (body.RootElement.ValueKind == JsonValueKind.Null)
        {
            http.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        if (body.RootElement.ValueKind != JsonValueKind.Array) throw Malformed("the body must be an array");
        var shared = http.QueryMetadata();
        var writes = body.RootElement.EnumerateArray().Select(item => Write(store, item, shared, Saving(store), needsKey: true)).ToArray();
        await SaveAsync(sidecar, store, writes, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task DeleteAsync(HttpContext http)
    {
        var sidecar = SidecarInstance.Of(http);
        var store = Store(sidecar, http.RouteText("store"));
        var key = http.RouteText("key");
        var etag = http.Request.Headers.IfMatch.Count > 0 ? http.Request.Headers.IfMatch.ToString() : null;
        var write = new StateWrite(FullKey(store, key), ETag: etag, Concurrency: Concurrency(http.Request.Query["concurrency"], problem => new DaprApiException(500, StatusCode.Internal, Code.Delete, $"failed deleting state with key {key}: {problem}")), Delete: true);
        await DeleteAsync(sidecar, store, key, write, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task GetManyAsync(HttpContext http)
    {
        var sidecar = SidecarInstance.Of(http);
        var store = Store(sidecar, http.RouteText("store"));
        using var body = await BodyAsync(http);
        if (body.RootElement.ValueKind != JsonValueKind.Object) throw Malformed("the body must be an object");
        string[] keys = body.RootElement.TryGetProperty("keys", out var list) && list.ValueKind == JsonValueKind.Array
            ? [.. list.EnumerateArray().Select(key => key.ValueKind == JsonValueKind.String ? key.GetString()! : throw Malformed("keys must be text"))]
            : [];
        var entries = await ReadManyAsync(sidecar, store, keys, http.RequestAborted);
        http.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(http.Response.BodyWriter);
        json.WriteStartArray();
        for (var i = 0; i < keys.Length; i++)
        {
            json.WriteStartObject();
            json.WriteString("key", keys[i]);
            if (entries[i] is { } entry)
            {
                json.WritePropertyName("data");
                WriteData(json, entry.Value.Span);
                json.WriteString("etag", entry.ETag);
                if (entry.ExpiresAt is { } expires)
                {
                    json.WriteStartObject("metadata");
                    json.WriteString("ttlExpireTime", Rfc3339(expires));
                    json.WriteEndObject();
                }
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private async Task TransactAsync(HttpContext http)
    {
        var sidecar = SidecarInstance.Of(http);
        var store = Store(sidecar, http.RouteText("store"));
        using var body = await BodyAsync(http);
        if (body.RootElement.ValueKind != JsonValueKind.Object) throw Malformed("the body must be an object");
        var shared = http.QueryMetadata();
        var writes = new List<StateWrite>();
        if (body.RootElement.TryGetProperty("operations", out var operations) && operations.ValueKind == JsonValueKind.Array)
        {
            foreach (var operation in operations.EnumerateArray())
            {
                var name = operation.TryGetProperty("operation", out var value) ? value.GetString() : null;
                if (!operation.TryGetProperty("request", out var request)) throw Malformed("an operation has no request");
                writes.Add(name switch
                {
                    "upsert" => Write(store, request, shared, Transacting),
                    "delete" => Write(store, request, shared, Transacting) with { Delete = true },
                    _ => throw UnknownOperation(name ?? ""),
                });
            }
        }

        await TransactAsync(sidecar, store, writes, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task<JsonDocument> BodyAsync(HttpContext http)
    {
        try
        {
            return await JsonDocument.ParseAsync(http.Request.Body, cancellationToken: http.RequestAborted);
        }
        catch (JsonException e)
        {
            throw Malformed(e.Message);
        }
    }

    private static StateWrite Write(StateStoreComponent store, JsonElement item, Dictionary<string, string> shared, Func<string, DaprApiException> refuse, bool needsKey = false)
    {
        if (item.ValueKind != JsonValueKind.Object) throw Malformed("an item must be an object");
        var key = item.TryGetProperty("key", out var text) && text.ValueKind == JsonValueKind.String ? text.GetString()! : "";
        if (needsKey && key.Length == 0) throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_MALFORMED_REQUEST", "\"key\" is a required field");
        var metadata = new Dictionary<string, string>();
        if (item.TryGetProperty("metadata", out var own) && own.ValueKind == JsonValueKind.Object)
        {
            foreach (var pair in own.EnumerateObject())
                metadata[pair.Name] = pair.Value.ValueKind == JsonValueKind.String ? pair.Value.GetString()! : throw Malformed("metadata values must be text");
        }

        foreach (var (name, value) in shared)
            metadata[name] = value;

        string? etag = null, concurrency = null;
        if (item.TryGetProperty("etag", out var tag)) etag = tag.ValueKind switch
        {
            JsonValueKind.String => tag.GetString(),
            JsonValueKind.Null => null,
            _ => throw Malformed("etag must be text"),
        };
        if (item.TryGetProperty("options", out var options) && options.ValueKind == JsonValueKind.Object && options.TryGetProperty("concurrency", out var wanted)) concurrency = wanted.GetString();
        return new StateWrite(
            FullKey(store, key),
            item.TryGetProperty("value", out var data) ? GoJson.Rewrite(data) : "null"u8.ToArray(),
            etag,
            Concurrency(concurrency, refuse),
            Ttl(metadata, refuse),
            Json: true);
    }

    private static StateConcurrency Concurrency(string? text, Func<string, DaprApiException> refuse) => text switch
    {
        null or "" => StateConcurrency.Unspecified,
        "first-write" => StateConcurrency.FirstWrite,
        "last-write" => StateConcurrency.LastWrite,
        _ => throw refuse($"unrecognized concurrency model '{text}'"),
    };

    private static void WriteData(Utf8JsonWriter json, ReadOnlySpan<byte> data)
    {
        // Written over gRPC it may be anything: what is not JSON goes out as a string.
        var reader = new Utf8JsonReader(data);
        try
        {
            while (reader.Read())
            {
            }

            json.WriteRawValue(data, skipInputValidation: true);
        }
        catch (JsonException)
        {
            json.WriteStringValue(data);
        }
    }

    // Both

    private static StateStoreComponent Store(SidecarInstance sidecar, string name)
    {
        var stores = sidecar.Components.StateStores;
        if (stores.TryGetValue(name, out var store)) return store;
        var info = new Dictionary<string, string> { ["appID"] = sidecar.AppId };
        throw stores.Count == 0
            ? new DaprApiException(500, StatusCode.FailedPrecondition, "ERR_STATE_STORE_NOT_CONFIGURED", $"state store {name} is not configured", "DAPR_STATE_NOT_CONFIGURED") { Info = info }
            : new DaprApiException(400, StatusCode.InvalidArgument, "ERR_STATE_STORE_NOT_FOUND", $"state store {name} is not found", "DAPR_STATE_NOT_FOUND") { Info = info };
    }

    private static string FullKey(StateStoreComponent store, string key)
    {
        if (!key.Contains("||", StringComparison.Ordinal)) return store.Key(key);
        var problem = $"input key/keyPrefix '{key}' can't contain '||'";
        throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_MALFORMED_REQUEST", problem, "DAPR_STATE_ILLEGAL_KEY") { Resource = ("state", store.Name), Field = (key, problem) };
    }

    private static int? Ttl(IDictionary<string, string> metadata, Func<string, DaprApiException> refuse)
    {
        if (!metadata.TryGetValue("ttlInSeconds", out var text)) return null;
        return int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var seconds)
            ? seconds
            : throw refuse($"error parsing TTL: incorrect value for metadata 'ttlInSeconds': {text}");
    }

    private async ValueTask<StateEntry?> ReadAsync(SidecarInstance sidecar, StateStoreComponent store, string key, CancellationToken ct)
    {
        var fullKey = FullKey(store, key);
        try
        {
            return sidecar.Components.Resiliency.ComponentOutbound(store.Name, "Statestore") is { } policy
                ? await ReadAsync(policy, store.Store, fullKey, ct)
                : await store.Store.GetAsync(fullKey, ct);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            throw new DaprApiException(500, StatusCode.Internal, Code.Get, $"fail to get {key} from state store {store.Name}: {e.Message}") { IsCodedOverGrpc = true };
        }
    }

    // A method of its own, so that only guarded reads pay for the closure.
    private Task<StateEntry?> ReadAsync(ResiliencePolicy policy, IStateStore store, string fullKey, CancellationToken ct) =>
        policy.RunAsync(Host.Time, token => store.GetAsync(fullKey, token).AsTask(), static _ => false, null, ct);

    private async Task<IReadOnlyList<StateEntry?>> ReadManyAsync(SidecarInstance sidecar, StateStoreComponent store, IReadOnlyList<string> keys, CancellationToken ct)
    {
        if (keys.Count == 0) return [];
        string[] fullKeys = [.. keys.Select(key => FullKey(store, key))];
        try
        {
            return await GuardAsync(sidecar, store, token => store.Store.GetManyAsync(fullKeys, token), static _ => false, ct);
        }
        catch (Exception e) when (e is not (OperationCanceledException or DaprApiException))
        {
            throw new DaprApiException(500, StatusCode.Internal, "ERR_STATE_BULK_GET", $"failed to get bulk from state store {store.Name}: {e.Message}");
        }
    }

    /// <summary>One item is a set; several are sets side by side, of which some may fail: then the worst failure is told.</summary>
    private async Task SaveAsync(SidecarInstance sidecar, StateStoreComponent store, StateWrite[] writes, CancellationToken ct)
    {
        if (writes.Length == 0) return;
        var results = writes.Length == 1
            ? [await SetAsync(sidecar, store, writes[0], ct)]
            : await Task.WhenAll(writes.Select(write => SetAsync(sidecar, store, write, ct)));
        if (Worst(results) is { } failure) throw Refusal(failure, Code.Save, $"failed saving state in state store {store.Name}: {failure.Message}");
    }

    /// <summary>Among several failures an ETag's is the one that is told: an invalid one if there is one and nothing else went wrong.</summary>
    private static StateResult? Worst(StateResult[] results)
    {
        var failures = results.Where(result => !result.Ok).ToArray();
        if (failures.Length == 0) return null;
        var etags = failures.Where(result => result.Verdict is StateVerdict.Mismatch or StateVerdict.InvalidETag).ToArray();
        if (etags.Length == 0) return failures[0];
        return etags.Length == failures.Length && etags.Any(result => result.Verdict == StateVerdict.InvalidETag)
            ? etags.First(result => result.Verdict == StateVerdict.InvalidETag)
            : etags[0];
    }

    private async Task<StateResult> SetAsync(SidecarInstance sidecar, StateStoreComponent store, StateWrite write, CancellationToken ct)
    {
        try
        {
            return await GuardAsync(sidecar, store, token => store.Store.SetAsync(write, token), static result => !result.Ok, ct, WasRefused);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            return new StateResult(StateVerdict.Refused, e.Message);
        }
    }

    private async Task DeleteAsync(SidecarInstance sidecar, StateStoreComponent store, string key, StateWrite write, CancellationToken ct)
    {
        var result = await DeleteAsync(sidecar, store, write, again: null, ct);
        if (!result.Ok) throw Refusal(result, Code.Delete, $"failed deleting state with key {key}: {result.Message}");
    }

    private async Task<StateResult> DeleteAsync(SidecarInstance sidecar, StateStoreComponent store, StateWrite write, Func<StateResult, bool>? again, CancellationToken ct)
    {
        try
        {
            return await GuardAsync(sidecar, store, token => store.Store.DeleteAsync(write, token), static result => !result.Ok, ct, again);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            return new StateResult(StateVerdict.Refused, e.Message);
        }
    }

    /// <summary>Any failure of a transaction is a plain error, an ETag that does not match too.</summary>
    private async Task TransactAsync(SidecarInstance sidecar, StateStoreComponent store, IReadOnlyList<StateWrite> writes, CancellationToken ct)
    {
        if (writes.Count == 0) return;
        StateResult result;
        try
        {
            result = await GuardAsync(sidecar, store, token => store.Store.TransactAsync(writes, token), static result => !result.Ok, ct);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            result = new StateResult(StateVerdict.Refused, e.Message);
        }

        if (!result.Ok)
            throw Transacting(result.Message ?? "");
    }

    private Task<T> GuardAsync<T>(SidecarInstance sidecar, StateStoreComponent store, Func<CancellationToken, ValueTask<T>> call, Func<T, bool> failed, CancellationToken ct, Func<T, bool>? again = null) =>
        sidecar.Components.Resiliency.ComponentOutbound(store.Name, "Statestore").RunAsync(Host.Time, token => call(token).AsTask(), failed, again, ct);

    /// <summary>What writing and bulk deleting may repeat. A single delete is repeated whatever its failure: daprd does so.</summary>
    private static bool WasRefused(StateResult result) => result.Verdict == StateVerdict.Refused;

    private static DaprApiException Refusal(StateResult result, string errorCode, string message) => result.Verdict switch
    {
        StateVerdict.Mismatch => new DaprApiException(409, StatusCode.Aborted, errorCode, message) { IsCodedOverGrpc = true },
        StateVerdict.InvalidETag => new DaprApiException(400, StatusCode.InvalidArgument, errorCode, message) { IsCodedOverGrpc = true },
        _ => new DaprApiException(500, StatusCode.Internal, errorCode, message) { IsCodedOverGrpc = true },
    };

    private static Func<string, DaprApiException> Saving(StateStoreComponent store) =>
        problem => new DaprApiException(500, StatusCode.Internal, Code.Save, $"failed saving state in state store {store.Name}: {problem}") { IsCodedOverGrpc = true };

    private static DaprApiException Transacting(string problem) =>
        new(500, StatusCode.Internal, Code.Transaction, $"error while executing state transaction: {problem}") { IsCodedOverGrpc = true };

    private static DaprApiException Malformed(string problem) => new(400, StatusCode.InvalidArgument, "ERR_MALFORMED_REQUEST", $"failed deserializing HTTP body: {problem}");

    private static DaprApiException UnknownOperation(string name) =>
        new(400, StatusCode.Unimplemented, "ERR_NOT_SUPPORTED_STATE_OPERATION", $"operation type {name} not supported") { IsCodedOverGrpc = true };

    private static string Rfc3339(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    private static class Code
    {
        public const string Get = "ERR_STATE_GET";
        public const string Save = "ERR_STATE_SAVE";
        public const string Delete = "ERR_STATE_DELETE";
        public const string DeleteMany = "ERR_STATE_BULK_DELETE";
        public const string Transaction = "ERR_STATE_TRANSACTION";
    }
}
