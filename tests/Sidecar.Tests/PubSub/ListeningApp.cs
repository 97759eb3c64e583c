using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>An app instance with Dapr.AspNetCore in it, as our services have. It writes down every event before its handler sees it.</summary>
internal sealed class ListeningApp : IAsyncDisposable
{
    private readonly Action<WebApplication> map;
    private WebApplication? server;

    public ListeningApp(string appId, Action<WebApplication> map)
    {
        AppId = appId;
        this.map = map;
    }

    public string AppId { get; }
    public int Port { get; } = Ports.Free();
    public AppHealthCheck? HealthCheck { get; init; }
    public bool IsUp => server is not null;
    public ConcurrentQueue<Arrival> Arrivals { get; } = new();

    public IReadOnlyList<Arrival> At(string path) => [.. Arrivals.Where(arrival => arrival.Path == path)];

    public async Task StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, Port));
        server = builder.Build();
        server.Use(async (http, next) =>
        {
            if (HttpMethods.IsPost(http.Request.Method)) Arrivals.Enqueue(await Arrival.ReadAsync(http));
            await next(http);
        });
        server.UseCloudEvents();
        server.MapSubscribeHandler();
        map(server);
        await server.StartAsync();
    }

    /// <summary>Gone at once, as a killed process: connections are cut, nothing is answered any more.</summary>
    public async Task DieAsync()
    {
        if (server is null) return;
        using var now = new CancellationTokenSource(TimeSpan.Zero);
        await server.StopAsync(now.Token);
        await server.DisposeAsync();
        server = null;
    }

    public ValueTask DisposeAsync() => new(DieAsync());
}

/// <summary>One request of the sidecar: the envelope as it came.</summary>
internal sealed record Arrival(string Path, JsonElement Envelope, IReadOnlyDictionary<string, string> Headers, DateTimeOffset At)
{
    public string Id => Envelope.GetProperty("id").GetString()!;
    public JsonElement Data => Envelope.GetProperty("data");

    public static async Task<Arrival> ReadAsync(HttpContext http)
    {
        http.Request.EnableBuffering();
        using var document = await JsonDocument.ParseAsync(http.Request.Body);
        http.Request.Body.Position = 0;
        return new Arrival(http.Request.Path, document.RootElement.Clone(), http.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString()), DateTimeOffset.UtcNow);
    }
}
