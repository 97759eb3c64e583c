using System.Collections.Concurrent;
using Dapr.Workflow;
using Grpc.Core;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>Many workflows are under way when the host dies, several times over.</summary>
public sealed class WhenTheHostIsKilledUnderLoad(PostgresFixture postgres) : IClassFixture<PostgresFixture>
{
    private const int Workflows = 200;
    private const int Steps = 5;

    [Fact]
    public async Task Every_workflow_ends_right_and_every_step_had_its_effect()
    {
        Assert.NotNull(postgres);
        await using var host = WorkflowHost.Prepare(await TestDatabase.CreateAsync(), ["shop"]);
        await using var process = new SidecarProcess(host.Plan);
        await process.StartAsync();
        var effects = new ConcurrentDictionary<string, int>();
        await using var app = await WorkerApp.StartAsync(host.GrpcPort, options =>
        {
            options.RegisterActivity<string, int>("Effect", async (_, key) =>
            {
                await Task.Yield();
                effects.AddOrUpdate(key, 1, (_, n) => n + 1);
                return int.Parse(key[^1..], System.Globalization.CultureInfo.InvariantCulture);
            });
            options.RegisterWorkflow<int, int>("Steps", async (context, number) =>
            {
                var sum = 0;
                for (var i = 0; i < Steps; i++)
                {
                    sum += await context.CallActivityAsync<int>("Effect", $"{number}-{i}");
                    if (i == 2) await context.CreateTimer(TimeSpan.FromMilliseconds(200));
                }

                return sum;
            });
        });

        var all = Enumerable.Range(0, Workflows).Select(number => RunAsync(app.Client, number)).ToList();
        for (var kill = 1; kill <= 3; kill++)
        {
            var enough = kill * Workflows * Steps / 5;
            await Eventually.Async(() => effects.Count >= enough, $"{enough} effects", TimeSpan.FromSeconds(60));
            await process.KillAsync();
            await process.StartAsync();
        }

        Assert.All(await Task.WhenAll(all), sum => Assert.Equal(0 + 1 + 2 + 3 + 4, sum));
        Assert.Equal(Workflows * Steps, effects.Count);
    }

    /// <summary>As the outbox relay does it: start until the start is known, then wait.</summary>
    private static async Task<int> RunAsync(DaprWorkflowClient client, int number)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        await Eventually.Async(
            async () =>
            {
                try
                {
                    await client.ScheduleNewWorkflowAsync("Steps", $"steps-{number}", number, cancellation: limit.Token);
                    return true;
                }
                catch (RpcException e)
                {
                    return e.StatusCode == StatusCode.AlreadyExists;
                }
            },
            $"steps-{number} is known to have started",
            TimeSpan.FromSeconds(120));
        return (await client.WaitForWorkflowCompletionAsync($"steps-{number}", cancellation: limit.Token)).ReadOutputAs<int>();
    }
}
