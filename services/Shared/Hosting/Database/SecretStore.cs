using Dapr;
using Dapr.Client;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;

namespace Marketplace.Hosting;

/// <summary>The Dapr secret store. Configuration <c>Secrets:&lt;key&gt;</c> stands in for it in tests.</summary>
public sealed partial class SecretStore(DaprClient dapr, IConfiguration configuration, ILogger<SecretStore> log)
{
    /// <summary>The component's name, the same in every set under <c>components/</c>.</summary>
    public const string Name = "secrets";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>Waits for a sidecar that is still starting: it answers before this app listens, so asking it during start-up is safe.</summary>
    public async Task<string> GetAsync(string key, CancellationToken ct)
    {
        if (configuration[$"Secrets:{key}"] is { } given)
            return given;

        var delay = TimeSpan.FromMilliseconds(100);
        var started = Environment.TickCount64;
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var secret = await dapr.GetSecretAsync(Name, key, cancellationToken: ct);
                if (secret.TryGetValue(key, out var value))
                    return value;
                throw new InvalidOperationException($"The secret store '{Name}' has no key '{key}'.");
            }
            catch (DaprException failed)
            {
                var reason = failed.InnerException is Grpc.Core.RpcException call ? $"{call.StatusCode}: {call.Status.Detail}" : failed.Message;
                if (Environment.TickCount64 - started > Patience.TotalMilliseconds)
                    throw new TimeoutException($"The sidecar's secret store '{Name}' did not give '{key}' within {Patience.TotalMinutes} minutes ({reason}).", failed);
                if (attempt % 8 == 3)
                    LogWaiting(Name, key, reason);
                await Task.Delay(delay, ct);
                delay = delay < TimeSpan.FromSeconds(2) ? delay * 1.5 : delay;
            }
        }
    }

    [LoggerMessage(LogLevel.Information, "Waiting for the sidecar's secret store '{Store}' to give '{Key}' ({Reason})")]
    private partial void LogWaiting(string store, string key, string reason);
}
