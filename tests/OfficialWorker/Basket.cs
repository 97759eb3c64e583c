using System.Collections.Concurrent;
using Dapr.Workflow;

namespace Marketplace.OfficialWorker;

// One source, compiled twice: here against the official package, in Sidecar.Tests against the project's own library. basket.mjs is the
// same in JavaScript. What each leaves in history must be the same.

public sealed record Order(string Id, int[] Prices);

public sealed record Sold(int Sum, string PaidBy, string Parcel);

public sealed record Payment(string By);

/// <summary>One of everything: a step, a step that fails once, steps side by side, an event, a child.</summary>
public sealed class Basket : Workflow<Order, Sold>
{
    public static void Register(WorkflowRuntimeOptions options)
    {
        options.RegisterWorkflow<Basket>();
        options.RegisterWorkflow<Wrap>();
        options.RegisterWorkflow<Rounds>();
        options.RegisterWorkflow<Refused>();
        options.RegisterWorkflow<Patient>();
        options.RegisterActivity<Reserve>();
        options.RegisterActivity<Shaky>();
        options.RegisterActivity<Price>();
        options.RegisterActivity<Ribbon>();
        options.RegisterActivity<Never>();
    }

    public override async Task<Sold> RunAsync(WorkflowContext context, Order order)
    {
        await context.CallActivityAsync<string>(nameof(Reserve), order.Id);
        await context.CallActivityAsync<string>(nameof(Shaky), order.Id, new WorkflowTaskOptions(new WorkflowRetryPolicy(2, TimeSpan.FromMilliseconds(50))));
        var prices = await Task.WhenAll(order.Prices.Select(price => context.CallActivityAsync<int>(nameof(Price), price)));
        var payment = await context.WaitForExternalEventAsync<Payment>("Paid");
        await context.CreateTimer(TimeSpan.FromMilliseconds(50));
        var parcel = await context.CallChildWorkflowAsync<string>(nameof(Wrap), "red", new ChildWorkflowTaskOptions($"{context.InstanceId}-parcel"));
        return new Sold(prices.Sum(), payment.By, parcel);
    }
}

public sealed class Wrap : Workflow<string, string>
{
    public override async Task<string> RunAsync(WorkflowContext context, string colour) =>
        $"wrapped in {await context.CallActivityAsync<string>(nameof(Ribbon), colour)}";
}

/// <summary>Begins anew twice; only the last round is left in history.</summary>
public sealed class Rounds : Workflow<int, string>
{
    public override async Task<string> RunAsync(WorkflowContext context, int round)
    {
        var price = await context.CallActivityAsync<int>(nameof(Price), round);
        if (round == 3) return $"round {round} at {price}";
        context.ContinueAsNew(round + 1);
        return "";
    }
}

/// <summary>A failure that nobody catches.</summary>
public sealed class Refused : Workflow<string, string>
{
    public override Task<string> RunAsync(WorkflowContext context, string id) => context.CallActivityAsync<string>(nameof(Shaky), id);
}

/// <summary>An event that comes in time, one that does not, and a retry that is used up. JavaScript has no words for any of them.</summary>
public sealed class Patient : Workflow<string, string>
{
    public override async Task<string> RunAsync(WorkflowContext context, string id)
    {
        var first = await context.WaitForExternalEventAsync<string>("Answer", TimeSpan.FromMinutes(5));
        string second;
        try
        {
            second = await context.WaitForExternalEventAsync<string>("Answer", TimeSpan.FromMilliseconds(50));
        }
        catch (TaskCanceledException)
        {
            second = "silence";
        }

        try
        {
            await context.CallActivityAsync<string>(nameof(Never), id, new WorkflowTaskOptions(new WorkflowRetryPolicy(2, TimeSpan.FromMilliseconds(20), 2)));
        }
        catch (WorkflowTaskFailedException)
        {
            context.SetCustomStatus("nobody does it");
        }

        return $"{first}, then {second}";
    }
}

public sealed class Reserve : WorkflowActivity<string, string>
{
    public override Task<string> RunAsync(WorkflowActivityContext context, string order) => Task.FromResult($"reserved {order}");
}

public sealed class Shaky : WorkflowActivity<string, string>
{
    private static readonly ConcurrentDictionary<string, bool> Tried = [];

    public override Task<string> RunAsync(WorkflowActivityContext context, string order) =>
        Tried.TryAdd(order, true) ? throw new InvalidOperationException($"not yet, {order}") : Task.FromResult("done");
}

public sealed class Price : WorkflowActivity<int, int>
{
    public override Task<int> RunAsync(WorkflowActivityContext context, int price) => Task.FromResult(price * 100);
}

public sealed class Ribbon : WorkflowActivity<string, string>
{
    public override Task<string> RunAsync(WorkflowActivityContext context, string colour) => Task.FromResult($"{colour} ribbon");
}

public sealed class Never : WorkflowActivity<string, string>
{
    public override Task<string> RunAsync(WorkflowActivityContext context, string id) => throw new InvalidOperationException("never");
}
