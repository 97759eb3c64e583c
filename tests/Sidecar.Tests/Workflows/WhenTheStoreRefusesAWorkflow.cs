using Dapr.Workflow;
using Marketplace.TestKit;
using Npgsql;
using Xunit;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>State that the store will never take, here for a constraint on its table, is the end of that workflow and of no other.</summary>
public sealed class WhenTheStoreRefusesAWorkflow : IClassFixture<PostgresFixture>, IAsyncLifetime
{
    private static readonly CancellationToken Ct = TestContext.Current.CancellationToken;
    private WorkflowHost host = null!;
    private WorkerApp app = null!;

    public async ValueTask InitializeAsync()
    {
        var address = await TestDatabase.CreateAsync();
        host = await WorkflowHost.StartAsync(address);
        await using (var database = NpgsqlDataSource.Create(address))
        await using (var constrain = database.CreateCommand("ALTER TABLE state ADD CONSTRAINT short CHECK (octet_length(value) < 20000)"))
            await constrain.ExecuteNonQueryAsync(Ct);
        app = await WorkerApp.StartAsync(host.GrpcPort, options =>
        {
            options.RegisterActivity<string, string>("Echo", (_, text) => Task.FromResult(text));
            options.RegisterWorkflow<int, int>("Growing", async (context, size) =>
            {
                await context.CallActivityAsync<string>("Echo", "small");
                return (await context.CallActivityAsync<string>("Echo", new string('x', size))).Length;
            });
            options.RegisterWorkflow<int, string>("Parent", async (context, size) =>
            {
                try
                {
                    return $"{await context.CallChildWorkflowAsync<int>("Growing", size)}";
                }
                catch (WorkflowTaskFailedException e)
                {
                    return e.FailureDetails.ErrorMessage;
                }
            });
        });
    }

    public async ValueTask DisposeAsync()
    {
        await app.DisposeAsync();
        await host.DisposeAsync();
    }

    [Fact]
    public async Task It_ends_as_failed_and_the_others_go_on()
    {
        var ids = new List<string>();
        for (var i = 0; i < 40; i++)
            ids.Add(await app.Client.ScheduleNewWorkflowAsync("Growing", input: i == 20 ? 30_000 : i));
        for (var i = 0; i < 40; i++)
        {
            var ended = await app.Client.WaitForWorkflowCompletionAsync(ids[i], cancellation: Ct);
            if (i != 20)
            {
                Assert.Equal(i, ended.ReadOutputAs<int>());
                continue;
            }

            Assert.Equal(WorkflowRuntimeStatus.Failed, ended.RuntimeStatus);
            Assert.Contains("refused the workflow's state", ended.FailureDetails!.ErrorMessage, StringComparison.Ordinal);
        }

        // The end is stored: a host that starts anew knows it and takes nothing up.
        await app.DisposeAsync();
        await host.DownAsync();
        await host.UpAsync();
        app = await WorkerApp.StartAsync(host.GrpcPort, _ => { });
        Assert.Equal(WorkflowRuntimeStatus.Failed, (await app.Client.GetWorkflowStateAsync(ids[20], cancellation: Ct))!.RuntimeStatus);
    }

    [Fact]
    public async Task A_start_that_cannot_be_stored_is_an_error_to_the_caller()
    {
        var error = await Assert.ThrowsAnyAsync<Exception>(() => app.Client.ScheduleNewWorkflowAsync("Growing", input: new string('x', 30_000)));
        Assert.Contains("refused the workflow's state", error.ToString(), StringComparison.Ordinal);
        Assert.Equal(1, await OneAsync());
    }

    [Fact]
    public async Task A_parent_hears_that_its_child_failed()
    {
        var id = await app.Client.ScheduleNewWorkflowAsync("Parent", input: 30_000);
        Assert.Contains("refused the workflow's state", (await app.Client.WaitForWorkflowCompletionAsync(id, cancellation: Ct)).ReadOutputAs<string>(), StringComparison.Ordinal);
    }

    private async Task<int> OneAsync() =>
        (await app.Client.WaitForWorkflowCompletionAsync(await app.Client.ScheduleNewWorkflowAsync("Growing", input: 1), cancellation: Ct)).ReadOutputAs<int>();
}
