using Dapr.Workflow;
using Dapr.Workflow.Protocol;
using Microsoft.Extensions.Logging;
using Xunit;
using static Marketplace.Workflows.Tests.History;

namespace Marketplace.Workflows.Tests;

public sealed class WhenAWorkflowReplays
{
    private static readonly WorkflowTaskOptions Twice = new(new WorkflowRetryPolicy(2, TimeSpan.FromSeconds(5)));

    [Fact]
    public void An_activity_that_fails_once_is_retried_after_a_durable_timer_and_the_event_ends_it()
    {
        var history = Flow.Of(async context =>
        {
            var reply = await context.CallActivityAsync<int>("Reserve", new { Units = 3 }, Twice);
            var note = await context.WaitForExternalEventAsync<string>("Settled", TimeSpan.FromMinutes(1));
            return $"{reply} {note}";
        });

        var first = history.Only(Started());
        Assert.Equal((0, "Reserve", """{"units":3}"""), (first.Id, first.ScheduleTask.Name, first.ScheduleTask.Input));

        var wait = history.Only(Failed(0));
        Assert.Equal(1, wait.Id);
        Assert.Equal(first.ScheduleTask.TaskExecutionId, wait.CreateTimer.ActivityRetry.TaskExecutionId);
        Assert.Equal(new DateTime(2026, 1, 1, 0, 0, 7, DateTimeKind.Utc), wait.CreateTimer.FireAt.ToDateTime());

        var second = history.Only(Fired(1));
        Assert.Equal((2, "Reserve"), (second.Id, second.ScheduleTask.Name));
        Assert.NotEqual(first.ScheduleTask.TaskExecutionId, second.ScheduleTask.TaskExecutionId);

        var deadline = history.Only(Completed(2, "7"));
        Assert.Equal((3, "Settled"), (deadline.Id, deadline.CreateTimer.ExternalEvent.Name));

        var end = history.Only(Raised("settled", "\"paid\""));
        Assert.Equal(OrchestrationStatus.Completed, end.CompleteWorkflow.WorkflowStatus);
        Assert.Equal("\"7 paid\"", end.CompleteWorkflow.Result);
    }

    [Fact]
    public void Attempts_used_up_surface_as_the_activitys_failure()
    {
        var history = Flow.Of(async context =>
        {
            try
            {
                return await context.CallActivityAsync<string>("Reserve", null, Twice);
            }
            catch (WorkflowTaskFailedException e) when (e.FailureDetails.IsCausedBy<InvalidOperationException>())
            {
                return e.FailureDetails.ErrorMessage;
            }
        });
        history.Turn(Started());
        history.Turn(Failed(0, "first"));
        history.Turn(Fired(1));

        Assert.Equal("\"second\"", history.Only(Failed(2, "second")).CompleteWorkflow.Result);
    }

    [Fact]
    public void Calls_made_together_are_scheduled_together_and_joined_in_any_order_of_arrival()
    {
        var history = Flow.Of(async context =>
        {
            var both = await Task.WhenAll(context.CallActivityAsync<int>("A"), context.CallActivityAsync<int>("B"));
            return $"{both[0]}-{both[1]}";
        });

        Assert.Equal([0, 1], history.Turn(Started()).Select(action => action.Id));
        Assert.Empty(history.Turn(Completed(1, "2")));
        Assert.Equal("\"1-2\"", history.Only(Completed(0, "1")).CompleteWorkflow.Result);
    }

    [Fact]
    public void A_result_delivered_twice_changes_nothing()
    {
        var history = Flow.Of(async context => $"{await context.CallActivityAsync<int>("A") + await context.CallActivityAsync<int>("B")}");
        history.Turn(Started());
        Assert.Equal(1, history.Only(Completed(0, "1"), Completed(0, "99")).Id);
        Assert.Equal("\"3\"", history.Only(Completed(0, "50"), Completed(1, "2")).CompleteWorkflow.Result);
    }

    [Fact]
    public void Events_raised_before_the_wait_are_kept_in_their_order()
    {
        var history = Flow.Of(async context =>
        {
            await context.CallActivityAsync("A");
            return await context.WaitForExternalEventAsync<string>("Note") + await context.WaitForExternalEventAsync<string>("NOTE");
        });
        history.Turn(Started(), Raised("note", "\"x\""), Raised("Note", "\"y\""));

        Assert.Equal("\"xy\"", history.Only(Completed(0)).CompleteWorkflow.Result);
    }

    [Fact]
    public void A_wait_that_timed_out_leaves_a_later_event_to_the_next_wait()
    {
        var history = Flow.Of(async context =>
        {
            try
            {
                return await context.WaitForExternalEventAsync<string>("Note", TimeSpan.FromSeconds(1));
            }
            catch (TaskCanceledException)
            {
                return "late " + await context.WaitForExternalEventAsync<string>("Note");
            }
        });
        history.Turn(Started());
        Assert.Empty(history.Turn(Fired(0)));

        Assert.Equal("\"late a\"", history.Only(Raised("Note", "\"a\"")).CompleteWorkflow.Result);
    }

    [Fact]
    public void A_suspended_instance_makes_no_progress_until_it_is_resumed()
    {
        var history = Flow.Of(async context =>
        {
            await context.CallActivityAsync("A");
            await context.CallActivityAsync("B");
            return "done";
        });
        history.Turn(Started());
        Assert.Empty(history.Turn(Suspended()));
        Assert.Empty(history.Turn(Completed(0)));

        Assert.Equal("B", history.Only(Resumed()).ScheduleTask.Name);
        Assert.Equal("\"done\"", history.Only(Completed(1)).CompleteWorkflow.Result);
    }

    [Fact]
    public void A_call_asked_for_in_the_turn_of_the_suspension_goes_out_at_resumption()
    {
        var history = Flow.Of(async context =>
        {
            await context.CallActivityAsync("A");
            return "done";
        });
        Assert.Empty(history.Turn(Started(), Suspended()));

        Assert.Equal("A", history.Only(Resumed()).ScheduleTask.Name);
    }

    [Fact]
    public void Termination_ends_the_instance_whatever_else_arrives()
    {
        var history = Flow.Of(async context =>
        {
            await context.CallActivityAsync("A");
            return "done";
        });
        history.Turn(Started());
        history.Turn(Suspended());

        var end = history.Only(Terminated("\"by hand\""), Completed(0)).CompleteWorkflow;
        Assert.Equal((OrchestrationStatus.Terminated, "\"by hand\""), (end.WorkflowStatus, end.Result));
    }

    [Fact]
    public void Continue_as_new_carries_over_the_events_nobody_waited_for()
    {
        var history = Flow.Of(async context =>
        {
            await context.CallActivityAsync("A");
            context.ContinueAsNew(42);
            return "";
        });
        history.Turn(Started());

        var next = history.Only(Completed(0), Raised("Late", "1")).CompleteWorkflow;
        Assert.Equal((OrchestrationStatus.ContinuedAsNew, "42"), (next.WorkflowStatus, next.Result));
        Assert.Equal("Late", Assert.Single(next.CarryoverEvents).EventRaised.Name);
    }

    [Fact]
    public void A_child_gets_a_derived_id_and_its_failure_reaches_the_parent()
    {
        var history = Flow.Of(async context =>
        {
            var first = await context.CallChildWorkflowAsync<string>("Child", "in");
            try
            {
                await context.CallChildWorkflowAsync("Child", null, new ChildWorkflowTaskOptions("named"));
            }
            catch (WorkflowTaskFailedException e)
            {
                return $"{first} {e.FailureDetails.ErrorType}";
            }

            return "never";
        });

        Assert.Equal("order-1:0000", history.Only(Started()).CreateChildWorkflow.InstanceId);
        Assert.Equal("named", history.Only(ChildCompleted(0, "\"ok\"")).CreateChildWorkflow.InstanceId);
        Assert.Equal("\"ok Terminated\"", history.Only(ChildFailed(1, null)).CompleteWorkflow.Result);
    }

    [Fact]
    public void Code_that_no_longer_matches_its_history_fails_and_says_where()
    {
        var changed = false;
        var history = Flow.Of(async context =>
        {
            await context.CallActivityAsync(changed ? "New" : "Old");
            return "";
        });
        history.Turn(Started());
        changed = true;

        var end = history.Only(Completed(0)).CompleteWorkflow;
        Assert.Equal((OrchestrationStatus.Failed, "NonDeterminism"), (end.WorkflowStatus, end.FailureDetails.ErrorType));
        Assert.Contains("'Old'", end.FailureDetails.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public void Code_that_awaits_something_foreign_fails_instead_of_hanging()
    {
        var history = Flow.Of(async _ =>
        {
            await new TaskCompletionSource().Task;
            return "";
        });

        Assert.Equal("NonDeterminism", history.Only(Started()).CompleteWorkflow.FailureDetails.ErrorType);
    }

    [Fact]
    public void An_unhandled_exception_fails_the_instance_with_its_details()
    {
        var end = Flow.Of(_ => throw new ArgumentException("no such thing")).Only(Started()).CompleteWorkflow;

        Assert.Equal(OrchestrationStatus.Failed, end.WorkflowStatus);
        Assert.Equal(("System.ArgumentException", "no such thing"), (end.FailureDetails.ErrorType, end.FailureDetails.ErrorMessage));
    }

    [Fact]
    public void An_unknown_workflow_fails_by_name()
    {
        var history = Flow.Of(_ => Task.FromResult(""));
        var started = Started();
        started.ExecutionStarted.Name = "Missing";

        Assert.Equal("WorkflowNotFound", history.Only(started).CompleteWorkflow.FailureDetails.ErrorType);
    }

    [Fact]
    public void Time_and_ids_are_the_same_in_every_replay()
    {
        var seen = new List<(DateTime, Guid, Guid)>();
        var history = Flow.Of(async context =>
        {
            seen.Add((context.CurrentUtcDateTime, context.NewGuid(), context.NewGuid()));
            await context.CallActivityAsync("A");
            return "";
        });
        history.Turn(Started());
        history.Turn(Completed(0));

        Assert.Equal(seen[0], seen[1]);
        Assert.NotEqual(seen[0].Item2, seen[0].Item3);
        Assert.Equal(5, seen[0].Item2.Version);
    }

    [Fact]
    public void A_log_line_is_written_once_though_its_code_runs_in_every_turn()
    {
        using var lines = new Lines();
        var history = new History(new Flow<string?, string>(async (context, _) =>
        {
            context.CreateReplaySafeLogger<WhenAWorkflowReplays>().LogInformation("before");
            await context.CallActivityAsync("A");
            context.CreateReplaySafeLogger<WhenAWorkflowReplays>().LogInformation("after");
            await context.CallActivityAsync("B");
            return "";
        }), lines);
        history.Turn(Started());
        history.Turn(Completed(0));
        history.Turn(Completed(1));

        Assert.Equal(["before", "after"], lines.Written);
    }

    [Fact]
    public void The_custom_status_goes_out_with_every_turn()
    {
        var history = Flow.Of(async context =>
        {
            context.SetCustomStatus(new { Step = "reserving" });
            await context.CallActivityAsync("A");
            await context.CallActivityAsync("B");
            return "";
        });
        history.Turn(Started());
        history.Turn(Completed(0));

        Assert.Equal("""{"step":"reserving"}""", history.CustomStatus);
    }

    [Theory]
    [InlineData(1, 5)]
    [InlineData(2, 10)]
    [InlineData(3, 12)]
    public void Waits_grow_by_the_coefficient_up_to_the_longest(int failures, int seconds)
    {
        var policy = new WorkflowTaskOptions(new WorkflowRetryPolicy(9, TimeSpan.FromSeconds(5), 2, TimeSpan.FromSeconds(12)));
        var history = Flow.Of(context => context.CallActivityAsync<string>("A", null, policy));
        history.Turn(Started());
        var at = DateTime.MinValue;
        WorkflowAction timer = new();
        for (var n = 0; n < failures; n++)
        {
            timer = history.Only(Failed(2 * n));
            at = new DateTime(2026, 1, 1, 0, 0, 2 + (2 * n), DateTimeKind.Utc);
            history.Turn(Fired(timer.Id));
        }

        Assert.Equal(TimeSpan.FromSeconds(seconds), timer.CreateTimer.FireAt.ToDateTime() - at);
    }

    private sealed class Lines : ILoggerFactory, ILogger
    {
        public List<string> Written { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider)
        {
        }

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Written.Add(formatter(state, exception));

        public void Dispose()
        {
        }
    }
}
