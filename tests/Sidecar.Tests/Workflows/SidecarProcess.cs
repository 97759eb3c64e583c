using System.Diagnostics;
using Grpc.Core;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>The host as a process of its own, which a test may kill.</summary>
internal sealed class SidecarProcess : IAsyncDisposable
{
    private readonly string planFile;
    private readonly SidecarPlan plan;
    private Process? process;

    public SidecarProcess(SidecarPlan plan)
    {
        this.plan = plan;
        planFile = Path.Combine(plan.DataFolder, "plan.json");
        plan.Write(planFile);
    }

    public async Task StartAsync()
    {
        process = Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Local.dll"), "sidecars", "--plan", planFile]))!;
        await using var client = ScriptedWorker.ClientOnly(plan.Apps[0].GrpcPort);
        await Eventually.Async(
            async () =>
            {
                try
                {
                    await client.Client.HelloAsync(new Google.Protobuf.WellKnownTypes.Empty());
                    return true;
                }
                catch (RpcException)
                {
                    return false;
                }
            },
            "the sidecar host answers",
            TimeSpan.FromSeconds(60));
    }

    /// <summary>SIGKILL: no goodbye to anybody.</summary>
    public async Task KillAsync()
    {
        process!.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
        process = null;
    }

    public async ValueTask DisposeAsync()
    {
        if (process is not null) await KillAsync();
    }
}
