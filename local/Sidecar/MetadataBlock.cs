using System.Text.Json;
using Dapr.Client.Autogen.Grpc.v1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar;

/// <summary>Health, metadata and shutdown.</summary>
internal sealed class MetadataBlock(SidecarHost host) : BuildingBlock(host)
{
    /// <summary>The daprd whose manners this host imitates.</summary>
    private const string RuntimeVersion = "1.18.3";

    public override void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1.0/healthz", (RequestDelegate)HealthAsync);
        routes.MapGet("/v1.0/healthz/outbound", (RequestDelegate)OutboundHealthAsync);
        routes.MapGet("/v1.0/metadata", (RequestDelegate)GetAsync);
        routes.MapPut("/v1.0/metadata/{key}", (RequestDelegate)SetAsync);
        routes.MapPost("/v1.0/shutdown", (RequestDelegate)ShutdownAsync);
    }

    public override void MapGrpc(DaprMethods methods)
    {
        methods.Unary<GetMetadataRequest, GetMetadataResponse>("GetMetadata", (sidecar, _, _) => Task.FromResult(Describe(sidecar)));
        methods.Unary<SetMetadataRequest, Empty>("SetMetadata", (sidecar, request, _) =>
        {
            if (request.Key.Length > 0) sidecar.Extended[request.Key] = request.Value;
            return Task.FromResult(new Empty());
        });
        methods.Unary<ShutdownRequest, Empty>("Shutdown", (sidecar, _, _) =>
        {
            Host.Shutdown(sidecar);
            return Task.FromResult(new Empty());
        });
    }

    private static Task HealthAsync(HttpContext http)
    {
        var sidecar = SidecarInstance.Of(http);
        if (!sidecar.Ready) return DaprApiException.WriteAsync(http, 500, "ERR_HEALTH_NOT_READY", "dapr is not ready: [app]");
        if (http.Request.Query.TryGetValue("appid", out var appId) && appId != sidecar.AppId) return DaprApiException.WriteAsync(http, 500, "ERR_HEALTH_APPID_NOT_MATCH", "dapr app-id does not match");
        http.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    }

    private static Task OutboundHealthAsync(HttpContext http)
    {
        if (!SidecarInstance.Of(http).OutboundReady) return DaprApiException.WriteAsync(http, 500, "ERR_OUTBOUND_HEALTH_NOT_READY", "dapr outbound is not ready");
        http.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    }

    private Task ShutdownAsync(HttpContext http)
    {
        Host.Shutdown(SidecarInstance.Of(http));
        http.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    }

    private static async Task SetAsync(HttpContext http)
    {
        using var body = new StreamReader(http.Request.Body);
        SidecarInstance.Of(http).Extended[http.RouteText("key")] = await body.ReadToEndAsync(http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private GetMetadataResponse Describe(SidecarInstance sidecar)
    {
        var app = sidecar.App;
        var metadata = new GetMetadataResponse { Id = app.AppId, RuntimeVersion = RuntimeVersion };
        foreach (var component in sidecar.Components.All)
        {
            var entry = new RegisteredComponents { Name = component.Name, Type = component.Type, Version = component.Manifest.Version };
            if (sidecar.Components.StateStores.TryGetValue(component.Name, out var store)) entry.Capabilities.AddRange(store.Store.Capabilities);
            else if (sidecar.Components.PubSubs.ContainsKey(component.Name)) entry.Capabilities.AddRange(Host.Block<PubSub.PubSubBlock>().Features(component.Name, app.AppId));
            if (sidecar.Components.Bindings.TryGetValue(component.Name, out var binding)) entry.Capabilities.AddRange(binding.Capabilities);
            if (sidecar.Components.SecretStores.ContainsKey(component.Name) && component.Bool("multiValued")) entry.Capabilities.Add("MULTIPLE_KEY_VALUES_PER_SECRET");
            metadata.RegisteredComponents.Add(entry);
        }

        foreach (var (key, value) in sidecar.Extended)
            metadata.ExtendedMetadata[key] = value;
        metadata.ExtendedMetadata["daprRuntimeVersion"] = RuntimeVersion;
        foreach (var (feature, enabled) in sidecar.Components.Configuration.Features)
        {
            if (enabled) metadata.EnabledFeatures.Add(feature);
        }

        metadata.AppConnectionProperties = new AppConnectionProperties { Protocol = app.AppProtocol, ChannelAddress = "127.0.0.1" };
        if (app.AppPort is { } port)
        {
            metadata.AppConnectionProperties = new AppConnectionProperties { Port = port, Protocol = app.AppProtocol, ChannelAddress = "127.0.0.1", MaxConcurrency = Math.Max(0, app.MaxConcurrency) };
            if (app.HealthCheck is { } check)
            {
                metadata.AppConnectionProperties.Health = new AppConnectionHealthProperties
                {
                    HealthCheckPath = check.Path,
                    HealthProbeInterval = GoDuration.Format(check.Interval),
                    HealthProbeTimeout = GoDuration.Format(check.Timeout),
                    HealthThreshold = check.Threshold,
                };
            }
        }

        Host.Describe(sidecar, metadata);
        return metadata;
    }

    private async Task GetAsync(HttpContext http)
    {
        var metadata = Describe(SidecarInstance.Of(http));
        http.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(http.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteString("id", metadata.Id);
        json.WriteString("runtimeVersion", metadata.RuntimeVersion);
        if (metadata.EnabledFeatures.Count > 0)
        {
            json.WriteStartArray("enabledFeatures");
            foreach (var feature in metadata.EnabledFeatures) json.WriteStringValue(feature);
            json.WriteEndArray();
        }

        if (metadata.ActorRuntime?.ActiveActors is { Count: > 0 } active) WriteActors(json, "actors", active);
        if (metadata.RegisteredComponents.Count > 0) WriteComponents(json, metadata);
        json.WriteStartObject("extended");
        foreach (var (key, value) in metadata.ExtendedMetadata.OrderBy(pair => pair.Key, StringComparer.Ordinal)) json.WriteString(key, value);
        json.WriteEndObject();
        if (metadata.Subscriptions.Count > 0) WriteSubscriptions(json, metadata);
        if (metadata.AppConnectionProperties is { } app) WriteApp(json, app);
        if (metadata.ActorRuntime is { } actors)
        {
            json.WriteStartObject("actorRuntime");
            json.WriteString("runtimeStatus", actors.RuntimeStatus.ToString().ToUpperInvariant());
            if (actors.ActiveActors.Count > 0) WriteActors(json, "activeActors", actors.ActiveActors);
            json.WriteBoolean("hostReady", actors.HostReady);
            json.WriteString("placement", actors.Placement);
            json.WriteEndObject();
        }

        if (metadata.Workflows is { ConnectedWorkers: > 0 } workflows)
        {
            json.WriteStartObject("workflows");
            json.WriteNumber("connectedWorkers", workflows.ConnectedWorkers);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    private static void WriteComponents(Utf8JsonWriter json, GetMetadataResponse metadata)
    {
        json.WriteStartArray("components");
        foreach (var component in metadata.RegisteredComponents)
        {
            json.WriteStartObject();
            json.WriteString("name", component.Name);
            json.WriteString("type", component.Type);
            json.WriteString("version", component.Version);
            if (component.Capabilities.Count > 0)
            {
                json.WriteStartArray("capabilities");
                foreach (var capability in component.Capabilities) json.WriteStringValue(capability);
                json.WriteEndArray();
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteActors(Utf8JsonWriter json, string name, IEnumerable<ActiveActorsCount> actors)
    {
        json.WriteStartArray(name);
        foreach (var actor in actors)
        {
            json.WriteStartObject();
            json.WriteString("type", actor.Type);
            if (actor.Count > 0) json.WriteNumber("count", actor.Count);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteSubscriptions(Utf8JsonWriter json, GetMetadataResponse metadata)
    {
        json.WriteStartArray("subscriptions");
        foreach (var subscription in metadata.Subscriptions)
        {
            json.WriteStartObject();
            json.WriteString("pubsubname", subscription.PubsubName);
            json.WriteString("topic", subscription.Topic);
            if (subscription.Metadata.Count > 0)
            {
                json.WriteStartObject("metadata");
                foreach (var (key, value) in subscription.Metadata) json.WriteString(key, value);
                json.WriteEndObject();
            }

            json.WriteStartArray("rules");
            foreach (var rule in subscription.Rules?.Rules ?? [])
            {
                json.WriteStartObject();
                if (rule.Match.Length > 0) json.WriteString("match", rule.Match);
                json.WriteString("path", rule.Path);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteString("deadLetterTopic", subscription.DeadLetterTopic);
            json.WriteString("type", subscription.Type.ToString().ToUpperInvariant());
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteApp(Utf8JsonWriter json, AppConnectionProperties app)
    {
        json.WriteStartObject("appConnectionProperties");
        if (app.Port > 0) json.WriteNumber("port", app.Port);
        json.WriteString("protocol", app.Protocol);
        json.WriteString("channelAddress", app.ChannelAddress);
        if (app.MaxConcurrency > 0) json.WriteNumber("maxConcurrency", app.MaxConcurrency);
        if (app.Health is { } health)
        {
            json.WriteStartObject("health");
            json.WriteString("healthCheckPath", health.HealthCheckPath);
            json.WriteString("healthProbeInterval", health.HealthProbeInterval);
            json.WriteString("healthProbeTimeout", health.HealthProbeTimeout);
            json.WriteNumber("healthThreshold", health.HealthThreshold);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }
}
