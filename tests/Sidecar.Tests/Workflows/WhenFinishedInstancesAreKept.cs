using Dapr.Workflow.Protocol;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.Workflows;

public sealed class WhenFinishedInstancesAreKept(PostgresFixture postgres) : IClassFixture<PostgresFixture>
{
    private const string Configuration = """
        apiVersion: dapr.io/v1alpha1
        kind: Configuration
        metadata: { name: appconfig }
        spec:
          workflow:
            stateRetentionPolicy:
              anyTerminal: 1h
              completed: 500ms
        """;

    [Fact]
    public async Task Each_goes_when_the_policy_of_its_status_says_also_over_a_restart()
    {
        Assert.NotNull(postgres);
        await using var host = await WorkflowHost.StartAsync(await TestDatabase.CreateAsync(), configuration: Configuration);
        var worker = await ScriptedWorker.ConnectAsync(host.GrpcPort);
        await worker.BeginAsync("completed", Do.Complete());
        await worker.BeginAsync("failed", Do.Fail("Broken"));
        await worker.CompletionAsync("failed");
        await worker.DisposeAsync();
        await host.DownAsync();

        await host.UpAsync();
        await using var later = ScriptedWorker.ClientOnly(host.GrpcPort);
        await Eventually.Async(async () => await later.GetAsync("completed") is null, "the completed one is removed");
        Assert.Equal(OrchestrationStatus.Failed, (await later.GetAsync("failed")).WorkflowStatus);
        Assert.Equal(["failed"], (await later.Client.ListInstanceIDsAsync(new ListInstanceIDsRequest())).InstanceIds);
    }

    [Fact]
    public async Task A_new_run_under_the_id_is_not_removed_with_the_old()
    {
        await using var host = await WorkflowHost.StartAsync(configuration: Configuration);
        await using var worker = await ScriptedWorker.ConnectAsync(host.GrpcPort);
        await worker.BeginAsync("a", Do.Complete());
        await worker.CompletionAsync("a");
        await worker.BeginAsync("a");
        await worker.BeginAsync("b", Do.Complete());
        await Eventually.Async(async () => await worker.GetAsync("b") is null, "the other one is removed");
        Assert.Equal(OrchestrationStatus.Running, (await worker.GetAsync("a")).WorkflowStatus);
    }
}
