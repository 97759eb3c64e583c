using System.Text.Json;
using Dapr.Client.Autogen.Grpc.v1;
using Grpc.Core;
using Marketplace.Local.Sidecar.Resiliency;

namespace Marketplace.Local.Sidecar.Locks;

/// <summary>The lock API, which daprd calls alpha.</summary>
internal sealed class LocksBlock(SidecarHost host) : BuildingBlock(host)
{
    public override void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1.0-alpha1/lock/{store}", (RequestDelegate)LockAsync);
        routes.MapPost("/v1.0-alpha1/unlock/{store}", (RequestDelegate)UnlockAsync);
    }

    public override void MapGrpc(DaprMethods methods)
    {
        methods.Unary<TryLockRequest, TryLockResponse>("TryLockAlpha1", async (sidecar, request, call) => new TryLockResponse
        {
            Success = await LockAsync(sidecar, request.StoreName, request.ResourceId, request.LockOwner, request.ExpiryInSeconds, call.CancellationToken),
        });
        methods.Unary<UnlockRequest, UnlockResponse>("UnlockAlpha1", async (sidecar, request, call) => new UnlockResponse
        {
            Status = (UnlockResponse.Types.Status)(int)await UnlockAsync(sidecar, request.StoreName, request.ResourceId, request.LockOwner, call.CancellationToken),
        });
    }

    private async Task LockAsync(HttpContext http)
    {
        var request = await ReadAsync(http);
        var success = await LockAsync(SidecarInstance.Of(http), http.RouteText("store"), request.ResourceId, request.LockOwner, request.ExpiryInSeconds, http.RequestAborted);
        await WriteAsync(http, json => json.WriteBoolean("success", success));
    }

    private async Task UnlockAsync(HttpContext http)
    {
        var request = await ReadAsync(http);
        var status = await UnlockAsync(SidecarInstance.Of(http), http.RouteText("store"), request.ResourceId, request.LockOwner, http.RequestAborted);
        await WriteAsync(http, json => json.WriteNumber("status", (int)status));
    }

    private async Task<bool> LockAsync(SidecarInstance sidecar, string storeName, string? resource, string? owner, int seconds, CancellationToken ct)
    {
        if (seconds <= 0) throw Malformed("ExpiryInSeconds is not positive in lock store " + storeName);
        var store = Store(sidecar, storeName, resource, owner);
        try
        {
            return await PolicyOf(sidecar, storeName).RunAsync(Host.Time, _ => store.TryLockAsync(resource!, owner!, TimeSpan.FromSeconds(seconds)), static _ => false, null, ct);
        }
        catch (Exception e) when (e is StackExchange.Redis.RedisException or TimeoutException or BreakerOpenException)
        {
            throw new DaprApiException(500, StatusCode.Internal, "ERR_TRY_LOCK", $"failed to try acquiring lock: {e.Message}");
        }
    }

    private async Task<UnlockStatus> UnlockAsync(SidecarInstance sidecar, string storeName, string? resource, string? owner, CancellationToken ct)
    {
        var store = Store(sidecar, storeName, resource, owner);
        try
        {
            return await PolicyOf(sidecar, storeName).RunAsync(Host.Time, _ => store.UnlockAsync(resource!, owner!), static _ => false, null, ct);
        }
        catch (Exception e) when (e is StackExchange.Redis.RedisException or TimeoutException or BreakerOpenException)
        {
            throw new DaprApiException(500, StatusCode.Internal, "ERR_UNLOCK", $"failed to release lock: {e.Message}");
        }
    }

    private static ResiliencePolicy? PolicyOf(SidecarInstance sidecar, string storeName) => sidecar.Components.Resiliency.ComponentOutbound(storeName, "Lock");

    private static RedisLockStore Store(SidecarInstance sidecar, string name, string? resource, string? owner)
    {
        var stores = sidecar.Components.LockStores;
        if (stores.Count == 0) throw new DaprApiException(500, StatusCode.FailedPrecondition, "ERR_LOCK_STORE_NOT_CONFIGURED", "lock store is not configured");
        if (string.IsNullOrEmpty(resource)) throw Malformed("ResourceId is empty in lock store " + name);
        if (string.IsNullOrEmpty(owner)) throw Malformed("LockOwner is empty in lock store " + name);
        return stores.TryGetValue(name, out var store)
            ? store
            : throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_LOCK_STORE_NOT_FOUND", $"lock store {name} not found");
    }

    private static DaprApiException Malformed(string problem) => new(400, StatusCode.InvalidArgument, "ERR_MALFORMED_REQUEST", problem);

    private static async Task<LockRequest> ReadAsync(HttpContext http)
    {
        try
        {
            return await JsonSerializer.DeserializeAsync<LockRequest>(http.Request.Body, JsonSerializerOptions.Web, http.RequestAborted) ?? throw Malformed("failed deserializing HTTP body: null");
        }
        catch (JsonException e)
        {
            throw Malformed($"failed deserializing HTTP body: {e.Message}");
        }
    }

    private static async Task WriteAsync(HttpContext http, Action<Utf8JsonWriter> write)
    {
        http.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(http.Response.BodyWriter);
        json.WriteStartObject();
        write(json);
        json.WriteEndObject();
    }

    private sealed record LockRequest(string? ResourceId, string? LockOwner, int ExpiryInSeconds);
}
