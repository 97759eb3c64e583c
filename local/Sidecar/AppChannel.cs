using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Marketplace.Local.Sidecar;

/// <summary>
/// The way to one app instance. It waits for the app's port, then for its first good probe when probes are on, and notices at once when the
/// process dies: an idle connection to the app is kept open only to see it close.
/// </summary>
public sealed partial class AppChannel(SidecarApp app, string? appToken, ILogger log) : IAsyncDisposable
{
    private static readonly TimeSpan DialInterval = TimeSpan.FromMilliseconds(100);
    private static readonly HttpMessageInvoker Shared = new(new SocketsHttpHandler
    {
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = false,
        AutomaticDecompression = DecompressionMethods.None,
        ActivityHeadersPropagator = null,
        EnableMultipleHttp2Connections = true,
        ConnectTimeout = TimeSpan.FromSeconds(5),
        PooledConnectionIdleTimeout = TimeSpan.FromSeconds(60),
        MaxResponseHeadersLength = 64,
    });

    private readonly CancellationTokenSource stop = new();
    private readonly SemaphoreSlim suspected = new(0, 1);
    private readonly SemaphoreSlim? slots = app.MaxConcurrency > 0 ? new SemaphoreSlim(app.MaxConcurrency) : null;
    private TaskCompletionSource healthy = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task watching = Task.CompletedTask;

    /// <summary>Scheme, host and port of the app, without a trailing slash; null when the app has no port.</summary>
    public string? BaseAddress { get; } = app.AppPort is { } port ? $"{(app.AppProtocol is "https" or "grpcs" ? "https" : "http")}://127.0.0.1:{port}" : null;

    /// <summary>The pooled client; requests need an absolute address.</summary>
    public HttpMessageInvoker Client => Shared;

    public string? AppToken => appToken;

    /// <summary>The app accepted a connection at least once.</summary>
    public bool PortOpened { get; private set; }

    public bool IsHealthy { get; private set; }

    /// <summary>Ends when the app is healthy; a new task after it was lost.</summary>
    public Task WhenHealthyAsync(CancellationToken ct) => Volatile.Read(ref healthy).Task.WaitAsync(ct);

    /// <summary>
    /// Sends a request to the app. <paramref name="path"/> starts with a slash; the content may be null.
    /// The caller disposes the response. Adds the app token and the trace of the current activity.
    /// </summary>
    public Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent? content, CancellationToken ct) =>
        SendAsync(Request(method, path, content), ct);

    /// <summary>A request to the app with its token and a trace, for callers that add headers of their own.</summary>
    public HttpRequestMessage Request(HttpMethod method, string path, HttpContent? content = null)
    {
        var request = new HttpRequestMessage(method, BaseAddress + path)
        {
            Content = content,
            Version = app.AppProtocol == "h2c" ? HttpVersion.Version20 : HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        if (appToken is not null) request.Headers.TryAddWithoutValidation("dapr-api-token", appToken);
        if (Activity.Current is { IdFormat: ActivityIdFormat.W3C } activity) request.Headers.TryAddWithoutValidation("traceparent", activity.Id);
        return request;
    }

    /// <summary>Sends what <see cref="Request"/> made. A refused connection also wakes the watch, so that the app soon counts as lost.</summary>
    public async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken ct)
    {
        if (slots is not null) await slots.WaitAsync(ct);
        try
        {
            return await Shared.SendAsync(request, ct);
        }
        catch (HttpRequestException e) when (e.HttpRequestError == HttpRequestError.ConnectionError)
        {
            Suspect();
            throw;
        }
        finally
        {
            slots?.Release();
        }
    }

    /// <summary>Waits for a free place among the calls at a time that the app allows; dispose the result to leave it.</summary>
    public async ValueTask<Slot> EnterAsync(CancellationToken ct)
    {
        if (slots is null) return default;
        await slots.WaitAsync(ct);
        return new Slot(slots);
    }

    /// <summary>A call failed to connect: look whether the app is still there.</summary>
    public void Suspect()
    {
        if (suspected.CurrentCount > 0) return;
        try
        {
            suspected.Release();
        }
        catch (SemaphoreFullException)
        {
            // Two calls failed at once; the watch is awake already.
            Debug.Assert(suspected.CurrentCount > 0);
        }
    }

    internal void Start(Func<bool, CancellationToken, Task> changed)
    {
        if (app.AppPort is { } port)
            watching = WatchAsync(port, changed, stop.Token);
    }

    /// <summary>Looks after the app no longer and counts it as lost, without telling anybody.</summary>
    internal async Task LeaveAsync()
    {
        await stop.CancelAsync();
        await watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        IsHealthy = false;
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stop.Dispose();
        suspected.Dispose();
        slots?.Dispose();
    }

    private async Task WatchAsync(int port, Func<bool, CancellationToken, Task> changed, CancellationToken ct)
    {
        await Task.Yield();
        while (true)
        {
            using var line = await DialAsync(port, ct);
            PortOpened = true;
            await ProbeAsync(line, port, changed, ct);
        }
    }

    private static async Task<Socket> DialAsync(int port, CancellationToken ct)
    {
        while (true)
        {
            if (await TryDialAsync(port, ct) is { } line) return line;
            await Task.Delay(DialInterval, ct);
        }
    }

    private static async Task<Socket?> TryDialAsync(int port, CancellationToken ct)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(IPAddress.Loopback, port, ct);

            // A free ephemeral port may connect to itself; nobody listens there.
            if (!Equals(socket.LocalEndPoint, socket.RemoteEndPoint)) return socket;
            socket.Dispose();
            return null;
        }
        catch (SocketException)
        {
            socket.Dispose();
            return null;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>From an open port until it is gone.</summary>
    private async Task ProbeAsync(Socket line, int port, Func<bool, CancellationToken, Task> changed, CancellationToken ct)
    {
        var failures = 0;
        var current = line;
        try
        {
            var closed = ClosedAsync(current, ct);
            if (app.HealthCheck is null) await ChangeAsync(true, changed, ct);

            while (true)
            {
                // The first probes come quickly: daprd starts unhealthy and one success is enough.
                if (app.HealthCheck is { } check)
                {
                    if (await IsWellAsync(check, ct))
                    {
                        failures = 0;
                        await ChangeAsync(true, changed, ct);
                    }
                    else if (++failures >= check.Threshold)
                    {
                        await ChangeAsync(false, changed, ct);
                    }
                }

                var pause = app.HealthCheck is null ? Timeout.InfiniteTimeSpan : IsHealthy ? app.HealthCheck.Interval : Min(app.HealthCheck.Interval, DialInterval);
                if (await WokenAsync(closed, pause, ct) == Wake.Pause) continue;

                // The app closed our idle line, or a call could not connect. Servers close idle lines; only a refused new one means that it is gone.
                var next = await TryDialAsync(port, ct);
                if (next is null)
                {
                    await ChangeAsync(false, changed, ct);
                    return;
                }

                if (!ReferenceEquals(current, line)) current.Dispose();
                current = next;
                var wasClosed = closed.IsCompleted;
                closed = ClosedAsync(current, ct);
                if (wasClosed) await Task.Delay(DialInterval, ct);
            }
        }
        finally
        {
            if (!ReferenceEquals(current, line)) current.Dispose();
        }
    }

    private enum Wake { Pause, Look }

    private async Task<Wake> WokenAsync(Task closed, TimeSpan pause, CancellationToken ct)
    {
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var suspicion = suspected.WaitAsync(pause, enough.Token);
        var first = await Task.WhenAny(closed, suspicion);
        ct.ThrowIfCancellationRequested();
        if (first == suspicion) return await suspicion ? Wake.Look : Wake.Pause;

        await enough.CancelAsync();
        await ((Task)suspicion).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return Wake.Look;
    }

    private static async Task ClosedAsync(Socket line, CancellationToken ct)
    {
        var nothing = new byte[1];
        try
        {
            await line.ReceiveAsync(nothing, SocketFlags.None, ct);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // Reset by a dying process, or replaced by a new line: closed either way.
            return;
        }
    }

    private async Task<bool> IsWellAsync(AppHealthCheck check, CancellationToken ct)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(check.Timeout);
        try
        {
            using var request = Request(HttpMethod.Get, check.Path);
            using var response = await Shared.SendAsync(request, limit.Token);
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            return false;
        }
    }

    private async Task ChangeAsync(bool well, Func<bool, CancellationToken, Task> changed, CancellationToken ct)
    {
        if (IsHealthy == well) return;
        IsHealthy = well;
        if (well)
        {
            LogHealthy(app.AppId, app.AppPort);
            Volatile.Read(ref healthy).TrySetResult();
        }
        else
        {
            LogLost(app.AppId, app.AppPort);
            Volatile.Write(ref healthy, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        await changed(well, ct);
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;

    [LoggerMessage(LogLevel.Debug, "{AppId} on port {Port} is healthy")]
    private partial void LogHealthy(string appId, int? port);

    [LoggerMessage(LogLevel.Debug, "{AppId} on port {Port} is lost")]
    private partial void LogLost(string appId, int? port);

    public readonly struct Slot(SemaphoreSlim? slots) : IDisposable
    {
        public void Dispose() => slots?.Release();
    }
}
