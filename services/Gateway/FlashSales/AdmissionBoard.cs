using System.Collections.Frozen;
using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;
using Marketplace.WaitingRoom;
using Microsoft.Extensions.Options;

namespace Marketplace.Gateway.FlashSales;

/// <summary>How far admission has come, by the service's clock.</summary>
/// <param name="Sales">Null when it is not known, or was known too long ago to tell anybody anything.</param>
/// <param name="Now">The service's time, or ours where it never answered.</param>
/// <param name="IsStale">The service could not be asked just now; what it said before is what is told.</param>
public readonly record struct BoardReading(FrozenDictionary<Guid, QueuedSale>? Sales, DateTimeOffset Now, bool IsStale);

/// <summary>
/// What the service of flash sales said last, for as many polls as come: none of them crosses a sidecar. While somebody polls, one call at a time renews
/// it; a poll waits for the service only when it is the first after a quiet time. Clients' clocks and ours do not matter: the service says its time,
/// and from there on we count how long ago that was.
/// </summary>
public sealed partial class AdmissionBoard(Sidecar sidecar, IOptions<FlashSaleOptions> options, TimeProvider time, IHostApplicationLifetime lifetime, ILogger<AdmissionBoard> log)
{
    /// <summary>Its app id, which also says in <c>X-Degraded</c> who is missing.</summary>
    public const string App = "flashsales";

    private readonly FlashSaleOptions options = options.Value;
    private readonly string address = $"{sidecar.PrefixOf(App)}/internal/flash-sales/admissions";
    private volatile State? state;
    private volatile bool failing;
    private Renewal? renewal;
    private TaskCompletionSource answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long askedAt;

    /// <summary>The service is being asked, again and again, since somebody polls.</summary>
    public bool IsRenewed => Volatile.Read(ref renewal) is not null;

    /// <summary>At once, unless nobody has asked for a while and the service is asked first.</summary>
    public ValueTask<BoardReading> ReadAsync(CancellationToken ct)
    {
        Ask();
        return state is { } current && Age(current) <= 2 * options.Refresh || Volatile.Read(ref renewal) is not { First.IsCompleted: false } running
            ? new(Read())
            : new(WaitAsync(running.First, ct));
    }

    /// <summary>What is known after the next answer of the service, for whoever knows of a sale that we have not heard of yet.</summary>
    public async Task<BoardReading> ReadNextAsync(CancellationToken ct)
    {
        var next = Volatile.Read(ref answer).Task;
        Ask();
        await next.WaitAsync(ct);
        return Read();
    }

    /// <summary>What is known now; the one who asks goes on being interested.</summary>
    public BoardReading ReadNow()
    {
        Ask();
        return Read();
    }

    private BoardReading Read()
    {
        if (state is not { } known)
            return new(null, time.GetUtcNow(), true);
        var age = Age(known);
        return new(age <= options.KeptFor ? known.Sales : null, known.ServedAt + age, failing || age > 2 * options.Refresh + options.Patience);
    }

    private async Task<BoardReading> WaitAsync(Task first, CancellationToken ct)
    {
        await first.WaitAsync(ct);
        return Read();
    }

    private TimeSpan Age(State known) => time.GetElapsedTime(known.ReceivedAt);

    private void Ask()
    {
        // Written now and then only: a number that every request writes would wander between the processors' caches.
        var now = time.GetTimestamp();
        if (time.GetElapsedTime(Volatile.Read(ref askedAt), now) > TimeSpan.FromMilliseconds(100))
            Volatile.Write(ref askedAt, now);
        Begin();
    }

    private void Begin()
    {
        if (Volatile.Read(ref renewal) is not null)
            return;
        var own = new Renewal();
        if (Interlocked.CompareExchange(ref renewal, own, null) is null)
            _ = KeepAsync(own, lifetime.ApplicationStopping);
    }

    private async Task KeepAsync(Renewal own, CancellationToken stopping)
    {
        await Task.Yield();
        try
        {
            do
            {
                await RenewAsync(stopping);
                Land(own);
                await Task.Delay(options.Refresh, time, stopping);
            }
            while (IsAsked());
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            return;
        }
        finally
        {
            Land(own);
            Volatile.Write(ref renewal, null);
        }
        if (IsAsked())
            Begin();                                    // somebody asked between the last look and the end
    }

    private void Land(Renewal own)
    {
        own.Land();
        Interlocked.Exchange(ref answer, new(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
    }

    private bool IsAsked() => time.GetElapsedTime(Volatile.Read(ref askedAt)) <= options.QuietAfter;

    private async Task RenewAsync(CancellationToken stopping)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        using var timer = time.CreateTimer(static source => ((CancellationTokenSource)source!).Cancel(), patience, options.Patience, Timeout.InfiniteTimeSpan);
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, address) { Version = HttpVersion.Version11 };
            if (sidecar.ApiToken is { } apiToken)
                request.Headers.TryAddWithoutValidation("dapr-api-token", apiToken);
            using var response = await sidecar.Http.SendAsync(request, patience.Token);
            if (response.StatusCode != HttpStatusCode.OK)
            {
                Failed($"status {(int)response.StatusCode}");
                return;
            }

            await using var body = await response.Content.ReadAsStreamAsync(patience.Token);
            var said = await JsonSerializer.DeserializeAsync(body, AdmissionJson.Default.AdmissionsReply, patience.Token);
            if (said?.Sales is not { } sales || said.ServedAt == default)
            {
                Failed("an answer that is none");
                return;
            }
            var before = state?.Sales;
            state = new(sales.ToFrozenDictionary(sale => sale.SaleId, sale => new QueuedSale(sale, before?.GetValueOrDefault(sale.SaleId))), said.ServedAt, time.GetTimestamp());
            failing = false;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or JsonException or ArgumentException)
        {
            Failed(e.Message);
        }
        catch (OperationCanceledException) when (!stopping.IsCancellationRequested)
        {
            Failed($"no answer within {options.Patience}");
        }
    }

    private void Failed(string reason)
    {
        if (!failing)
            LogAway(reason);
        failing = true;
    }

    [LoggerMessage(LogLevel.Warning, "Flash sales do not say how far admission has come: {Reason}")]
    private partial void LogAway(string reason);

    /// <summary>One stretch of asking the service, from the first poll until nobody polls any more.</summary>
    private sealed class Renewal
    {
        private readonly TaskCompletionSource first = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task First => first.Task;

        public void Land() => first.TrySetResult();
    }

    private sealed record State(FrozenDictionary<Guid, QueuedSale> Sales, DateTimeOffset ServedAt, long ReceivedAt);
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(AdmissionsReply))]
internal sealed partial class AdmissionJson : JsonSerializerContext;
