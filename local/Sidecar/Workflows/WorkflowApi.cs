using System.Globalization;
using System.Text.Json.Nodes;
using Dapr.Client.Autogen.Grpc.v1;
using Dapr.Workflow.Protocol;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>
/// The workflow part of the Dapr API: /v1.0/workflows/{component}/… and its gRPC twins. Unlike the workers' protocol it starts, pauses
/// and terminates without waiting for the effect. The component's name means nothing.
/// </summary>
internal sealed class WorkflowApi(WorkflowsBlock workflows)
{
    private const int LongestId = 64;

    public void Map(IEndpointRouteBuilder routes)
    {
        foreach (var version in (string[])["v1.0", "v1.0-beta1", "v1.0-alpha1"])
        {
            var api = routes.MapGroup($"/{version}/workflows/{{component}}");
            api.MapGet("/{id}", OnGetAsync);
            api.MapPost("/{id}/start", OnStartAsync);
            api.MapPost("/{id}/raiseEvent/{name}", OnRaiseEventAsync);
            api.MapPost("/{id}/terminate", (HttpContext http, string id) => OnAsync(http, id, TerminateAsync));
            api.MapPost("/{id}/pause", (HttpContext http, string id) => OnAsync(http, id, PauseAsync));
            api.MapPost("/{id}/resume", (HttpContext http, string id) => OnAsync(http, id, ResumeAsync));
            api.MapPost("/{id}/purge", (HttpContext http, string id) => OnAsync(http, id, PurgeAsync));
        }
    }

    public void MapGrpc(DaprMethods methods)
    {
        foreach (var version in (string[])["Beta1", "Alpha1"])
        {
            methods.Unary<StartWorkflowRequest, StartWorkflowResponse>($"StartWorkflow{version}", async (instance, request, call) => new StartWorkflowResponse
            {
                InstanceId = await StartAsync(instance, request.WorkflowName, request.InstanceId, request.Input, request.Options, call.CancellationToken),
            });
            methods.Unary<GetWorkflowRequest, GetWorkflowResponse>($"GetWorkflow{version}", async (instance, request, call) =>
                await GetAsync(instance, request.InstanceId, call.CancellationToken) ?? new GetWorkflowResponse { InstanceId = request.InstanceId });
            methods.Unary<RaiseEventWorkflowRequest, Empty>($"RaiseEventWorkflow{version}", async (instance, request, call) =>
            {
                await RaiseEventAsync(instance, request.InstanceId, request.EventName, request.EventData, call.CancellationToken);
                return new Empty();
            });
            methods.Unary<TerminateWorkflowRequest, Empty>($"TerminateWorkflow{version}", (instance, request, call) => EmptyAsync(TerminateAsync(instance, request.InstanceId, call.CancellationToken)));
            methods.Unary<PauseWorkflowRequest, Empty>($"PauseWorkflow{version}", (instance, request, call) => EmptyAsync(PauseAsync(instance, request.InstanceId, call.CancellationToken)));
            methods.Unary<ResumeWorkflowRequest, Empty>($"ResumeWorkflow{version}", (instance, request, call) => EmptyAsync(ResumeAsync(instance, request.InstanceId, call.CancellationToken)));
            methods.Unary<PurgeWorkflowRequest, Empty>($"PurgeWorkflow{version}", (instance, request, call) => EmptyAsync(PurgeAsync(instance, request.InstanceId, call.CancellationToken)));
        }
    }

    // ---- HTTP -----------------------------------------------------------------------------------------------------------

    private async Task OnStartAsync(HttpContext http, string id)
    {
        var input = await ReadAsync(http);
        var started = await StartAsync(SidecarInstance.Of(http), name: id, http.Request.Query["instanceID"].ToString(), input, options: null, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status202Accepted;
        await WriteAsync(http, new JsonObject { ["instanceID"] = started });
    }

    private async Task OnGetAsync(HttpContext http, string id)
    {
        if (await GetAsync(SidecarInstance.Of(http), id, http.RequestAborted) is not { } found)
            throw NotFound(id);
        var properties = new JsonObject();
        foreach (var (name, value) in found.Properties)
            properties[name] = value;
        await WriteAsync(http, new JsonObject
        {
            ["instanceID"] = found.InstanceId,
            ["workflowName"] = found.WorkflowName,
            ["createdAt"] = Text(found.CreatedAt),
            ["lastUpdatedAt"] = Text(found.LastUpdatedAt),
            ["runtimeStatus"] = found.RuntimeStatus,
            ["properties"] = properties,
        });

        static string Text(Timestamp at) => at.ToDateTime().ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", CultureInfo.InvariantCulture);
    }

    private async Task OnRaiseEventAsync(HttpContext http, string id, string name)
    {
        await RaiseEventAsync(SidecarInstance.Of(http), id, name, await ReadAsync(http), http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status202Accepted;
        await WriteAsync(http, []);
    }

    private static async Task OnAsync(HttpContext http, string id, Func<SidecarInstance, string, CancellationToken, Task> act)
    {
        await act(SidecarInstance.Of(http), id, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status202Accepted;
        await WriteAsync(http, []);
    }

    private static async Task<ByteString> ReadAsync(HttpContext http)
    {
        using var body = new MemoryStream();
        await http.Request.Body.CopyToAsync(body, http.RequestAborted);
        return ByteString.CopyFrom(body.GetBuffer(), 0, (int)body.Length);
    }

    private static async Task WriteAsync(HttpContext http, JsonObject json)
    {
        http.Response.ContentType = "application/json";
        await http.Response.WriteAsync(json.ToJsonString(), http.RequestAborted);
    }

    // ---- both ---------------------------------------------------------------------------------------------------------------

    private async Task<string> StartAsync(
        SidecarInstance instance, string name, string id, ByteString input, IDictionary<string, string>? options, CancellationToken ct)
    {
        var engine = workflows.EngineOf(instance);
        if (id.Length == 0) id = Guid.NewGuid().ToString();
        if (id.Length > LongestId)
            throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_INSTANCE_ID_TOO_LONG", $"workflow instance ID exceeds the max length of {LongestId} characters");
        if (!id.All(c => char.IsLetterOrDigit(c) || c is '_' or '-'))
            throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_INSTANCE_ID_INVALID", $"workflow instance ID '{id}' is invalid: only alphanumeric and underscore characters are allowed");
        if (name.Length == 0)
            throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_WORKFLOW_NAME_MISSING", "workflow name is not configured");

        Timestamp? at = null;
        if (options is not null && options.TryGetValue("dapr.workflow.start_time", out var text))
        {
            if (!DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time))
                throw Failed("ERR_START_WORKFLOW", $"error starting workflow '{name}': start times must be in RFC3339 format (e.g. \"2009-11-10T23:00:00Z\")");
            at = time.ToTimestamp();
        }

        try
        {
            await engine.StartAsync(
                new ExecutionStartedEvent
                {
                    Name = name,
                    Input = input.ToStringUtf8(),
                    WorkflowInstance = new WorkflowInstance { InstanceId = id },
                    ScheduledStartTimestamp = at,
                },
                untilStarted: false,
                ct);
            return id;
        }
        catch (RpcException e)
        {
            throw Failed("ERR_START_WORKFLOW", $"error starting workflow '{name}': unable to start workflow: {e.Status.Detail}");
        }
    }

    private async Task<GetWorkflowResponse?> GetAsync(SidecarInstance instance, string id, CancellationToken ct)
    {
        if (await workflows.EngineOf(instance).GetAsync(Given(id), inputsAndOutputs: true, ct) is not { } state) return null;
        var found = new GetWorkflowResponse
        {
            InstanceId = id,
            WorkflowName = state.Name,
            CreatedAt = state.CreatedTimestamp ?? new Timestamp(),
            LastUpdatedAt = state.LastUpdatedTimestamp ?? new Timestamp(),
            RuntimeStatus = state.WorkflowStatus.ToString().ToUpperInvariant(),
        };
        if (state.CustomStatus is { } custom) found.Properties["dapr.workflow.custom_status"] = custom;
        if (state.Input is { } input) found.Properties["dapr.workflow.input"] = input;
        if (state.Output is { } output && state.FailureDetails is null) found.Properties["dapr.workflow.output"] = output;
        if (state.FailureDetails is not { } failure) return found;

        found.Properties["dapr.workflow.failure.error_type"] = failure.ErrorType;
        found.Properties["dapr.workflow.failure.error_message"] = failure.ErrorMessage;
        if (failure.StackTrace is { } trace) found.Properties["dapr.workflow.failure.stack_trace"] = trace;
        return found;
    }

    private async Task RaiseEventAsync(SidecarInstance instance, string id, string name, ByteString data, CancellationToken ct)
    {
        var engine = workflows.EngineOf(instance);
        Given(id);
        if (name.Length == 0) throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_WORKFLOW_EVENT_NAME_MISSING", "missing workflow event name");
        try
        {
            await engine.RaiseAsync(id, new HistoryEvent { EventRaised = new EventRaisedEvent { Name = name, Input = data.ToStringUtf8() } }, ct);
        }
        catch (RpcException e)
        {
            throw Failed("ERR_RAISE_EVENT_WORKFLOW", $"error raising event on workflow '{id}': failed to raise event {name} on workflow {id}: {e.Status.Detail}");
        }
    }

    private async Task TerminateAsync(SidecarInstance instance, string id, CancellationToken ct)
    {
        try
        {
            await workflows.EngineOf(instance).RaiseAsync(Given(id), new HistoryEvent { ExecutionTerminated = new ExecutionTerminatedEvent { Recurse = true } }, ct);
        }
        catch (RpcException e)
        {
            throw e.Status.Detail == WorkflowEngine.NoSuchInstance
                ? NotFound(id)
                : Failed("ERR_TERMINATE_WORKFLOW", $"error terminating workflow '{id}': failed to terminate workflow {id}: {e.Status.Detail}");
        }
    }

    private Task PauseAsync(SidecarInstance instance, string id, CancellationToken ct) =>
        SteerAsync(instance, id, new HistoryEvent { ExecutionSuspended = new ExecutionSuspendedEvent() }, "ERR_PAUSE_WORKFLOW", "pausing", "pause", ct);

    private Task ResumeAsync(SidecarInstance instance, string id, CancellationToken ct) =>
        SteerAsync(instance, id, new HistoryEvent { ExecutionResumed = new ExecutionResumedEvent() }, "ERR_RESUME_WORKFLOW", "resuming", "resume", ct);

    private async Task SteerAsync(SidecarInstance instance, string id, HistoryEvent e, string code, string doing, string verb, CancellationToken ct)
    {
        try
        {
            await workflows.EngineOf(instance).RaiseAsync(Given(id), e, ct);
        }
        catch (RpcException refused)
        {
            throw Failed(code, $"error {doing} workflow {id}: failed to {verb} workflow {id}: {refused.Status.Detail}");
        }
    }

    private async Task PurgeAsync(SidecarInstance instance, string id, CancellationToken ct)
    {
        try
        {
            await workflows.EngineOf(instance).PurgeAsync(Given(id), recursive: true, force: false, ct);
        }
        catch (RpcException e)
        {
            throw e.Status.Detail == WorkflowEngine.NoSuchInstance
                ? NotFound(id)
                : Failed("ERR_PURGE_WORKFLOW", $"error purging workflow {id}: failed to Purge workflow {id}: {e.Status.Detail}");
        }
    }

    private static string Given(string id) => id.Length > 0
        ? id
        : throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_INSTANCE_ID_PROVIDED_MISSING", "no instance ID was provided");

    private static DaprApiException NotFound(string id) =>
        new(404, StatusCode.NotFound, "ERR_INSTANCE_ID_NOT_FOUND", $"unable to find workflow with the provided instance ID: {id}");

    private static DaprApiException Failed(string code, string message) => new(500, StatusCode.Internal, code, message);

    private static async Task<Empty> EmptyAsync(Task done)
    {
        await done;
        return new Empty();
    }
}
