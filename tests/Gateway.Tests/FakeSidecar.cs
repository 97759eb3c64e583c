using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Marketplace.Gateway.Tests;

/// <summary>What arrived at the sidecar, as it was on the wire.</summary>
public sealed record Arrived(string Method, string Target, IReadOnlyDictionary<string, string> Headers, byte[] Body)
{
    public string? Header(string name) => Headers.GetValueOrDefault(name);
}

/// <summary>The gateway's own sidecar, as far as the gateway sees it: it notes what arrives and answers what the test says.</summary>
public sealed class FakeSidecar : IAsyncDisposable
{
    private readonly WebApplication server;
    private readonly ConcurrentQueue<Arrived> arrived = new();

    private FakeSidecar(WebApplication server) => this.server = server;

    public string Address { get; private set; } = "";

    public IReadOnlyList<Arrived> Arrived => [.. arrived];

    /// <summary>The answer to everything; a service's empty 200 unless the test says otherwise.</summary>
    public Func<HttpContext, Task> Answer { get; set; } = http => http.Response.WriteAsJsonAsync(new { ok = true });

    public static async Task<FakeSidecar> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = null);
        var sidecar = new FakeSidecar(builder.Build());
        sidecar.server.Run(sidecar.TakeAsync);
        await sidecar.server.StartAsync();
        sidecar.Address = sidecar.server.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        return sidecar;
    }

    public void Forget() => arrived.Clear();

    public ValueTask DisposeAsync() => server.DisposeAsync();

    private async Task TakeAsync(HttpContext http)
    {
        using var body = new MemoryStream();
        await http.Request.Body.CopyToAsync(body);
        arrived.Enqueue(new(
            http.Request.Method,
            http.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget,
            http.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase),
            body.ToArray()));
        await Answer(http);
    }
}

internal static class Answering
{
    public static Func<HttpContext, Task> Json(object body, string? cacheControl = null, string? etag = null, int status = 200) => async http =>
    {
        if (cacheControl is not null) http.Response.Headers.CacheControl = cacheControl;
        if (etag is not null) http.Response.Headers.ETag = etag;
        http.Response.StatusCode = status;
        await http.Response.WriteAsJsonAsync(body);
    };

    public static Func<HttpContext, Task> Text(int status, string contentType, string body) => async http =>
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = contentType;
        await http.Response.WriteAsync(body);
    };
}
