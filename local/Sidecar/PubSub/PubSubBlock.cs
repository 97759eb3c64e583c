using System.Collections.Concurrent;
using System.Text.Json;
using Dapr.Client.Autogen.Grpc.v1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Marketplace.Local.Sidecar.Resiliency;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>
/// Publish and subscribe: both APIs, and what each app listens to. The brokers are behind <see cref="IPubSub"/>, the way to the app is <see cref="Delivery"/>.
/// </summary>
internal sealed partial class PubSubBlock(SidecarHost host) : BuildingBlock(host)
{
    private static readonly TimeSpan DiscoveryTimeout = TimeSpan.FromSeconds(10);

    private readonly ILogger log = host.Loggers.CreateLogger<PubSubBlock>();
    private readonly PubSubComponents components = new(host);
    private readonly ConcurrentDictionary<(SidecarInstance, string PubSub), TopicScopes> scopes = new();
    private readonly ConcurrentDictionary<SidecarInstance, IReadOnlyList<Delivery>> discovered = new();
    private readonly ConcurrentDictionary<SidecarInstance, IReadOnlyCollection<IAsyncDisposable>> active = new();
    private readonly ConcurrentDictionary<Delivery, SidecarInstance> streams = new();

    public override async Task StartAsync(CancellationToken ct)
    {
        foreach (var instance in Host.Instances)
            foreach (var component in instance.Components.PubSubs.Values)
            {
                await components.OpenAsync(component, instance.AppId, ct);
                scopes[(instance, component.Name)] = new TopicScopes(component, instance.AppId);
            }
    }

    public override void Map(IEndpointRouteBuilder routes)
    {
        string[] verbs = ["POST", "PUT"];
        routes.MapMethods("/v1.0/publish/{pubsub}/{**topic}", verbs, (RequestDelegate)OnPublishAsync);
        routes.MapMethods("/v1.0/publish/bulk/{pubsub}/{**topic}", verbs, (RequestDelegate)OnBulkPublishAsync);
        routes.MapMethods("/v1.0-alpha1/publish/bulk/{pubsub}/{**topic}", verbs, (RequestDelegate)OnBulkPublishAsync);
    }

    public override void MapGrpc(DaprMethods methods)
    {
        methods.Unary<PublishEventRequest, Empty>("PublishEvent", OnPublishAsync);
        methods.Unary<BulkPublishRequest, BulkPublishResponse>("BulkPublishEvent", OnBulkPublishAsync);
        methods.Unary<BulkPublishRequest, BulkPublishResponse>("BulkPublishEventAlpha1", OnBulkPublishAsync);
        methods.Duplex<SubscribeTopicEventsRequestAlpha1, SubscribeTopicEventsResponseAlpha1>("SubscribeTopicEventsAlpha1", OnStreamAsync);
    }

    /// <summary>Asks the app once what it listens to; later it only takes its place again.</summary>
    public override async Task AppReadyAsync(SidecarInstance instance, CancellationToken ct)
    {
        if (instance.Components.PubSubs.Count == 0) return;
        if (instance.App.AppProtocol is "grpc" or "grpcs")
        {
            LogNoGrpc(instance.Id);
            return;
        }

        if (discovered.TryGetValue(instance, out var known))
        {
            await SubscribeAsync(instance, known, ct);
            return;
        }

        var listed = await DiscoverAsync(instance, ct);
        IReadOnlyList<Delivery> deliveries = [.. Merge(instance, listed ?? []).Select(subscription =>
            new Delivery(components.Of(subscription.PubSub, instance.AppId), instance, subscription, log))];
        await SubscribeAsync(instance, deliveries, ct);
        if (listed is null) return;   // it died while it was asked, perhaps: asked again when it is back

        discovered[instance] = deliveries;
        await ForgetOthersAsync(instance);
    }

    public override async Task AppLostAsync(SidecarInstance instance, CancellationToken ct)
    {
        if (!active.TryRemove(instance, out var subscriptions)) return;
        await Task.WhenAll(subscriptions.Select(subscription => subscription.DisposeAsync().AsTask()));
    }

    /// <summary>A subscription for as long as the app keeps the stream open, beside those it lists; both share the app's events.</summary>
    private async Task OnStreamAsync(SidecarInstance instance, IAsyncStreamReader<SubscribeTopicEventsRequestAlpha1> requests, IServerStreamWriter<SubscribeTopicEventsResponseAlpha1> events, ServerCallContext call)
    {
        if (!await requests.MoveNext(call.CancellationToken) || requests.Current.InitialRequest is not { } wanted) throw Refused("initial request is required");
        if (wanted.PubsubName.Length == 0) throw Refused("pubsubName is required");
        if (wanted.Topic.Length == 0) throw Refused("topic is required");
        if (!scopes.TryGetValue((instance, wanted.PubsubName), out var scope)) throw new RpcException(new Status(StatusCode.InvalidArgument, $"pubsub {wanted.PubsubName} is not found"));
        if (!scope.MaySubscribe(wanted.Topic))
            throw Refused($"failed to create subscription for {wanted.PubsubName}: subscription to topic '{wanted.Topic}' on pubsub '{wanted.PubsubName}' is not allowed");

        var subscription = new Subscription
        {
            PubSub = wanted.PubsubName,
            Topic = wanted.Topic,
            Rules = [],
            DefaultPath = "/",
            Metadata = new Dictionary<string, string>(wanted.Metadata),
            DeadLetterTopic = wanted.DeadLetterTopic is { Length: > 0 } deadLetters ? deadLetters : null,
            Kind = SubscriptionKind.Streaming,
        };
        var pubsub = components.Of(wanted.PubsubName, instance.AppId);
        using var delivery = new StreamDelivery(pubsub, instance, subscription, events, log);
        streams[delivery] = instance;
        var active = await pubsub.Component.SubscribeAsync(delivery, call.CancellationToken);
        try
        {
            await delivery.OpenAsync(call.CancellationToken);
            while (await requests.MoveNext(call.CancellationToken))
            {
                if (requests.Current.EventProcessed is not { } processed) throw Refused("duplicate initial request received");
                if (!delivery.Answer(processed)) LogUnexpected(instance.Id, processed.Id);
            }
        }
        catch (Exception e) when (call.CancellationToken.IsCancellationRequested && e is IOException or OperationCanceledException)
        {
            LogStreamEnded(instance.Id, wanted.Topic);
        }
        finally
        {
            streams.TryRemove(delivery, out _);
            delivery.Dispose();
            await active.DisposeAsync();
        }

        static RpcException Refused(string problem) => new(new Status(StatusCode.Unknown, problem));
    }

    public override void Describe(SidecarInstance instance, GetMetadataResponse metadata)
    {
        var open = streams.Where(stream => stream.Value == instance).Select(stream => stream.Key);
        foreach (var subscription in (discovered.GetValueOrDefault(instance) ?? []).Concat(open).Select(delivery => delivery.Subscription))
        {
            var entry = new PubsubSubscription
            {
                PubsubName = subscription.PubSub,
                Topic = subscription.Topic,
                DeadLetterTopic = subscription.DeadLetterTopic ?? "",
                Metadata = { new Dictionary<string, string>(subscription.Metadata) },
                Rules = new PubsubSubscriptionRules(),
                Type = subscription.Kind switch
                {
                    SubscriptionKind.Declarative => PubsubSubscriptionType.Declarative,
                    SubscriptionKind.Streaming => PubsubSubscriptionType.Streaming,
                    _ => PubsubSubscriptionType.Programmatic,
                },
            };
            foreach (var rule in subscription.Rules) entry.Rules.Rules.Add(new PubsubSubscriptionRule { Match = rule.Match, Path = rule.Path });
            if (subscription.DefaultPath is { } path) entry.Rules.Rules.Add(new PubsubSubscriptionRule { Path = path });
            metadata.Subscriptions.Add(entry);
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await Task.WhenAll(active.Values.SelectMany(all => all).Select(subscription => subscription.DisposeAsync().AsTask()));
        await components.DisposeAsync();
        await base.DisposeAsync();
    }

    /// <summary>Messages of a component that some app has not finished.</summary>
    internal async Task<long> WaitingAsync(string pubsub, CancellationToken ct = default)
    {
        var waiting = 0L;
        foreach (var (name, _, component) in components.All)
            if (name == pubsub) waiting += await component.WaitingAsync(ct);
        return waiting;
    }

    /// <summary>What the component can do beyond the plain, as the metadata API lists it.</summary>
    internal IReadOnlyList<string> Features(string pubsub, string app) => components.Of(pubsub, app).Component.Features;

    /// <summary>Publishes for the app of this instance; the refusals are those of both APIs.</summary>
    internal async Task PublishAsync(Publication publication, SidecarInstance instance, CancellationToken ct)
    {
        var component = ComponentFor(instance, publication.PubSub, publication.Topic);
        var refused = await PublishAsync(component, instance, publication.PubSub, publication.Topic, [Seal(publication, component)], ct);
        if (refused.Count > 0) throw Failed(publication.PubSub, publication.Topic, refused[0].Reason);
    }

    /// <summary>Under the outbound policy of the component, which only tries again what failed. The result names what failed in the end.</summary>
    private async Task<IReadOnlyList<(int Index, string Reason)>> PublishAsync(OpenPubSub component, SidecarInstance instance, string pubsub, string topic, IReadOnlyList<Sealed> contents, CancellationToken ct)
    {
        IReadOnlyList<(int Index, string Reason)>? left = null;   // null: all of them
        if (instance.Components.Resiliency.ComponentOutbound(pubsub, "Pubsub") is not { } policy) return await SendAsync(ct);
        try
        {
            return await policy.RunAsync(Host.Time, SendAsync, failed => failed.Count > 0, retryable: null, ct);
        }
        catch (Exception e) when (!ct.IsCancellationRequested)
        {
            return All(e.Message);   // no answer in time, or an open breaker
        }

        async Task<IReadOnlyList<(int Index, string Reason)>> SendAsync(CancellationToken limit)
        {
            var sent = left;
            try
            {
                await component.Component.PublishAsync(component.NameOf(topic), sent is null ? contents : [.. sent.Select(one => contents[one.Index])], limit);
                return left = [];
            }
            catch (PublishException e)
            {
                return left = [.. e.Refused.Select(one => (sent is null ? one.Index : sent[one.Index].Index, one.Reason))];
            }
            catch (Exception e) when (!limit.IsCancellationRequested)
            {
                return left = All(e.Message);
            }
        }

        IReadOnlyList<(int Index, string Reason)> All(string reason) =>
            [.. (left is null ? Enumerable.Range(0, contents.Count) : left.Select(one => one.Index)).Select(index => (index, reason))];
    }

    private static DaprApiException Failed(string pubsub, string topic, string reason) =>
        new(500, StatusCode.Internal, "ERR_PUBSUB_PUBLISH_MESSAGE", $"error when publishing to topic {topic} in pubsub {pubsub}: {reason}", "DAPR_PUBSUB_PUBLISH_MESSAGE");

    private Sealed Seal(in Publication publication, OpenPubSub component)
    {
        try
        {
            return publication.Seal(Host.Time.GetUtcNow(), component.Component.Features.Contains(IPubSub.TimeToLive));
        }
        catch (FormatException)
        {
            throw new DaprApiException(500, StatusCode.InvalidArgument, "ERR_PUBSUB_CLOUD_EVENTS_SER", "cannot create cloudevent", "DAPR_PUBSUB_CLOUD_EVENT_CREATION");
        }
    }

    private OpenPubSub ComponentFor(SidecarInstance instance, string pubsub, string topic)
    {
        if (instance.Components.PubSubs.Count == 0)
            throw new DaprApiException(400, StatusCode.FailedPrecondition, "ERR_PUBSUB_NOT_CONFIGURED", $"pubsub {pubsub} is not configured", "DAPR_PUBSUB_NOT_CONFIGURED");
        if (pubsub.Length == 0)
            throw new DaprApiException(404, StatusCode.InvalidArgument, "ERR_PUBSUB_EMPTY", "pubsub name is empty", "DAPR_PUBSUB_NAME_EMPTY");
        if (!instance.Components.PubSubs.ContainsKey(pubsub))
            throw new DaprApiException(404, StatusCode.InvalidArgument, "ERR_PUBSUB_NOT_FOUND", $"pubsub {pubsub} is not found", "DAPR_PUBSUB_NOT_FOUND");
        if (topic.Length == 0)
            throw new DaprApiException(404, StatusCode.InvalidArgument, "ERR_TOPIC_NAME_EMPTY", $"topic is empty in pubsub {pubsub}", "DAPR_PUBSUB_TOPIC_NAME_EMPTY");
        if (!scopes[(instance, pubsub)].MayPublish(topic))
            throw new DaprApiException(403, StatusCode.PermissionDenied, "ERR_PUBSUB_FORBIDDEN", $"topic {topic} is not allowed for app id {instance.AppId}", "DAPR_PUBSUB_FORBIDDEN");
        return components.Of(pubsub, instance.AppId);
    }

    private async Task OnPublishAsync(HttpContext http)
    {
        var instance = SidecarInstance.Of(http);
        var (pubsub, topic) = (http.RouteText("pubsub"), http.RouteText("topic"));
        var publication = new Publication(instance.AppId, pubsub, topic, await http.BodyAsync(), http.Request.ContentType ?? "", http.QueryMetadata(),
            http.Request.Headers["traceparent"], http.Request.Headers["tracestate"]);
        await PublishAsync(publication, instance, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task<Empty> OnPublishAsync(SidecarInstance instance, PublishEventRequest request, ServerCallContext call)
    {
        var publication = new Publication(instance.AppId, request.PubsubName, request.Topic, request.Data.Memory, request.DataContentType, request.Metadata,
            call.RequestHeaders.GetValue("traceparent"), call.RequestHeaders.GetValue("tracestate"));
        await PublishAsync(publication, instance, call.CancellationToken);
        return new Empty();
    }

    private async Task OnBulkPublishAsync(HttpContext http)
    {
        var instance = SidecarInstance.Of(http);
        var (pubsub, topic) = (http.RouteText("pubsub"), http.RouteText("topic"));
        var component = ComponentFor(instance, pubsub, topic);
        var metadata = http.QueryMetadata();
        var entries = BulkBody.Entries(await http.BodyAsync(), pubsub, topic);
        var failed = await PublishAllAsync(component, instance, entries.ConvertAll(entry => (entry.EntryId, new Publication(instance.AppId, pubsub, topic, entry.Data,
            entry.ContentType, Joined(metadata, entry.Metadata), http.Request.Headers["traceparent"], http.Request.Headers["tracestate"]))), http.RequestAborted);
        if (failed.Count == 0)
        {
            http.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        http.Response.StatusCode = StatusCodes.Status500InternalServerError;
        await http.Response.WriteAsJsonAsync(new
        {
            failedEntries = failed.Select(entry => new { entryId = entry.EntryId, error = entry.Error }),
            errorCode = "ERR_PUBSUB_PUBLISH_MESSAGE",
        });
    }

    private async Task<BulkPublishResponse> OnBulkPublishAsync(SidecarInstance instance, BulkPublishRequest request, ServerCallContext call)
    {
        var component = ComponentFor(instance, request.PubsubName, request.Topic);
        var ids = new HashSet<string>();
        foreach (var entry in request.Entries)
            if (entry.EntryId.Length == 0 || !ids.Add(entry.EntryId))
                throw BulkBody.BadEntries(request.PubsubName, request.Topic, "entryId is duplicated or not present for entry");

        var failed = await PublishAllAsync(component, instance, [.. request.Entries.Select(entry => (entry.EntryId, new Publication(instance.AppId, request.PubsubName,
            request.Topic, entry.Event.Memory, entry.ContentType, Joined(request.Metadata, entry.Metadata),
            call.RequestHeaders.GetValue("traceparent"), call.RequestHeaders.GetValue("tracestate"))))], call.CancellationToken);
        return failed.Count == 0 ? new BulkPublishResponse() : throw Failed(request.PubsubName, request.Topic, failed[0].Error);   // daprd names no entries here
    }

    /// <summary>All entries in one write, in their order; those that failed are named with the reason. An entry that is no cloud event although it says so refuses them all.</summary>
    private async Task<IReadOnlyList<(string EntryId, string Error)>> PublishAllAsync(OpenPubSub component, SidecarInstance instance, List<(string EntryId, Publication Publication)> entries, CancellationToken ct)
    {
        if (entries.Count == 0) return [];
        var (pubsub, topic) = (entries[0].Publication.PubSub, entries[0].Publication.Topic);
        var refused = await PublishAsync(component, instance, pubsub, topic, entries.ConvertAll(entry => Seal(entry.Publication, component)), ct);
        return [.. refused.Select(one => (entries[one.Index].EntryId, one.Reason))];
    }

    private static IReadOnlyDictionary<string, string> Joined(IReadOnlyDictionary<string, string> request, IDictionary<string, string> entry)
    {
        if (entry.Count == 0) return request;
        var joined = new Dictionary<string, string>(request);
        foreach (var (name, value) in entry) joined[name] = value;
        return joined;
    }

    private async Task SubscribeAsync(SidecarInstance instance, IReadOnlyList<Delivery> deliveries, CancellationToken ct)
    {
        var started = new ConcurrentBag<IAsyncDisposable>();
        active[instance] = started;

        // All at once: a broker that plans anew for every topic does so once for the list.
        await Task.WhenAll(deliveries.Select(async delivery =>
        {
            try
            {
                started.Add(await components.Of(delivery.Subscription.PubSub, instance.AppId).Component.SubscribeAsync(delivery, ct));
            }
            catch (Exception e) when (!ct.IsCancellationRequested)
            {
                LogNotSubscribed(instance.Id, delivery.Topic, delivery.Subscription.PubSub, e);
            }
        }));
    }

    /// <summary>The app's own list; null when it could not be learned.</summary>
    private async Task<IReadOnlyList<Subscription>?> DiscoverAsync(SidecarInstance instance, CancellationToken ct)
    {
        const int Attempts = 4;
        for (var attempt = 1; ; attempt++)
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
            limit.CancelAfter(DiscoveryTimeout);
            try
            {
                using var response = await instance.Channel.SendAsync(HttpMethod.Get, "/dapr/subscribe", null, limit.Token);
                if (response.StatusCode == System.Net.HttpStatusCode.NotFound) return [];
                if (!response.IsSuccessStatusCode)
                {
                    LogNoList(instance.Id, $"status {(int)response.StatusCode}");
                    return null;
                }
                return Subscription.Parse(await response.Content.ReadAsByteArrayAsync(limit.Token));
            }
            catch (Exception e) when (e is FormatException or JsonException)
            {
                LogNoList(instance.Id, e.Message);
                return null;
            }
            catch (Exception e) when (!ct.IsCancellationRequested && e is HttpRequestException or IOException or OperationCanceledException)
            {
                if (attempt == Attempts)
                {
                    LogNoList(instance.Id, e.Message);
                    return null;
                }
            }
            await Task.Delay(TimeSpan.FromMilliseconds(500 * Math.Pow(1.5, attempt - 1)), ct);
        }
    }

    /// <summary>One subscription per topic: the first declared one, unless the app lists the topic itself; then the last it lists.</summary>
    private IReadOnlyList<Subscription> Merge(SidecarInstance instance, IReadOnlyList<Subscription> listed)
    {
        var merged = new Dictionary<(string, string), Subscription>();
        foreach (var manifest in instance.Components.Subscriptions)
            if (Allowed(instance, manifest.PubsubName, manifest.Topic)) merged.TryAdd((manifest.PubsubName, manifest.Topic), Declared(manifest));
        foreach (var subscription in listed)
            if (Allowed(instance, subscription.PubSub, subscription.Topic)) merged[(subscription.PubSub, subscription.Topic)] = subscription;
        return [.. merged.Values];
    }

    private bool Allowed(SidecarInstance instance, string pubsub, string topic)
    {
        if (!scopes.TryGetValue((instance, pubsub), out var scope)) LogUnknownPubSub(instance.Id, topic, pubsub);
        else if (topic.Length > 0 && scope.MaySubscribe(topic)) return true;
        else LogForbidden(instance.Id, topic, pubsub);
        return false;
    }

    private static Subscription Declared(SubscriptionManifest manifest)
    {
        try
        {
            return new Subscription
            {
                PubSub = manifest.PubsubName,
                Topic = manifest.Topic,
                Rules = [.. manifest.Rules.Select(rule => Rule.Create(rule.Match, rule.Path))],
                DefaultPath = string.IsNullOrEmpty(manifest.DefaultRoute) ? null : manifest.DefaultRoute,
                Metadata = manifest.Metadata,
                DeadLetterTopic = string.IsNullOrEmpty(manifest.DeadLetterTopic) ? null : manifest.DeadLetterTopic,
                Bulk = manifest.Bulk is { Enabled: true } bulk ? new BulkOptions(bulk.MaxMessagesCount, TimeSpan.FromMilliseconds(bulk.MaxAwaitDurationMs)) : null,
                Kind = SubscriptionKind.Declarative,
            };
        }
        catch (FormatException e)
        {
            throw manifest.Place.Error("spec.routes.rules", e.Message);
        }
    }

    /// <summary>Once every instance of the app has told what it listens to, topics known from before that none names are given up.</summary>
    private async Task ForgetOthersAsync(SidecarInstance instance)
    {
        var instances = Host.Group(instance.AppId)?.Instances ?? [];
        if (!instances.All(discovered.ContainsKey)) return;
        foreach (var pubsub in instance.Components.PubSubs.Keys)
            await components.Of(pubsub, instance.AppId).Component.KeepOnlyAsync(instances.SelectMany(one => discovered[one])
                .Concat(streams.Where(stream => stream.Value.AppId == instance.AppId).Select(stream => stream.Key)).Where(delivery => delivery.Subscription.PubSub == pubsub).Select(delivery => delivery.Topic).ToHashSet());
    }

    [LoggerMessage(LogLevel.Warning, "{Instance}: events reach apps over HTTP only here; this one speaks gRPC and receives none")]
    private partial void LogNoGrpc(string instance);

    [LoggerMessage(LogLevel.Error, "{Instance}: the app's list of subscriptions cannot be used, it receives no events: {Reason}")]
    private partial void LogNoList(string instance, string reason);

    [LoggerMessage(LogLevel.Error, "{Instance}: subscribes to {Topic} of {PubSub}, but no such pub/sub component is loaded")]
    private partial void LogUnknownPubSub(string instance, string topic, string pubSub);

    [LoggerMessage(LogLevel.Error, "{Instance}: may not subscribe to {Topic} of {PubSub}")]
    private partial void LogForbidden(string instance, string topic, string pubSub);

    [LoggerMessage(LogLevel.Warning, "{Instance}: an answer to event {Id} came over a stream that does not wait for one")]
    private partial void LogUnexpected(string instance, string id);

    [LoggerMessage(LogLevel.Debug, "{Instance}: the stream of {Topic} ended")]
    private partial void LogStreamEnded(string instance, string topic);

    [LoggerMessage(LogLevel.Error, "{Instance}: cannot subscribe to {Topic} of {PubSub}")]
    private partial void LogNotSubscribed(string instance, string topic, string pubSub, Exception exception);
}
