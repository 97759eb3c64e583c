using System.Text.Json;
using Dapr.Workflow;
using Dapr.Workflow.Abstractions;
using Marketplace.Ordering.Checkout;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marketplace.Ordering.Tests;

public enum Fault
{
    None,

    /// <summary>The step fails, nothing happened.</summary>
    Before,

    /// <summary>It happened, and then the step failed.</summary>
    After,

    /// <summary>It happened and its answer never came: the sidecar runs the same call again.</summary>
    ReplyLost,

    /// <summary>Two workers have it at once.</summary>
    Twice,

    /// <summary>Fails every time, nothing happens.</summary>
    ForeverBefore,

    /// <summary>Happens, and fails every time.</summary>
    ForeverAfter,
}

/// <summary>
/// A workflow context that runs the real activities at once, keeps to their retry policies in a clock of its own, and lets one step go
/// wrong in a chosen way. Everything crosses it as JSON, as it would in the sidecar's history.
/// </summary>
public sealed class ScriptedWorkflow : WorkflowContext
{
    private readonly Dictionary<string, (Fault Fault, int Times)> faults = [];
    private readonly Dictionary<string, Func<Task>> before = [];
    private readonly List<string> steps = [];
    private Shop shop = null!;
    private DateTime now = DateTime.UtcNow;

    public override string Name => "scripted";

    public override string InstanceId => "scripted";

    public override DateTime CurrentUtcDateTime => now;

    public override bool IsReplaying => false;

    /// <summary>The steps that were called, each as often as it was.</summary>
    public IReadOnlyList<string> Steps => steps;

    /// <param name="times">How often, before it goes well; not asked where the fault is for ever.</param>
    public ScriptedWorkflow At(string step, Fault fault, int times = 1)
    {
        faults[step] = (fault, times);
        return this;
    }

    /// <summary>Something the world does right before a step runs for the first time.</summary>
    public ScriptedWorkflow Before(string step, Func<Task> happens)
    {
        before[step] = happens;
        return this;
    }

    public ScriptedWorkflow In(Shop world)
    {
        shop = world;
        return this;
    }

    public async Task<CheckoutOutcome> RunAsync(Workflow<CheckoutAttempt, CheckoutOutcome> workflow, CheckoutAttempt checkout) =>
        Json<CheckoutOutcome>(await workflow.RunAsync(this, Json<CheckoutAttempt>(checkout)!))!;

    public override async Task<T> CallActivityAsync<T>(string name, object? input = null, WorkflowTaskOptions? options = null)
    {
        if (before.Remove(name, out var happens)) await happens();
        steps.Add(name);
        var attempts = options?.RetryPolicy?.MaxNumberOfAttempts ?? 1;
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return Json<T>(await OnceAsync(name, input))!;
            }
            catch (Exception fault) when (fault is not Xunit.Sdk.XunitException)
            {
                if (attempt == attempts)
                    throw new WorkflowTaskFailedException($"Task '{name}' failed.", new WorkflowTaskFailureDetails(fault.GetType().FullName!, fault.Message));
                now += options!.RetryPolicy!.FirstRetryInterval;
            }
        }
    }

    private async Task<object?> OnceAsync(string name, object? input)
    {
        var (fault, times) = faults.GetValueOrDefault(name);
        if (fault is not (Fault.ForeverBefore or Fault.ForeverAfter))
        {
            if (times > 1) faults[name] = (fault, times - 1);
            else faults.Remove(name);                           // the next try goes well
        }
        if (fault is Fault.Before or Fault.ForeverBefore) throw new HttpRequestException($"{name}: nobody answered");
        if (fault == Fault.Twice)
        {
            var both = await Task.WhenAll(RunAsync(name, input), RunAsync(name, input));
            return both[1];
        }

        var result = await RunAsync(name, input);
        if (fault is Fault.After or Fault.ForeverAfter) throw new HttpRequestException($"{name}: the answer was cut off");
        return fault == Fault.ReplyLost ? await RunAsync(name, input) : result;
    }

    private async Task<object?> RunAsync(string name, object? input)
    {
        var type = typeof(CheckoutWorkflow).Assembly.GetTypes().Single(candidate => candidate.Name == name && typeof(IWorkflowActivity).IsAssignableFrom(candidate));
        var activity = (IWorkflowActivity)ActivatorUtilities.CreateInstance(shop.Service.Services, type);
        return await activity.RunAsync(new CallOf(name), JsonSerializer.Deserialize(JsonSerializer.Serialize(input, JsonSerializerOptions.Web), activity.InputType, JsonSerializerOptions.Web));
    }

    public override Task CreateTimer(DateTime fireAt, CancellationToken cancellationToken)
    {
        now = fireAt;
        return Task.CompletedTask;
    }

    private static T? Json<T>(object? value) => JsonSerializer.Deserialize<T>(JsonSerializer.Serialize(value, JsonSerializerOptions.Web), JsonSerializerOptions.Web);

    public override Task<T> WaitForExternalEventAsync<T>(string eventName, CancellationToken cancellationToken = default) => throw NotUsed();

    public override Task<T> WaitForExternalEventAsync<T>(string eventName, TimeSpan timeout) => throw NotUsed();

    public override Task<TResult> CallChildWorkflowAsync<TResult>(string workflowName, object? input = null, ChildWorkflowTaskOptions? options = null) => throw NotUsed();

    public override void SetCustomStatus(object? customStatus) => throw NotUsed();

    public override void ContinueAsNew(object? newInput = null, bool preserveUnprocessedEvents = true) => throw NotUsed();

    public override Guid NewGuid() => throw NotUsed();

    public override ILogger CreateReplaySafeLogger(string categoryName) => NullLogger.Instance;

    private static NotSupportedException NotUsed() => new("The sagas of this service use no such thing.");

    private sealed class CallOf(string name) : WorkflowActivityContext
    {
        public override TaskIdentifier Identifier => name;

        public override string TaskExecutionKey => name;

        public override string InstanceId => "scripted";
    }
}
