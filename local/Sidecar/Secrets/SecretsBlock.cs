using System.Text.Json;
using Dapr.Client.Autogen.Grpc.v1;
using Grpc.Core;
using Marketplace.Local.Sidecar.Resiliency;

namespace Marketplace.Local.Sidecar.Secrets;

internal sealed class SecretsBlock(SidecarHost host) : BuildingBlock(host)
{
    public override void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1.0/secrets/{store}/bulk", (RequestDelegate)BulkAsync);
        routes.MapGet("/v1.0/secrets/{store}/{key}", (RequestDelegate)GetAsync);
    }

    public override void MapGrpc(DaprMethods methods)
    {
        methods.Unary<GetSecretRequest, GetSecretResponse>("GetSecret", async (sidecar, request, call) =>
        {
            var answer = new GetSecretResponse();
            answer.Data.Add(await GetAsync(sidecar, request.StoreName, request.Key, call.CancellationToken));
            return answer;
        });
        methods.Unary<GetBulkSecretRequest, GetBulkSecretResponse>("GetBulkSecret", async (sidecar, request, call) =>
        {
            var store = Store(sidecar, request.StoreName);
            var answer = new GetBulkSecretResponse();
            foreach (var (name, values) in await GetAllAsync(sidecar, store, call.CancellationToken))
            {
                if (store.Allows(name)) answer.Data.Add(name, new SecretResponse { Secrets = { values } });
            }

            return answer;
        });
    }

    private async Task GetAsync(HttpContext http)
    {
        var values = await GetAsync(SidecarInstance.Of(http), http.RouteText("store"), http.RouteText("key"), http.RequestAborted);
        if (values.Count == 0)
        {
            http.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        http.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(http.Response.BodyWriter);
        Write(json, values);
    }

    private async Task BulkAsync(HttpContext http)
    {
        var sidecar = SidecarInstance.Of(http);
        var store = Store(sidecar, http.RouteText("store"));
        var all = await GetAllAsync(sidecar, store, http.RequestAborted);
        http.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(http.Response.BodyWriter);
        json.WriteStartObject();
        foreach (var (name, values) in all)
        {
            if (!store.Allows(name)) continue;
            json.WritePropertyName(name);
            Write(json, values);
        }

        json.WriteEndObject();
    }

    private static SecretStoreComponent Store(SidecarInstance sidecar, string name)
    {
        var stores = sidecar.Components.SecretStores;
        if (stores.Count == 0)
            throw new DaprApiException(500, StatusCode.FailedPrecondition, "ERR_SECRET_STORES_NOT_CONFIGURED", "secret store is not configured");
        return stores.TryGetValue(name, out var store)
            ? store
            : throw new DaprApiException(401, StatusCode.InvalidArgument, "ERR_SECRET_STORE_NOT_FOUND", $"failed finding secret store with key {name}");
    }

    private async Task<Dictionary<string, string>> GetAsync(SidecarInstance sidecar, string storeName, string key, CancellationToken ct)
    {
        var store = Store(sidecar, storeName);
        if (!store.Allows(key))
            throw new DaprApiException(403, StatusCode.PermissionDenied, "ERR_PERMISSION_DENIED", $"access denied by policy to get \"{key}\" from \"{store.Component.Name}\"");
        Dictionary<string, string>? values;
        try
        {
            values = await sidecar.Components.Resiliency.ComponentOutbound(storeName, "Secretstore")
                .RunAsync(Host.Time, token => store.Store.GetAsync(key, token).AsTask(), static found => found is null, null, ct);
        }
        catch (Exception e) when (!ct.IsCancellationRequested)
        {
            throw NotRead(e.Message);
        }

        return values ?? throw NotRead($"secret {key} not found");

        DaprApiException NotRead(string why) =>
            new(500, StatusCode.Internal, "ERR_SECRET_GET", $"failed getting secret with key {key} from secret store {store.Component.Name}: {why}");
    }

    private async Task<IReadOnlyDictionary<string, Dictionary<string, string>>> GetAllAsync(SidecarInstance sidecar, SecretStoreComponent store, CancellationToken ct)
    {
        try
        {
            return await sidecar.Components.Resiliency.ComponentOutbound(store.Component.Name, "Secretstore")
                .RunAsync(Host.Time, token => store.Store.GetAllAsync(token).AsTask(), static _ => false, null, ct);
        }
        catch (Exception e) when (!ct.IsCancellationRequested)
        {
            throw new DaprApiException(500, StatusCode.Internal, "ERR_SECRET_GET", $"failed getting secrets from secret store {store.Component.Name}: {e.Message}");
        }
    }

    private static void Write(Utf8JsonWriter json, Dictionary<string, string> values)
    {
        json.WriteStartObject();
        foreach (var (name, value) in values)
            json.WriteString(name, value);
        json.WriteEndObject();
    }
}
