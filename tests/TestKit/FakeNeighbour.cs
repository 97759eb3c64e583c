using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Marketplace.TestKit;

/// <summary>
/// Another service, as far as a test announces it. A call nobody announced is answered 501 and fails the test when the neighbour is
/// disposed of, so that no test passes by accident of a forgotten call.
/// </summary>
public sealed class FakeNeighbour : IAsyncDisposable
{
    private readonly WebApplication server;
    private readonly List<Announced> announced = [];
    private readonly Lock gate = new();
    private readonly ConcurrentQueue<FakeCall> calls = new();
    private readonly ConcurrentQueue<FakeCall> unannounced = new();
    private bool disposed;

    private FakeNeighbour(WebApplication server) => this.server = server;

    public Uri Address { get; private set; } = new("http://127.0.0.1");

    public IReadOnlyList<FakeCall> Calls => [.. calls];

    public static async Task<FakeNeighbour> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var server = builder.Build();
        var neighbour = new FakeNeighbour(server);
        server.Run(neighbour.AnswerAsync);
        await server.StartAsync();
        neighbour.Address = new Uri(server.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
        return neighbour;
    }

    /// <summary>A later announcement of the same call replaces the earlier one. A path may end in <c>*</c>.</summary>
    public FakeNeighbour On(HttpMethod method, string path, Func<FakeCall, Task<FakeReply>> reply)
    {
        lock (gate)
        {
            announced.RemoveAll(known => known.Method == method.Method && known.Path == path);
            announced.Insert(0, new Announced(method.Method, path, reply));
        }

        return this;
    }

    public FakeNeighbour On(HttpMethod method, string path, Func<FakeCall, FakeReply> reply) => On(method, path, call => Task.FromResult(reply(call)));

    public FakeNeighbour On(HttpMethod method, string path, object body) => On(method, path, _ => FakeReply.Ok(body));

    /// <summary>For a test whose subject is the unexpected call.</summary>
    public IReadOnlyList<FakeCall> TakeUnannounced()
    {
        var taken = new List<FakeCall>();
        while (unannounced.TryDequeue(out var call))
            taken.Add(call);
        return taken;
    }

    public async ValueTask DisposeAsync()
    {
        if (disposed)
            return;
        disposed = true;
        await server.DisposeAsync();
        Assert.True(unannounced.IsEmpty, $"Calls nobody announced: {string.Join(", ", unannounced.Select(call => $"{call.Method} {call.Path}"))}");
    }

    private async Task AnswerAsync(HttpContext http)
    {
        using var reader = new StreamReader(http.Request.Body);
        var call = new FakeCall(
            http.Request.Method,
            http.Request.Path.Value ?? "/",
            http.Request.QueryString.Value ?? "",
            await reader.ReadToEndAsync(),
            http.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase));
        calls.Enqueue(call);

        Announced? match;
        lock (gate)
            match = announced.Find(known => known.Fits(call));
        if (match is null)
        {
            unannounced.Enqueue(call);
            http.Response.StatusCode = StatusCodes.Status501NotImplemented;
            return;
        }

        var reply = await match.Reply(call);
        if (reply.Abort)
        {
            http.Abort();
            return;
        }

        http.Response.StatusCode = reply.Status;
        foreach (var (name, value) in reply.Headers ?? new Dictionary<string, string>())
            http.Response.Headers[name] = value;
        if (reply.Body is not null)
            await http.Response.WriteAsJsonAsync(reply.Body, reply.Body.GetType(), JsonSerializerOptions.Web);
    }

    private sealed record Announced(string Method, string Path, Func<FakeCall, Task<FakeReply>> Reply)
    {
        public bool Fits(FakeCall call) => Method == call.Method
            && (Path.EndsWith('*') ? call.Path.StartsWith(Path[..^1], StringComparison.Ordinal) : call.Path == Path);
    }
}

public sealed record FakeCall(string Method, string Path, string Query, string Body, IReadOnlyDictionary<string, string> Headers)
{
    public T Read<T>() => JsonSerializer.Deserialize<T>(Body, JsonSerializerOptions.Web)!;
}

/// <param name="Abort">The connection breaks instead of an answer.</param>
public sealed record FakeReply(int Status, object? Body = null, IReadOnlyDictionary<string, string>? Headers = null, bool Abort = false)
{
    public static FakeReply Ok(object body) => new(StatusCodes.Status200OK, body);

    public static FakeReply Broken { get; } = new(0, Abort: true);
}
