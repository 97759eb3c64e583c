using System.Diagnostics;
using Dapr.Workflow.Protocol;
using Marketplace.OfficialWorker;
using Marketplace.Sidecar.Tests.Workflows;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.JavaScript;

/// <summary>
/// The same workflow written with npm's <c>@dapr/dapr</c>, with the official .NET package and with the project's own library leaves the same
/// history: kinds, order, names, steps, inputs and results. Times and ids that a sidecar or a worker makes up are not compared.
/// </summary>
[EverySidecar]
public sealed class WhenOneWorkflowHasManyAuthors : IAsyncLifetime
{
    private const string Actors = """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: actors}
        spec:
          type: state.in-memory
          version: v1
          metadata: [{name: actorStateStore, value: "true"}]
        """;

    private readonly string order = $"order-{Guid.NewGuid():N}";
    private SidecarsUnderTest sidecars = null!;
    private WorkerApp library = null!;

    public async ValueTask InitializeAsync()
    {
        sidecars = await SidecarsUnderTest.StartAsync(Actors, new AppUnderTest("library"), new AppUnderTest("node"), new AppUnderTest("official"));
        library = await WorkerApp.StartAsync(sidecars.GrpcPort(), Basket.Register);
    }

    public async ValueTask DisposeAsync()
    {
        await library.DisposeAsync();
        await sidecars.DisposeAsync();
    }

    [Fact]
    public async Task The_one_in_javascript_agrees_with_ours()
    {
        await using var node = await NodeScript.StartAsync("worker.mjs", sidecars, sidecar: 1);
        await node.ReachedAsync("working");
        await AgreeAsync(1);
        await node.EndAsync();
    }

    [Fact]
    public async Task The_one_on_the_official_package_agrees_with_ours()
    {
        var built = new DirectoryInfo(AppContext.BaseDirectory);   // …/bin/<configuration>/<framework>
        var program = Path.Combine(built.Parent!.Parent!.Parent!.Parent!.FullName, "OfficialWorker", "bin", built.Parent.Name, built.Name, "OfficialWorker.dll");
        using var official = Process.Start(new ProcessStartInfo("dotnet", [program])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            Environment = { ["DAPR_GRPC_ENDPOINT"] = $"http://127.0.0.1:{sidecars.GrpcPort(2)}", ["DAPR_HTTP_ENDPOINT"] = $"http://127.0.0.1:{sidecars.HttpPort(2)}" },
        })!;
        var output = official.StandardOutput.ReadToEndAsync();
        try
        {
            await AgreeAsync(2, PatientAsync);
        }
        finally
        {
            official.StandardInput.Close();
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
            await official.WaitForExitAsync(limit.Token);
            TestContext.Current.TestOutputHelper?.WriteLine(await output);
        }

        Assert.Equal(0, official.ExitCode);
    }

    [Fact]
    public async Task A_node_app_steers_them_from_start_to_purge() => await NodeScript.RunAsync("workflows.mjs", sidecars, sidecar: 1);

    private async Task AgreeAsync(int other, params Func<ScriptedWorker, Task<string>>[] more)
    {
        await using var ours = ScriptedWorker.ClientOnly(sidecars.GrpcPort());
        await using var theirs = ScriptedWorker.ClientOnly(sidecars.GrpcPort(other));
        foreach (var story in (Func<ScriptedWorker, Task<string>>[])[BasketAsync, RoundsAsync, RefusedAsync, .. more])
        {
            var (own, foreign) = (await story(ours), await story(theirs));
            Assert.Equal(own, foreign);
            TestContext.Current.TestOutputHelper?.WriteLine(own);
        }
    }

    private async Task<string> BasketAsync(ScriptedWorker client)
    {
        await client.StartAsync(order, "Basket", $$"""{"id":"{{order}}","prices":[3,4,5]}""");
        // The event comes when everything before it is in history, so that it has a turn of its own.
        await Eventually.Async(
            async () => (await HistoryAsync(client, order)).Count(e => e.EventTypeCase == HistoryEvent.EventTypeOneofCase.TaskCompleted) == 5,
            "the steps before the payment are done");
        await client.Client.RaiseEventAsync(new RaiseEventRequest { InstanceId = order, Name = "Paid", Input = """{"by":"card"}""" });
        var whole = await FinishedAsync(client, order);
        Assert.Contains("""{"sum":1200,"paidBy":"card","parcel":"wrapped in red ribbon"}""", whole, StringComparison.Ordinal);
        return $"{whole}\n\n{await FinishedAsync(client, $"{order}-parcel")}";
    }

    private async Task<string> RoundsAsync(ScriptedWorker client)
    {
        await client.StartAsync($"{order}-rounds", "Rounds", "1");
        var last = await FinishedAsync(client, $"{order}-rounds");
        Assert.Contains("round 3 at 300", last, StringComparison.Ordinal);
        return last;
    }

    private async Task<string> RefusedAsync(ScriptedWorker client)
    {
        await client.StartAsync($"{order}-refused", "Refused", $"\"{order}-refused\"");
        var end = await FinishedAsync(client, $"{order}-refused");
        Assert.Contains("Failed", end, StringComparison.Ordinal);
        return end;
    }

    private async Task<string> PatientAsync(ScriptedWorker client)
    {
        var id = $"{order}-patient";
        await client.StartAsync(id, "Patient", $"\"{id}\"");
        await client.Client.RaiseEventAsync(new RaiseEventRequest { InstanceId = id, Name = "Answer", Input = "\"yes\"" });
        var end = await FinishedAsync(client, id);
        Assert.Contains("yes, then silence", end, StringComparison.Ordinal);
        var state = await client.Client.GetInstanceAsync(new GetInstanceRequest { InstanceId = id, GetInputsAndOutputs = true });
        // What a timer is for is part of the protocol of today's packages; the one in JavaScript is older.
        var timers = (await HistoryAsync(client, id)).Where(e => e.EventTypeCase == HistoryEvent.EventTypeOneofCase.TimerCreated)
            .Select(e => $"{e.TimerCreated.OriginCase} {e.TimerCreated.ExternalEvent?.Name} {e.TimerCreated.Name}");
        return $"{end}\n{state.WorkflowState.CustomStatus}\n{string.Join('\n', timers)}";
    }

    private static async Task<string> FinishedAsync(ScriptedWorker client, string id)
    {
        await client.Client.WaitForInstanceCompletionAsync(new GetInstanceRequest { InstanceId = id }, deadline: DateTime.UtcNow.AddSeconds(60));
        return Story(await HistoryAsync(client, id));
    }

    private static async Task<IReadOnlyList<HistoryEvent>> HistoryAsync(ScriptedWorker client, string id) =>
        (await client.Client.GetInstanceHistoryAsync(new GetInstanceHistoryRequest { InstanceId = id })).Events;

    /// <summary>
    /// A line per event. Steps are counted from the first one (the JavaScript worker calls it 1, the others 0), and of steps side by side
    /// only that their results came counts: in which order, and in how many turns, is chance.
    /// </summary>
    private static string Story(IReadOnlyList<HistoryEvent> history)
    {
        var first = history.Where(e => e.EventId >= 0).Select(e => e.EventId).DefaultIfEmpty(0).Min();
        var lines = new List<string>();
        var together = new List<string>();
        for (var i = 0; i < history.Count; i++)
        {
            var e = history[i];
            if (e.EventTypeCase == HistoryEvent.EventTypeOneofCase.TaskCompleted)
            {
                together.Add(Line(e, first));
                continue;
            }

            var inTheMiddle = together.Count > 0 && e.EventTypeCase == HistoryEvent.EventTypeOneofCase.WorkflowStarted
                && i + 1 < history.Count && history[i + 1].EventTypeCase == HistoryEvent.EventTypeOneofCase.TaskCompleted;
            if (inTheMiddle) continue;
            lines.AddRange(together.Order(StringComparer.Ordinal));
            together.Clear();
            lines.Add(Line(e, first));
        }

        return string.Join('\n', [.. lines, .. together.Order(StringComparer.Ordinal)]);
    }

    private static string Line(HistoryEvent e, int first) => $"{e.EventTypeCase} " + e.EventTypeCase switch
    {
        HistoryEvent.EventTypeOneofCase.ExecutionStarted => $"{e.ExecutionStarted.Name}({e.ExecutionStarted.Input}) as {e.ExecutionStarted.WorkflowInstance.InstanceId}, child of '{e.ExecutionStarted.ParentInstance?.Name}'",
        HistoryEvent.EventTypeOneofCase.TaskScheduled => $"#{e.EventId - first} {e.TaskScheduled.Name}({e.TaskScheduled.Input})",
        HistoryEvent.EventTypeOneofCase.TaskCompleted => $"#{e.TaskCompleted.TaskScheduledId - first} = {e.TaskCompleted.Result}",
        HistoryEvent.EventTypeOneofCase.TaskFailed => $"#{e.TaskFailed.TaskScheduledId - first}: {e.TaskFailed.FailureDetails.ErrorMessage}",
        HistoryEvent.EventTypeOneofCase.TimerCreated => $"#{e.EventId - first}",
        HistoryEvent.EventTypeOneofCase.TimerFired => $"#{e.TimerFired.TimerId - first}",
        HistoryEvent.EventTypeOneofCase.ChildWorkflowInstanceCreated => $"#{e.EventId - first} {e.ChildWorkflowInstanceCreated.Name}({e.ChildWorkflowInstanceCreated.Input}) as {e.ChildWorkflowInstanceCreated.InstanceId}",
        HistoryEvent.EventTypeOneofCase.ChildWorkflowInstanceCompleted => $"#{e.ChildWorkflowInstanceCompleted.TaskScheduledId - first} = {e.ChildWorkflowInstanceCompleted.Result}",
        HistoryEvent.EventTypeOneofCase.EventRaised => $"{e.EventRaised.Name}({e.EventRaised.Input})",
        // What an unhandled failure is called is the language's own.
        HistoryEvent.EventTypeOneofCase.ExecutionCompleted => $"{e.ExecutionCompleted.WorkflowStatus} = {e.ExecutionCompleted.Result}",
        _ => "",
    };
}
