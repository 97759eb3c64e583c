using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Marketplace.Sidecar.Tests;

/// <summary>A tiny real app behind a sidecar, on a free port of this process.</summary>
public sealed class TestApp : IAsyncDisposable
{
    private readonly WebApplication server;

    private TestApp(WebApplication server, int port)
    {
        this.server = server;
        Port = port;
    }

    public int Port { get; }

    public static async Task<TestApp> StartAsync(Action<WebApplication> map, int? port = null, Action<IServiceCollection>? services = null)
    {
        var chosen = port ?? Ports.Free();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{chosen}");
        services?.Invoke(builder.Services);
        var server = builder.Build();
        map(server);
        await server.StartAsync();
        return new TestApp(server, chosen);
    }

    public async ValueTask DisposeAsync()
    {
        using var soon = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await server.StopAsync(soon.Token);
        await server.DisposeAsync();
    }
}
