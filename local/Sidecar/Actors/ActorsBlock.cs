using System.Globalization;
using System.Text.Json;
using Dapr.Client.Autogen.Grpc.v1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Marketplace.Local.Sidecar.Resiliency;
using Marketplace.Local.Sidecar.Invocation;
using Marketplace.Local.Sidecar.State;

namespace Marketplace.Local.Sidecar.Actors;

/// <summary>Virtual actors: calls, state, reminders and timers over both APIs. What placement and scheduler do in a real Dapr happens in this process.</summary>
internal sealed partial class ActorsBlock : BuildingBlock
{
    private static readonly HashSet<string> NotForwarded = new(StringComparer.OrdinalIgnoreCase)
    {
        "Host", "Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Upgrade", "TE", "Trailer", "Proxy-Connection", "Expect", "dapr-api-token",
    };

    private readonly ActorDirectory directory;
    private readonly Timers timers;
    private readonly Reminders reminders;
    private readonly CancellationTokenSource stop = new();
    private readonly ILogger log;

    public ActorsBlock(SidecarHost host) : base(host)
    {
        log = host.Loggers.CreateLogger<ActorsBlock>();
        directory = new ActorDirectory(host, log);
        timers = new Timers(directory, host.Time, log);
        reminders = new Reminders(directory, host.Time, log);
    }

    public override void Map(IEndpointRouteBuilder routes)
    {
        var actor = routes.MapGroup("/v1.0/actors/{type}/{id}");
        actor.MapMethods("/method/{**method}", ["GET", "POST", "PUT", "DELETE"], (RequestDelegate)OnInvokeAsync);
        actor.MapGet("/state/{**key}", (RequestDelegate)OnGetStateAsync);
        actor.MapMethods("/state", ["POST", "PUT"], (RequestDelegate)OnTransactAsync);
        actor.MapMethods("/reminders/{name}", ["POST", "PUT"], (RequestDelegate)OnRegisterReminderAsync);
        actor.MapGet("/reminders/{name}", (RequestDelegate)OnGetReminderAsync);
        actor.MapDelete("/reminders/{name}", (RequestDelegate)OnRemoveReminderAsync);
        actor.MapMethods("/timers/{name}", ["POST", "PUT"], (RequestDelegate)OnRegisterTimerAsync);
        actor.MapDelete("/timers/{name}", (RequestDelegate)OnRemoveTimerAsync);
    }

    public override void MapGrpc(DaprMethods methods)
    {
        methods.Unary<InvokeActorRequest, InvokeActorResponse>("InvokeActor", async (instance, request, call) =>
        {
            var reply = await InvokeAsync(instance, new ActorCall(request.ActorType, request.ActorId, MethodTail(request.Method),
                [.. request.Metadata.Where(entry => !NotForwarded.Contains(entry.Key))], request.Data.Memory),
                request.Metadata.TryGetValue(ActorDirectory.ReentrancyHeader, out var chain) ? chain : null, call.CancellationToken);
            return new InvokeActorResponse { Data = UnsafeByteOperations.UnsafeWrap(reply.Body) };
        });
        methods.Unary<GetActorStateRequest, GetActorStateResponse>("GetActorState", async (instance, request, call) =>
        {
            var response = new GetActorStateResponse();
            if (await GetStateAsync(instance, request.ActorType, request.ActorId, request.Key, call.CancellationToken) is not { } entry) return response;
            response.Data = UnsafeByteOperations.UnsafeWrap(entry.Value);
            if (entry.ExpiresAt is { } expires) response.Metadata["ttlExpireTime"] = Rfc3339(expires);
            return response;
        });
        methods.Unary<ExecuteActorStateTransactionRequest, Empty>("ExecuteActorStateTransaction", async (instance, request, call) =>
        {
            var operations = request.Operations.Select(operation => new ActorStateOperation(operation.OperationType, operation.Key,
                operation.Value?.Value.Memory ?? default, new Dictionary<string, string>(operation.Metadata), null)).ToList();
            await TransactAsync(instance, request.ActorType, request.ActorId, operations, call.CancellationToken);
            return new Empty();
        });
        methods.Unary<RegisterActorReminderRequest, Empty>("RegisterActorReminder", async (instance, request, call) =>
        {
            await RegisterReminderAsync(instance, request.ActorType, request.ActorId, request.Name, new ReminderRequest(request.DueTime, request.Period, request.Ttl,
                Json(request.Data), !request.HasOverwrite || request.Overwrite, PolicyOf(request.FailurePolicy)), call.CancellationToken);
            return new Empty();
        });
        methods.Unary<UnregisterActorReminderRequest, Empty>("UnregisterActorReminder", async (instance, request, call) =>
        {
            await RemoveReminderAsync(instance, request.ActorType, request.ActorId, request.Name, call.CancellationToken);
            return new Empty();
        });
        methods.Unary<GetActorReminderRequest, GetActorReminderResponse>("GetActorReminder", async (instance, request, call) =>
        {
            var reminder = await GetReminderAsync(instance, request.ActorType, request.ActorId, request.Name, call.CancellationToken);
            var data = new BytesValue { Value = ByteString.CopyFromUtf8(reminder.Data?.GetRawText() ?? "") };
            return new GetActorReminderResponse
            {
                ActorType = request.ActorType,
                ActorId = request.ActorId,
                DueTime = reminder.DueText,
                Period = Period(reminder),
                Ttl = reminder.TtlText,
                Data = Any.Pack(data),
            };
        });
        methods.Unary<RegisterActorTimerRequest, Empty>("RegisterActorTimer", (instance, request, _) =>
        {
            RegisterTimer(instance, request.ActorType, request.ActorId, request.Name,
                new TimerRequest(request.DueTime, request.Period, request.Ttl, request.Callback, Json(request.Data)));
            return Task.FromResult(new Empty());
        });
        methods.Unary<UnregisterActorTimerRequest, Empty>("UnregisterActorTimer", (_, request, _) =>
        {
            timers.Remove(request.ActorType, request.ActorId, request.Name);
            return Task.FromResult(new Empty());
        });
    }

    /// <summary>Asks the app once which types it hosts; their reminders go on from here.</summary>
    public override async Task AppReadyAsync(SidecarInstance instance, CancellationToken ct)
    {
        if (!directory.IsRegistered(instance)) directory.Register(instance, await DiscoverAsync(instance, ct));
        foreach (var type in directory.TypesOf(instance)) await reminders.LoadAsync(instance, type);
    }

    public override Task AppLostAsync(SidecarInstance instance, CancellationToken ct)
    {
        timers.RemoveAll(instance);
        directory.Lose(instance, stop.Token);
        return Task.CompletedTask;
    }

    public override void Describe(SidecarInstance instance, GetMetadataResponse metadata)
    {
        var types = directory.TypesOf(instance);
        metadata.ActorRuntime = new ActorRuntime
        {
            RuntimeStatus = ActorRuntime.Types.ActorRuntimeStatus.Running,
            HostReady = types.Count > 0,
            Placement = "placement: connected",
        };
        foreach (var type in types)
        {
            var count = new ActiveActorsCount { Type = type, Count = directory.CountActive(instance, type) };
#pragma warning disable CS0612 // obsolete, yet the field Dapr.Client 1.19 reads
            metadata.ActiveActorsCount.Add(count);
#pragma warning restore CS0612
            metadata.ActorRuntime.ActiveActors.Add(count);
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await timers.DisposeAsync();
        await reminders.DisposeAsync();
        directory.Dispose();
        stop.Dispose();
        await base.DisposeAsync();
    }

    private async Task<IReadOnlyDictionary<string, ActorConfig>> DiscoverAsync(SidecarInstance instance, CancellationToken ct)
    {
        if (instance.App.AppProtocol is "grpc" or "grpcs") return new Dictionary<string, ActorConfig>();
        const int Attempts = 4;
        for (var attempt = 1; ; attempt++)
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
            limit.CancelAfter(TimeSpan.FromSeconds(10));
            try
            {
                using var response = await instance.Channel.SendAsync(HttpMethod.Get, "/dapr/config", null, limit.Token);
                if ((int)response.StatusCode != 200) return new Dictionary<string, ActorConfig>();
                return ActorConfig.Parse(await response.Content.ReadAsByteArrayAsync(limit.Token));
            }
            catch (Exception e) when (e is JsonException or InvalidOperationException)
            {
                LogNoConfig(instance.Id, e.Message);
                return new Dictionary<string, ActorConfig>();
            }
            catch (Exception e) when (!ct.IsCancellationRequested && attempt < Attempts && e is HttpRequestException or IOException or OperationCanceledException)
            {
                LogConfigRetried(instance.Id, e.Message);
            }
            await Task.Delay(TimeSpan.FromMilliseconds(500 * Math.Pow(1.5, attempt - 1)), ct);
        }
    }

    private async Task OnInvokeAsync(HttpContext http)
    {
        EnsureName(TypeOf(http), "actor type");
        EnsureName(IdOf(http), "actor");
        var body = await http.BodyAsync();
        var headers = new List<KeyValuePair<string, string>>();
        foreach (var (name, values) in http.Request.Headers)
        {
            if (NotForwarded.Contains(name)) continue;
            foreach (var value in values)
                if (value is not null) headers.Add(new(name, value));
        }

        var chain = http.Request.Headers[ActorDirectory.ReentrancyHeader].ToString();
        var reply = await InvokeAsync(SidecarInstance.Of(http), new ActorCall(TypeOf(http), IdOf(http), MethodTail(http.RouteText("method")) + http.Request.QueryString, headers, body),
            chain.Length > 0 ? chain : null, http.RequestAborted);
        foreach (var (name, value) in reply.Headers)
            if (!NotForwarded.Contains(name)) http.Response.Headers.Append(name, value);
        http.Response.ContentLength = reply.Body.Length;
        await http.Response.Body.WriteAsync(reply.Body, http.RequestAborted);
    }

    private async Task<ActorReply> InvokeAsync(SidecarInstance through, ActorCall call, string? reentrancyId, CancellationToken ct)
    {
        ActorReply reply;
        try
        {
            reply = await directory.InvokeAsync(through, call, reentrancyId, ct);
        }
        catch (BreakerOpenException e)
        {
            throw ActorDirectory.Failed(e.Message);
        }

        if (reply.Status == 200) return reply;
        throw ActorDirectory.Failed(reply.Status == 404
            ? $"actor method not found: {call.Tail}"
            : $"error from actor service: ({reply.Status}) {System.Text.Encoding.UTF8.GetString(reply.Body)}");
    }

    private async Task OnGetStateAsync(HttpContext http)
    {
        if (await GetStateAsync(SidecarInstance.Of(http), TypeOf(http), IdOf(http), http.RouteText("key"), http.RequestAborted) is not { } entry)
        {
            http.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        http.Response.ContentType = "application/json";
        http.Response.ContentLength = entry.Value.Length;
        if (entry.ExpiresAt is { } expires) http.Response.Headers["metadata.ttlExpireTime"] = Rfc3339(expires);
        await http.Response.Body.WriteAsync(entry.Value, http.RequestAborted);
    }

    private async Task<StateEntry?> GetStateAsync(SidecarInstance instance, string type, string id, string key, CancellationToken ct)
    {
        EnsureActive(instance, type, id);
        try
        {
            var store = StoreOf(instance);
            return await instance.Components.Resiliency.ComponentOutbound(store.Name, "Statestore")
                .RunAsync(Host.Time, token => store.Store.GetAsync(StateKey(instance, type, id, key), token).AsTask(), static _ => false, null, ct);
        }
        catch (Exception e) when (e is not DaprApiException && !ct.IsCancellationRequested)
        {
            throw new DaprApiException(500, StatusCode.Internal, "ERR_ACTOR_STATE_GET", $"error getting actor state: {e.Message}");
        }
    }

    private async Task OnTransactAsync(HttpContext http)
    {
        var instance = SidecarInstance.Of(http);
        var operations = ActorStateOperation.Parse(await http.BodyAsync());
        await TransactAsync(instance, TypeOf(http), IdOf(http), operations, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task TransactAsync(SidecarInstance instance, string type, string id, List<ActorStateOperation> operations, CancellationToken ct)
    {
        EnsureActive(instance, type, id);
        var store = StoreOf(instance);
        var writes = operations.ConvertAll(operation => operation.ToWrite(StateKey(instance, type, id, operation.Key), AllowsTtl(instance)));
        if (writes.Count == 0) return;
        StateResult result;
        try
        {
            result = await instance.Components.Resiliency.ComponentOutbound(store.Name, "Statestore")
                .RunAsync(Host.Time, token => store.Store.TransactAsync(writes, token).AsTask(), static result => !result.Ok, null, ct);
        }
        catch (Exception e) when (!ct.IsCancellationRequested)
        {
            throw ActorStateOperation.NotSaved(e.Message);
        }
        if (!result.Ok) throw ActorStateOperation.NotSaved(result.Message ?? result.Verdict.ToString());
    }

    private async Task OnRegisterReminderAsync(HttpContext http)
    {
        var instance = SidecarInstance.Of(http);
        var body = Parse(await http.BodyAsync());
        var overwrite = !body.TryGetProperty("overwrite", out var given) || given.ValueKind != JsonValueKind.False;
        var request = new ReminderRequest(Text(body, "dueTime"), Text(body, "period"), Text(body, "ttl"), Data(body), overwrite, PolicyOf(body));
        await RegisterReminderAsync(instance, TypeOf(http), IdOf(http), http.RouteText("name"), request, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task RegisterReminderAsync(SidecarInstance instance, string type, string id, string name, ReminderRequest request, CancellationToken ct)
    {
        EnsureName(name, "reminder");
        EnsureReminderHost(instance, type);
        try
        {
            await reminders.RegisterAsync(instance, type, id, name, request, ct);
        }
        catch (Exception e) when (e is not DaprApiException && !ct.IsCancellationRequested)
        {
            throw new DaprApiException(500, StatusCode.Internal, "ERR_ACTOR_REMINDER_CREATE", $"error creating actor reminder: {e.Message}");
        }
    }

    private async Task OnGetReminderAsync(HttpContext http)
    {
        var reminder = await GetReminderAsync(SidecarInstance.Of(http), TypeOf(http), IdOf(http), http.RouteText("name"), http.RequestAborted);
        await http.Response.WriteAsJsonAsync(new
        {
            actorID = IdOf(http),
            actorType = TypeOf(http),
            data = reminder.Data,
            dueTime = reminder.DueText,
            period = Period(reminder),
            ttl = reminder.TtlText,
        }, http.RequestAborted);
    }

    private async Task<Reminder> GetReminderAsync(SidecarInstance instance, string type, string id, string name, CancellationToken ct)
    {
        EnsureReminderHost(instance, type);
        try
        {
            return await reminders.GetAsync(instance, type, id, name, ct)
                ?? throw new DaprApiException(404, StatusCode.NotFound, "ERR_ACTOR_REMINDER_NOT_FOUND", $"actor reminder {name} of {type}/{id} not found");
        }
        catch (Exception e) when (e is not DaprApiException && !ct.IsCancellationRequested)
        {
            throw new DaprApiException(500, StatusCode.Internal, "ERR_ACTOR_REMINDER_GET", $"error getting actor reminder: {e.Message}");
        }
    }

    private async Task OnRemoveReminderAsync(HttpContext http)
    {
        await RemoveReminderAsync(SidecarInstance.Of(http), TypeOf(http), IdOf(http), http.RouteText("name"), http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task RemoveReminderAsync(SidecarInstance instance, string type, string id, string name, CancellationToken ct)
    {
        EnsureReminderHost(instance, type);
        try
        {
            await reminders.RemoveAsync(instance, type, id, name, ct);
        }
        catch (Exception e) when (e is not DaprApiException && !ct.IsCancellationRequested)
        {
            throw new DaprApiException(500, StatusCode.Internal, "ERR_ACTOR_REMINDER_DELETE", $"error deleting actor reminder: {e.Message}");
        }
    }

    private async Task OnRegisterTimerAsync(HttpContext http)
    {
        var instance = SidecarInstance.Of(http);
        var body = Parse(await http.BodyAsync());
        RegisterTimer(instance, TypeOf(http), IdOf(http), http.RouteText("name"),
            new TimerRequest(Text(body, "dueTime"), Text(body, "period"), Text(body, "ttl"), Text(body, "callback"), Data(body)));
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private void RegisterTimer(SidecarInstance instance, string type, string id, string name, TimerRequest request)
    {
        EnsureOpen(type);
        EnsureName(name, "timer");
        if (!directory.Hosts(instance, type))
            throw new DaprApiException(500, StatusCode.Internal, "ERR_ACTOR_TIMER_CREATE", $"error creating actor timer: actor type {type} is not hosted by {instance.AppId}");
        try
        {
            timers.Register(instance, type, id, name, request);
        }
        catch (FormatException e)
        {
            throw new DaprApiException(500, StatusCode.Internal, "ERR_ACTOR_TIMER_CREATE", $"error creating actor timer: {e.Message}");
        }
    }

    private Task OnRemoveTimerAsync(HttpContext http)
    {
        timers.Remove(TypeOf(http), IdOf(http), http.RouteText("name"));
        http.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    }

    private void EnsureActive(SidecarInstance instance, string type, string id)
    {
        EnsureOpen(type);
        if (!directory.IsActiveOn(instance, type, id))
            throw new DaprApiException(400, StatusCode.Internal, "ERR_ACTOR_INSTANCE_MISSING", $"actor instance is missing: {type}/{id}");
    }

    private void EnsureReminderHost(SidecarInstance instance, string type)
    {
        EnsureOpen(type);
        if (!directory.Hosts(instance, type))
            throw new DaprApiException(403, StatusCode.PermissionDenied, "ERR_ACTOR_REMINDER_NON_HOSTED", $"operations on actor reminders are only possible on hosted actor types, not on {type}");
    }

    private static string MethodTail(string method) => MethodPath.TryCleanName(method, out var path, out var problem)
        ? "method" + path
        : throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_BAD_REQUEST", $"invalid request: {problem}");

    private static void EnsureOpen(string type)
    {
        if (ActorDirectory.IsReserved(type)) throw ActorDirectory.Reserved(type);
    }

    private static void EnsureName(string name, string what)
    {
        if (name is "." or ".." || name.AsSpan().ContainsAny("#?/\\") || name.Any(char.IsControl))
            throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_BAD_REQUEST", $"invalid request: the name of the {what} is not allowed: {name}");
    }

    private static StateStoreComponent StoreOf(SidecarInstance instance) => instance.Components.ActorStore
        ?? throw new DaprApiException(500, StatusCode.Internal, "ERR_ACTOR_RUNTIME_NOT_FOUND", "no state store is configured for actors: one must have metadata actorStateStore \"true\"");

    /// <summary>Actors do not use the component's key prefix.</summary>
    private static string StateKey(SidecarInstance instance, string type, string id, string key) => $"{instance.AppId}||{type}||{id}||{key}";

    private static bool AllowsTtl(SidecarInstance instance) => instance.Components.Configuration.Features.GetValueOrDefault("ActorStateTTL");

    private static string TypeOf(HttpContext http) => http.RouteText("type");

    private static string IdOf(HttpContext http) => http.RouteText("id");

    private static string Rfc3339(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    /// <summary>As Dapr gives it back: the duration that was registered behind <c>@every</c>, an ISO one turned into Go's form.</summary>
    private static string Period(Reminder reminder)
    {
        if (reminder.Period is not { } period) return "";
        if (reminder.PeriodText.StartsWith("@every ", StringComparison.Ordinal)) return reminder.PeriodText;
        return reminder.PeriodText[0] is 'R' or 'P' ? $"@every {(long)period.TotalHours}h{period.Minutes}m{period.Seconds}s" : "@every " + reminder.PeriodText;
    }

    private static JsonElement Parse(ReadOnlyMemory<byte> body)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            if (document.RootElement.ValueKind == JsonValueKind.Object) return document.RootElement.Clone();
        }
        catch (JsonException e)
        {
            throw ActorStateOperation.Malformed(e.Message);
        }
        throw ActorStateOperation.Malformed("the body is not a JSON object");
    }

    private static JsonElement? Json(ByteString data)
    {
        if (data.IsEmpty) return null;
        try
        {
            using var document = JsonDocument.Parse(data.Memory);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return JsonSerializer.SerializeToElement(data.ToByteArray());   // bytes that are no JSON travel as base64 text
        }
    }

    private static string? Text(JsonElement body, string name) =>
        body.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static JsonElement? Data(JsonElement body) => body.TryGetProperty("data", out var data) && data.ValueKind != JsonValueKind.Null ? data : null;

    private static ReminderPolicy PolicyOf(JsonElement body)
    {
        if (!body.TryGetProperty("failurePolicy", out var policy) || policy.ValueKind != JsonValueKind.Object) return ReminderPolicy.Default;
        if (policy.TryGetProperty("drop", out _)) return ReminderPolicy.Drop;
        if (!policy.TryGetProperty("constant", out var constant) || constant.ValueKind != JsonValueKind.Object) return ReminderPolicy.Default;
        var interval = Text(constant, "interval") is { } text && Resources.GoDuration.TryParse(text, out var parsed) ? parsed : ReminderPolicy.Default.Interval;
        return new ReminderPolicy(interval, constant.TryGetProperty("maxRetries", out var retries) && retries.TryGetInt32(out var number) ? number : int.MaxValue);
    }

    private static ReminderPolicy PolicyOf(JobFailurePolicy? policy) => policy?.PolicyCase switch
    {
        JobFailurePolicy.PolicyOneofCase.Drop => ReminderPolicy.Drop,
        JobFailurePolicy.PolicyOneofCase.Constant => new ReminderPolicy(policy.Constant.Interval?.ToTimeSpan() ?? ReminderPolicy.Default.Interval,
            policy.Constant.HasMaxRetries ? (int)Math.Min(policy.Constant.MaxRetries, int.MaxValue) : int.MaxValue),
        _ => ReminderPolicy.Default,
    };

    [LoggerMessage(LogLevel.Warning, "{Instance}: the app's actor configuration cannot be read, it hosts no actors: {Reason}")]
    private partial void LogNoConfig(string instance, string reason);

    [LoggerMessage(LogLevel.Debug, "{Instance}: asking for the actor configuration again: {Reason}")]
    private partial void LogConfigRetried(string instance, string reason);
}
