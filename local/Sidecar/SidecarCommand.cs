using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar;

/// <summary>The verb <c>sidecars --plan file</c>: runs until SIGINT, SIGTERM or until every app asked its sidecar to shut down.</summary>
public static class SidecarCommand
{
    public static async Task<int> RunAsync(string[] args)
    {
        if (args is not [_, "--plan", var file])
        {
            Console.Error.WriteLine("usage: sidecars --plan <file.json>");
            return 2;
        }

        using var stop = new CancellationTokenSource();
        using var terminate = System.Runtime.InteropServices.PosixSignalRegistration.Create(System.Runtime.InteropServices.PosixSignal.SIGTERM, Stop);
        using var interrupt = System.Runtime.InteropServices.PosixSignalRegistration.Create(System.Runtime.InteropServices.PosixSignal.SIGINT, Stop);
        try
        {
            await using var host = await SidecarHost.StartAsync(SidecarPlan.Read(file), ct: stop.Token);
            Console.WriteLine($"sidecars of {host.Instances.Count} apps are up, control port {host.ControlPort}");
            await host.StoppedAsync(stop.Token);
            return 0;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return 0;
        }
        catch (Exception e) when (e is ResourceException or IOException or InvalidDataException or UnauthorizedAccessException or System.Text.Json.JsonException)
        {
            Console.Error.WriteLine(e.Message);
            return 1;
        }

        void Stop(System.Runtime.InteropServices.PosixSignalContext signal)
        {
            signal.Cancel = true;
            stop.Cancel();
        }
    }
}
