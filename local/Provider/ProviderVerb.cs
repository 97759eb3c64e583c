using System.Runtime.InteropServices;

namespace Marketplace.Local.Provider;

/// <summary><c>provider --port N --data folder --webhook url --webhook-secret secret</c></summary>
public static class ProviderVerb
{
    public static async Task<int> RunAsync(string[] args)
    {
        var settings = new ConfigurationBuilder().AddCommandLine(args[1..]).Build();
        if (settings["data"] is not { Length: > 0 } folder || !int.TryParse(settings["port"], out var port))
        {
            await Console.Error.WriteLineAsync("usage: provider --port <port> --data <folder> [--webhook <url> --webhook-secret <secret>]");
            return 2;
        }

        using var stop = new CancellationTokenSource();
        void Stop(PosixSignalContext signal)
        {
            signal.Cancel = true;
            stop.Cancel();
        }

        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        await using var host = await ProviderHost.StartAsync(
            new ProviderOptions(port, folder, settings["webhook"] is { Length: > 0 } url ? new Uri(url) : null, settings["webhook-secret"] ?? ""), stop.Token);
        Console.WriteLine($"payment provider double on {host.Address}");
        await Task.Delay(Timeout.InfiniteTimeSpan, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return 0;
    }
}
