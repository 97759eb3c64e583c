using System.Collections.Concurrent;
using Grpc.Core;
using Marketplace.Local.Sidecar.Resiliency;

namespace Marketplace.Local.Sidecar.Actors;

/// <summary>
/// Where actors live: which healthy instances host a type, and on which of them each active actor is. An actor stays where it is until it is idle
/// or its instance is lost; it moves between turns only, so that no two instances ever have it at work.
/// </summary>
internal sealed partial class ActorDirectory(SidecarHost host, ILogger log) : IDisposable
{
    public const string ReentrancyHeader = "Dapr-Reentrancy-Id";
    private const int PlacementRetries = 5;
    private static readonly TimeSpan PlacementPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FarewellTimeout = TimeSpan.FromSeconds(2);

    private readonly CancellationTokenSource stop = new();
    private readonly ConcurrentDictionary<(string Type, string Id), ActiveActor> actors = new();
    private readonly ConcurrentDictionary<SidecarInstance, IReadOnlyDictionary<string, ActorConfig>> hosted = new();
    private readonly ConcurrentDictionary<(SidecarInstance, string Type, string Id), bool> leftBehind = new();

    public void Register(SidecarInstance instance, IReadOnlyDictionary<string, ActorConfig> types) => hosted[instance] = types;

    public bool IsRegistered(SidecarInstance instance) => hosted.ContainsKey(instance);

    public bool Hosts(SidecarInstance instance, string type) => hosted.TryGetValue(instance, out var types) && types.ContainsKey(type);

    public IReadOnlyCollection<string> TypesOf(SidecarInstance instance) => hosted.TryGetValue(instance, out var types) ? [.. types.Keys] : [];

    public bool IsActiveOn(SidecarInstance instance, string type, string id) => actors.TryGetValue((type, id), out var actor) && actor.Instance == instance;

    public int CountActive(SidecarInstance instance, string type) => actors.Count(entry => entry.Key.Type == type && entry.Value.Instance == instance);

    public bool CanPlace(string type) => hosted.Any(entry => entry.Key.Channel.IsHealthy && entry.Value.ContainsKey(type));

    /// <summary>The workflow runtime of daprd keeps its instances in actors of such types.</summary>
    public static bool IsReserved(string type) => type.StartsWith("dapr.internal.", StringComparison.Ordinal);

    public static DaprApiException Reserved(string type) =>
        new(403, StatusCode.PermissionDenied, "ERR_ACTOR_TYPE_RESERVED", $"actor type \"{type}\" is reserved for the Dapr workflow runtime; direct actor API access is not permitted");

    /// <summary>
    /// A call through the API: retry and breaker of the type stand around the whole, the wait for the turn included; the timeout counts within the turn.
    /// </summary>
    /// <param name="reentrancyId">Of the caller, if it is in a chain of calls.</param>
    public Task<ActorReply> InvokeAsync(SidecarInstance through, ActorCall call, string? reentrancyId, CancellationToken ct)
    {
        var policy = through.Components.Resiliency.ActorCall(call.Type, call.Id);
        if (policy is null) return CallAsync(call, reentrancyId, ct);

        // The .NET SDK answers 200 with a header when the actor threw. A method that the app does not have stays missing.
        return policy.RunAsync(host.Time, attempt => CallAsync(call, reentrancyId, attempt), static reply => reply.Status != 200 || reply.Threw, static reply => reply.Status != 404, ct);
    }

    /// <summary>One turn of the actor: the request goes to the instance where it lives. The answer is complete when the turn ends.</summary>
    public async Task<ActorReply> CallAsync(ActorCall call, string? reentrancyId, CancellationToken ct)
    {
        if (IsReserved(call.Type)) throw Reserved(call.Type);

        var config = ConfigOf(call.Type) ?? throw NoAddress(call.Type, call.Id);
        var timeout = ResiliencyOf(call.Type)?.ActorTimeout(call.Type);
        var caller = config.Reentrancy ? reentrancyId ?? Guid.NewGuid().ToString() : Guid.NewGuid().ToString();
        try
        {
            return await TurnAsync(call, config, caller, timeout, ct);
        }
        catch (StackDepthException e)
        {
            throw new DaprApiException(500, StatusCode.Internal, "ERR_ACTOR_STACK_DEPTH", e.Message);
        }
        catch (Exception e) when (!ct.IsCancellationRequested && e is HttpRequestException or IOException or OperationCanceledException)
        {
            throw Failed(e is OperationCanceledException && timeout is not null ? "context deadline exceeded" : e.Message);
        }
    }

    /// <summary>The app of the instance is gone or ill: calls under way get the drain time, then the actors may be placed elsewhere.</summary>
    public void Lose(SidecarInstance instance, CancellationToken ct)
    {
        var busy = new List<ActiveActor>();
        foreach (var (key, actor) in actors)
        {
            if (actor.Instance != instance) continue;
            if (actor.Turns.TryClose())
            {
                Remove(actor);
                leftBehind[(instance, key.Type, key.Id)] = true;
            }
            else
            {
                busy.Add(actor);
            }
        }

        if (busy.Count == 0) return;
        var drain = (hosted.TryGetValue(instance, out var types) ? types.Values : []).Select(config => config.DrainTimeout).DefaultIfEmpty(ActorConfig.Default.DrainTimeout).Max();
        _ = AbortAsync(busy, instance, drain, ct);
    }

    public void Dispose()
    {
        stop.Cancel();
        foreach (var actor in actors.Values) Remove(actor);
        stop.Dispose();
    }

    private async Task AbortAsync(List<ActiveActor> busy, SidecarInstance instance, TimeSpan drain, CancellationToken ct)
    {
        await Task.Delay(drain, host.Time, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (ct.IsCancellationRequested || instance.Channel.IsHealthy) return;
        foreach (var actor in busy) actor.Abort(instance);
    }

    private void Remove(ActiveActor actor)
    {
        actors.TryRemove(new((actor.Type, actor.Id), actor));
        actor.Dispose();
    }

    private async Task<ActorReply> TurnAsync(ActorCall call, ActorConfig config, string caller, TimeSpan? timeout, CancellationToken ct)
    {
        while (true)
        {
            var actor = actors.GetOrAdd((call.Type, call.Id), static (key, state) => new ActiveActor(key.Type, key.Id, state.Time, state.OnIdle), (host.Time, OnIdle: (Action<ActiveActor>)OnIdle));
            if (await actor.Turns.EnterAsync(caller, config.MaxStackDepth, ct) is not { } turn)
            {
                await actor.Gone.WaitAsync(ct);
                continue;
            }

            // A caller that leaves does not end the turn: the app is still at it, and nobody else may be.
            var serving = ServeAsync(actor, turn, call, config, caller, timeout);
            try
            {
                return await serving.WaitAsync(ct);
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested && !serving.IsCompleted)
            {
                _ = serving.ContinueWith(static left => left.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
                throw;
            }
        }
    }

    private async Task<ActorReply> ServeAsync(ActiveActor actor, ActorTurns.Turn turn, ActorCall call, ActorConfig config, string caller, TimeSpan? timeout)
    {
        using (turn)
        {
            try
            {
                return await PlacedAsync(actor, call, config, caller, timeout, stop.Token);
            }
            finally
            {
                actor.Touch(config.IdleTimeout);
            }
        }
    }

    private async Task<ActorReply> PlacedAsync(ActiveActor actor, ActorCall call, ActorConfig config, string caller, TimeSpan? timeout, CancellationToken ct)
    {
        for (var attempt = 0; ; attempt++)
        {
            if (await PlaceAsync(actor, ct) is { } instance)
            {
                using var limit = actor.Begin(instance, timeout, ct);
                try
                {
                    return await SendAsync(instance, call, config.Reentrancy ? caller : null, limit.Token);
                }
                catch (HttpRequestException e) when (e.HttpRequestError == HttpRequestError.ConnectionError && attempt < PlacementRetries)
                {
                    // Refused: the actor has not seen the call. Its instance will be noticed as lost; the next look may find another.
                    LogRefused(call.Type, call.Id, instance.Id);
                }
                finally
                {
                    actor.End(limit);
                }
            }
            else if (attempt == PlacementRetries || ConfigOf(call.Type) is null)
            {
                throw NoAddress(call.Type, call.Id);
            }

            // A healthy host ends the wait early: an app that restarts is back within the second or two.
            for (var waited = TimeSpan.Zero; waited < PlacementPause; waited += PlacementPause / 20)
            {
                await Task.Delay(PlacementPause / 20, host.Time, ct);
                if (CanPlace(call.Type) && actor.Instance?.Channel.IsHealthy != false) break;
            }
        }
    }

    /// <summary>Where the actor is, as long as that is healthy; else the instance its id points to. Called within a turn.</summary>
    private async ValueTask<SidecarInstance?> PlaceAsync(ActiveActor actor, CancellationToken ct)
    {
        if (actor.Instance is { Channel.IsHealthy: true } current) return current;
        if (actor.Instance is { } lost)
        {
            leftBehind[(lost, actor.Type, actor.Id)] = true;
            actor.Instance = null;
        }

        SidecarInstance? best = null;
        var highest = int.MinValue;
        foreach (var (instance, types) in hosted)
        {
            if (!instance.Channel.IsHealthy || !types.ContainsKey(actor.Type)) continue;
            var weight = HashCode.Combine(instance.Id, actor.Type, actor.Id);
            if (best is null || weight > highest) (best, highest) = (instance, weight);
        }

        // It lived there before and was moved while that app did not answer: its old self must go first.
        if (best is not null && leftBehind.ContainsKey((best, actor.Type, actor.Id)) && await DeactivateAsync(best, actor.Type, actor.Id, ct))
            leftBehind.TryRemove((best, actor.Type, actor.Id), out _);
        return actor.Instance = best;
    }

    private static async Task<ActorReply> SendAsync(SidecarInstance instance, ActorCall call, string? reentrancyId, CancellationToken ct)
    {
        using var content = new ReadOnlyMemoryContent(call.Body);
        using var request = instance.Channel.Request(HttpMethod.Put, $"/actors/{Uri.EscapeDataString(call.Type)}/{Uri.EscapeDataString(call.Id)}/{call.Tail}", content);
        foreach (var (name, value) in call.Headers)
            if (!request.Headers.TryAddWithoutValidation(name, value)) content.Headers.TryAddWithoutValidation(name, value);
        if (reentrancyId is not null)
        {
            request.Headers.Remove(ReentrancyHeader);
            request.Headers.TryAddWithoutValidation(ReentrancyHeader, reentrancyId);
        }

        using var response = await instance.Channel.SendAsync(request, ct);
        var body = await response.Content.ReadAsByteArrayAsync(ct);
        var headers = response.Headers.Concat(response.Content.Headers)
            .SelectMany(header => header.Value, (header, value) => new KeyValuePair<string, string>(header.Key, value));
        return new ActorReply((int)response.StatusCode, body, [.. headers], response.Headers.Contains("X-DaprErrorResponseHeader"));
    }

    private void OnIdle(ActiveActor actor) => _ = PutAwayAsync(actor);

    private async Task PutAwayAsync(ActiveActor actor)
    {
        if (!actor.Turns.TryClose())
        {
            actor.Touch((ConfigOf(actor.Type) ?? ActorConfig.Default).IdleTimeout);
            return;
        }

        // Whoever asks for the actor now waits: the entry goes only when the app has said goodbye to it.
        if (actor.Instance is { } instance) await DeactivateAsync(instance, actor.Type, actor.Id, CancellationToken.None);
        Remove(actor);
    }

    private async Task<bool> DeactivateAsync(SidecarInstance instance, string type, string id, CancellationToken ct)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(FarewellTimeout);
        try
        {
            using var response = await instance.Channel.SendAsync(HttpMethod.Delete, $"/actors/{Uri.EscapeDataString(type)}/{Uri.EscapeDataString(id)}", null, limit.Token);
            if ((int)response.StatusCode == 200) return true;
            LogNotDeactivated(type, id, instance.Id, $"status {(int)response.StatusCode}");
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or ObjectDisposedException)
        {
            LogNotDeactivated(type, id, instance.Id, e.Message);
        }
        return false;
    }

    private ActorConfig? ConfigOf(string type)
    {
        foreach (var types in hosted.Values)
            if (types.TryGetValue(type, out var config)) return config;
        return null;
    }

    private ResiliencyPolicies? ResiliencyOf(string type)
    {
        foreach (var (instance, types) in hosted)
            if (types.ContainsKey(type)) return instance.Components.Resiliency;
        return null;
    }

    public static DaprApiException Failed(string why) => new(500, StatusCode.Internal, "ERR_ACTOR_INVOKE_METHOD", $"error invoke actor method: {why}");

    private static DaprApiException NoAddress(string type, string id) => new(404, StatusCode.FailedPrecondition, "ERR_ACTOR_NO_ADDRESS",
        $"did not find address for actor {type}/{id}");

    [LoggerMessage(LogLevel.Debug, "Actor {Type}/{Id}: {Instance} refused the connection, placing it again")]
    private partial void LogRefused(string type, string id, string instance);

    [LoggerMessage(LogLevel.Warning, "Actor {Type}/{Id} could not be deactivated on {Instance}: {Reason}")]
    private partial void LogNotDeactivated(string type, string id, string instance, string reason);
}

/// <param name="Tail">What follows <c>/actors/{type}/{id}/</c>.</param>
internal sealed record ActorCall(string Type, string Id, string Tail, IReadOnlyList<KeyValuePair<string, string>> Headers, ReadOnlyMemory<byte> Body);

/// <param name="Threw">The app says so in a header.</param>
internal sealed record ActorReply(int Status, byte[] Body, IReadOnlyList<KeyValuePair<string, string>> Headers, bool Threw);

/// <summary>An actor some instance has in memory, or is about to.</summary>
internal sealed class ActiveActor : IDisposable
{
    private readonly Lock gate = new();
    private readonly TaskCompletionSource gone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ITimer idle;
    private readonly List<(SidecarInstance Instance, CancellationTokenSource Call)> calls = [];

    public ActiveActor(string type, string id, TimeProvider time, Action<ActiveActor> onIdle)
    {
        Type = type;
        Id = id;
        idle = time.CreateTimer(_ => onIdle(this), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public string Type { get; }
    public string Id { get; }
    public ActorTurns Turns { get; } = new();

    /// <summary>Written within a turn only.</summary>
    public SidecarInstance? Instance { get; set; }

    public void Touch(TimeSpan idleTimeout) => idle.Change(idleTimeout, Timeout.InfiniteTimeSpan);

    public CancellationTokenSource Begin(SidecarInstance instance, TimeSpan? timeout, CancellationToken ct)
    {
        idle.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        var call = CancellationTokenSource.CreateLinkedTokenSource(ct);
        if (timeout is { } limit) call.CancelAfter(limit);
        lock (gate) calls.Add((instance, call));
        return call;
    }

    public void End(CancellationTokenSource call)
    {
        lock (gate) calls.RemoveAll(entry => entry.Call == call);
    }

    /// <summary>Gives up the calls that are still on an instance that was lost.</summary>
    public void Abort(SidecarInstance instance)
    {
        lock (gate)
            foreach (var (on, call) in calls)
                if (on == instance) call.Cancel();
    }

    /// <summary>Ends when the actor was put away and another one may take its place.</summary>
    public Task Gone => gone.Task;

    public void Dispose()
    {
        idle.Dispose();
        gone.TrySetResult();
    }
}
