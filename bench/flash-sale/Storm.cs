using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using Marketplace.Bench.FlashSale.Traffic;

namespace Marketplace.Bench.FlashSale;

/// <param name="Early">So many of them join before the start, evenly over <paramref name="EarlyOver"/>; the rest after it, over <paramref name="LateOver"/>.</param>
internal sealed record StormPlan(
    Guid SaleId, IReadOnlyList<Account> Accounts, DateTimeOffset StartsAt, int Early, TimeSpan EarlyOver, TimeSpan LateOver, int Watchers, TimeSpan Patience, int Seed);

/// <summary>Everybody who wants one of the units of a sale, from joining to their final answer.</summary>
internal sealed class Storm
{
    private readonly StormPlan plan;
    private readonly Lines lines;
    private readonly TaskCompletionSource over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ConcurrentDictionary<string, int> odd = new();
    private int joined;
    private int admitted;
    private int placed;
    private int ended;

    public Storm(StormPlan plan, Uri url, Lines lines)
    {
        (this.plan, Url, this.lines) = (plan, url, lines);
        var path = $"/api/v1/flash-sales/{plan.SaleId}";
        QueuePath = RequestWriter.Utf8($"{path}/queue");
        EventsPath = RequestWriter.Utf8($"{path}/queue/events");
        ClaimsPath = RequestWriter.Utf8($"{path}/claims");
        MyClaimPath = RequestWriter.Utf8($"{path}/claims/mine");

        var random = new Random(plan.Seed);
        var watching = Enumerable.Range(0, plan.Accounts.Count).OrderBy(_ => random.Next()).Take(plan.Watchers).ToHashSet();
        Buyers = [.. plan.Accounts.Select((account, number) => new Buyer(account, this, watching.Contains(number)))];
    }

    public IReadOnlyList<Buyer> Buyers { get; }

    public Figures Figures => lines.Figures;

    public Uri Url { get; }

    public byte[] QueuePath { get; }

    public byte[] EventsPath { get; }

    public byte[] ClaimsPath { get; }

    public byte[] MyClaimPath { get; }

    public int Joined => Volatile.Read(ref joined);

    public int Admitted => Volatile.Read(ref admitted);

    public int Placed => Volatile.Read(ref placed);

    public int Ended => Volatile.Read(ref ended);

    /// <summary>Answers that a well-behaved buyer should never get, with the first words of each.</summary>
    public IReadOnlyDictionary<string, int> OddAnswers => odd;

    /// <summary>True when everybody got a final answer in time.</summary>
    public async Task<bool> RunAsync(CancellationToken ct)
    {
        var now = Stopwatch.GetTimestamp();
        var random = new Random(plan.Seed + 1);
        var start = now + Generator.Ticks(plan.StartsAt - DateTimeOffset.UtcNow);
        for (var number = 0; number < Buyers.Count; number++)
        {
            // Evenly, each a little off: at random, but the same with every run.
            var due = number < plan.Early
                ? now + Generator.Ticks(plan.EarlyOver * ((number + random.NextDouble()) / plan.Early))
                : start + Generator.Ticks(plan.LateOver * ((number - plan.Early + random.NextDouble()) / (Buyers.Count - plan.Early)));
            lines.For(Kind.Join).Schedule(Buyers[number], due);
        }

        var patience = Task.Delay(plan.StartsAt + plan.Patience - DateTimeOffset.UtcNow, ct);
        return await Task.WhenAny(over.Task, patience) == over.Task;
    }

    public void Schedule(Buyer buyer, TimeSpan later) => lines.For(buyer.Kind).Schedule(buyer, later);

    public void OnJoined() => Interlocked.Increment(ref joined);

    public void OnAdmitted() => Interlocked.Increment(ref admitted);

    public void OnPlaced() => Interlocked.Increment(ref placed);

    public void OnEnded(Buyer _)
    {
        if (Interlocked.Increment(ref ended) == Buyers.Count) over.TrySetResult();
    }

    public void OnOddAnswer(Kind kind, in Reply reply)
    {
        var words = Json.Text(reply.Body, "type"u8) ?? Encoding.UTF8.GetString(reply.Body[..Math.Min(200, reply.Body.Length)]);
        odd.AddOrUpdate($"{kind} {reply.Status} {words}", 1, (_, before) => before + 1);
    }
}

/// <summary>Connections by what is asked over them: everybody has their own in truth, and nobody's poll waits for somebody else's join.</summary>
internal sealed class Lines(Uri url, Figures figures) : IDisposable
{
    private readonly Generator polls = new(url, 500, figures);
    private readonly Generator joins = new(url, 400, figures);
    private readonly Generator claims = new(url, 300, figures);

    public Figures Figures => figures;

    public Generator For(Kind kind) => kind switch
    {
        Kind.Poll => polls,
        Kind.Join => joins,
        _ => claims,
    };

    public void Dispose()
    {
        polls.Dispose();
        joins.Dispose();
        claims.Dispose();
    }
}
