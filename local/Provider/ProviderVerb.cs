namespace Marketplace.Local.Provider;

/// <summary><c>provider --port N --data folder --webhook url --webhook-secret secret</c></summary>
public static class ProviderVerb
{
    public static async Task<int> RunAsync(string[] args, CancellationToken ct = default)
    {
        var settings = new ConfigurationBuilder().AddCommandLine(args[1..]).Build();
        if (settings["data"] is not { Length: > 0 } folder || !int.TryParse(settings["port"], out var port))
        {
            await Console.Error.WriteLineAsync("usage: provider --port <port> --data <folder> [--webhook <url> --webhook-secret <secret>]");
            return 2;
        }

        var options = new ProviderOptions(port, folder, settings["webhook"] is { Length: > 0 } url ? new Uri(url) : null, settings["webhook-secret"] ?? "");
        await using var host = await ProviderHost.StartAsync(options, ct);
        Console.WriteLine($"Payment provider double on {host.Address}");
        await host.WaitForShutdownAsync(ct);
        return 0;
    }
}
