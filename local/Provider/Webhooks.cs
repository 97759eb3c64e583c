using System.Security.Cryptography;
using System.Text;

namespace Marketplace.Local.Provider;

/// <summary>
/// Sends each event until the endpoint answers 2xx, with growing pauses, a few at a time. What is outstanding is in the ledger, so a restart goes on with it.
/// </summary>
internal sealed partial class Webhooks : IAsyncDisposable
{
    private const int AtOnce = 4;
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(1);

    private readonly Ledger ledger;
    private readonly Weather weather;
    private readonly ProviderOptions options;
    private readonly TimeProvider time;
    private readonly ILogger<Webhooks> log;
    private readonly HttpClient http = new(new SocketsHttpHandler { MaxConnectionsPerServer = AtOnce }) { Timeout = TimeSpan.FromSeconds(10) };
    private readonly PriorityQueue<Delivery, DateTimeOffset> due = new();
    private readonly Lock gate = new();
    private readonly SemaphoreSlim wake = new(0);
    private readonly SemaphoreSlim slots = new(AtOnce);
    private readonly CancellationTokenSource stopping = new();
    private Task sending = Task.CompletedTask;
    private volatile int era;

    public Webhooks(Ledger ledger, Weather weather, ProviderOptions options, TimeProvider time, ILogger<Webhooks> log)
    {
        (this.ledger, this.weather, this.options, this.time, this.log) = (ledger, weather, options, time, log);
        http.DefaultRequestHeaders.UserAgent.ParseAdd("Stripe/1.0");
    }

    public void Start()
    {
        lock (ledger.Gate)
            Add(ledger.Undelivered);
        if (options.Webhook is not null)
            sending = SendAsync();
    }

    public void Add(IEnumerable<Happening> happenings)
    {
        var any = false;
        lock (gate)
        {
            foreach (var happening in happenings)
            {
                any = true;
                for (var copy = 0; copy < (weather.WebhooksDuplicated ? 2 : 1); copy++)
                {
                    var delay = weather.WebhookDelayMs + (weather.WebhooksReordered ? Random.Shared.Next(400) : 0);
                    due.Enqueue(new Delivery(happening, 0, era), time.GetUtcNow().AddMilliseconds(delay));
                }
            }
        }

        if (any)
            wake.Release();
    }

    /// <summary>Paused deliveries go on when the weather says so.</summary>
    public void Changed() => wake.Release();

    public void Forget()
    {
        lock (gate)
        {
            era++;
            due.Clear();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        await sending;
        http.Dispose();
        stopping.Dispose();
        wake.Dispose();
        slots.Dispose();
    }

    public static string Sign(string secret, long at, string body)
    {
        var mac = HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes($"{at}.{body}"));
        return $"t={at},v1={Convert.ToHexStringLower(mac)}";
    }

    private async Task SendAsync()
    {
        var running = new HashSet<Task>();
        try
        {
            while (true)
            {
                if (Next() is { } delivery)
                {
                    await slots.WaitAsync(stopping.Token);
                    running.RemoveWhere(task => task.IsCompleted);
                    running.Add(DeliverAsync(delivery));
                }
                else
                {
                    await wake.WaitAsync(UntilNext(), stopping.Token);
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            await Task.WhenAll(running);
        }
    }

    private Delivery? Next()
    {
        if (weather.WebhooksPaused)
            return null;
        lock (gate)
            return due.TryPeek(out _, out var at) && at <= time.GetUtcNow() ? due.Dequeue() : null;
    }

    private TimeSpan UntilNext()
    {
        if (weather.WebhooksPaused)
            return Timeout.InfiniteTimeSpan;
        lock (gate)
        {
            if (!due.TryPeek(out _, out var at))
                return Timeout.InfiniteTimeSpan;
            var wait = at - time.GetUtcNow();
            return wait < TimeSpan.FromMilliseconds(1) ? TimeSpan.FromMilliseconds(1) : wait;
        }
    }

    private async Task DeliverAsync(Delivery delivery)
    {
        try
        {
            if (await AnsweredAsync(delivery.Event))
            {
                lock (ledger.Gate)
                {
                    if (delivery.Era == era)
                        ledger.Commit(new Change { Delivered = delivery.Event.Id });
                }

                return;
            }

            var pause = TimeSpan.FromMilliseconds(Math.Min(500 * Math.Pow(2, delivery.Tries), LongestPause.TotalMilliseconds));
            lock (gate)
            {
                if (delivery.Era == era)
                    due.Enqueue(delivery with { Tries = delivery.Tries + 1 }, time.GetUtcNow() + pause);
            }

            wake.Release();
        }
        finally
        {
            slots.Release();
        }
    }

    private async Task<bool> AnsweredAsync(Happening happening)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, options.Webhook);
        request.Content = new StringContent(happening.Body, Encoding.UTF8, "application/json");
        request.Headers.TryAddWithoutValidation("Stripe-Signature", Sign(options.WebhookSecret, time.GetUtcNow().ToUnixTimeSeconds(), happening.Body));
        try
        {
            using var reply = await http.SendAsync(request, stopping.Token);
            if (reply.IsSuccessStatusCode)
                return true;
            LogRefused(happening.Id, happening.Type, (int)reply.StatusCode);
        }
        catch (Exception unreachable) when (unreachable is HttpRequestException or OperationCanceledException)
        {
            LogUnreachable(happening.Id, happening.Type, unreachable.Message);
        }

        return false;
    }

    [LoggerMessage(LogLevel.Warning, "Webhook {EventId} ({Type}) was answered {Status}; it will be sent again")]
    private partial void LogRefused(string eventId, string type, int status);

    [LoggerMessage(LogLevel.Warning, "Webhook {EventId} ({Type}) was not answered: {Reason}; it will be sent again")]
    private partial void LogUnreachable(string eventId, string type, string reason);

    private sealed record Delivery(Happening Event, int Tries, int Era);
}
