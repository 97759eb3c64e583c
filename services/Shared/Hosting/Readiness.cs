using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Npgsql;

namespace Marketplace.Hosting;

/// <summary>A further condition of a service for taking traffic: null when met, else what is missing.</summary>
public sealed record ReadinessCheck(string Name, Func<CancellationToken, Task<string?>> LookAsync);

/// <summary>
/// <c>/livez</c>: the process answers. <c>/readyz</c>: its database and its sidecar do too, and it is not shutting down: on a stop
/// readiness fails first, then the server finishes what it has taken on.
/// </summary>
internal sealed class Readiness(
    IServiceProvider services, IConfiguration configuration, IHttpClientFactory http, IEnumerable<ReadinessCheck> others) : IHostedLifecycleService
{
    public const string HttpClientName = "sidecar-health";
    private volatile bool stopping;

    public async Task<(bool Ready, Dictionary<string, string> Checks)> LookAsync(CancellationToken ct)
    {
        var checks = new Dictionary<string, string>();
        if (stopping)
            checks["process"] = "stopping";
        if (services.GetService<NpgsqlDataSource>() is { } database)
            checks["database"] = await DatabaseAsync(database, ct) ?? "ok";
        if (configuration.GetValue("Health:Sidecar", true))
            checks["sidecar"] = await SidecarAsync(ct) ?? "ok";
        foreach (var other in others)
            checks[other.Name] = await other.LookAsync(ct) ?? "ok";
        return (checks.Values.All(state => state == "ok"), checks);
    }

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        stopping = true;
        // Whoever balances load needs a moment to see it. Zero locally, a few seconds where a probe decides about traffic.
        await Task.Delay(configuration.GetValue("Shutdown:ReadinessDelay", TimeSpan.Zero), cancellationToken);
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private static async Task<string?> DatabaseAsync(NpgsqlDataSource database, CancellationToken ct)
    {
        try
        {
            await using var command = database.CreateCommand("SELECT 1");
            command.CommandTimeout = 2;
            await command.ExecuteScalarAsync(ct);
            return null;
        }
        catch (NpgsqlException)
        {
            return "no answer";
        }
    }

    private async Task<string?> SidecarAsync(CancellationToken ct)
    {
        try
        {
            using var response = await http.CreateClient(HttpClientName).GetAsync(new Uri($"{Sidecar.HttpAddress(configuration)}/v1.0/healthz/outbound"), ct);
            return response.IsSuccessStatusCode ? null : $"status {(int)response.StatusCode}";
        }
        catch (Exception absent) when (absent is HttpRequestException or TaskCanceledException && !ct.IsCancellationRequested)
        {
            return "no answer";
        }
    }
}

public static class ReadinessRoutes
{
    public static void MapReadiness(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/livez", () => TypedResults.Ok(new { status = "alive" })).AllowAnonymous().ExcludeFromDescription();
        routes.MapGet("/readyz", async (Readiness readiness, CancellationToken ct) =>
        {
            var (ready, checks) = await readiness.LookAsync(ct);
            return ready
                ? (IResult)TypedResults.Ok(new { status = "ready", checks })
                : Problems.Of(StatusCodes.Status503ServiceUnavailable, "not-ready", "Not ready to take requests.",
                    extensions: new Dictionary<string, object?> { ["checks"] = checks });
        }).AllowAnonymous().ExcludeFromDescription();
    }
}
