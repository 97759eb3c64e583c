using Cel;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.Resiliency;

/// <summary>The condition that opens a breaker: CEL over the counters since it closed or its interval began.</summary>
public sealed class BreakerTrip
{
    public static readonly BreakerTrip Default = new(counts => counts.ConsecutiveFailures > 5);

    private readonly Func<BreakerCounts, bool> trips;

    private BreakerTrip(Func<BreakerCounts, bool> trips) => this.trips = trips;

    public static BreakerTrip Parse(YamlView view)
    {
        CelProgramDelegate program;
        try
        {
            program = new CelEnvironment([], "").Compile(view.Text());
        }
        catch (Exception e) when (e is not ResourceException)
        {
            throw view.Error($"is no CEL expression: {e.Message}");
        }

        // Tried once with counts that no division fails on, so that a misspelt counter is found now and not when it matters.
        try
        {
            var answer = program(Variables(new BreakerCounts(1, 1, 1, 1, 1)));
            if (answer is not bool) throw view.Error($"must be true or false, not {answer}; for example consecutiveFailures > 5.");
        }
        catch (Exception e) when (e is not ResourceException)
        {
            throw view.Error($"cannot be evaluated over requests, totalSuccesses, totalFailures, consecutiveSuccesses, consecutiveFailures: {e.Message}");
        }

        return new BreakerTrip(counts =>
        {
            try
            {
                return program(Variables(counts)) is true;
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                // A division by a count that is still zero decides nothing.
                return false;
            }
        });
    }

    public bool Trips(BreakerCounts counts) => trips(counts);

    private static Dictionary<string, object?> Variables(BreakerCounts counts) => new()
    {
        ["requests"] = counts.Requests,
        ["totalSuccesses"] = counts.TotalSuccesses,
        ["totalFailures"] = counts.TotalFailures,
        ["consecutiveSuccesses"] = counts.ConsecutiveSuccesses,
        ["consecutiveFailures"] = counts.ConsecutiveFailures,
    };
}

public record struct BreakerCounts(long Requests, long TotalSuccesses, long TotalFailures, long ConsecutiveSuccesses, long ConsecutiveFailures);

/// <summary>A circuit breaker: closed, open for <see cref="BreakerPolicy.Timeout"/>, half open until enough calls went well.</summary>
public sealed class Breaker(BreakerPolicy policy)
{
    private enum State { Closed, Open, HalfOpen }

    private readonly Lock gate = new();
    private BreakerCounts counts;
    private State state = State.Closed;
    private long generation;
    private DateTimeOffset? until;
    private bool started;

    /// <summary>A ticket for one call, to be handed back with its outcome; null when the breaker lets nothing through, or half open not this one too.</summary>
    public long? Enter(DateTimeOffset now) => Enter(now, out _);

    /// <inheritdoc cref="Enter(DateTimeOffset)"/>
    /// <param name="refusal">Why not, in daprd's words.</param>
    public long? Enter(DateTimeOffset now, out string? refusal)
    {
        lock (gate)
        {
            Advance(now);
            refusal = state switch
            {
                State.Open => "circuit breaker is open",
                State.HalfOpen when counts.Requests >= policy.MaxRequests => "too many requests",
                _ => null,
            };
            if (refusal is not null) return null;
            counts.Requests++;
            return generation;
        }
    }

    public void Leave(long ticket, bool succeeded, DateTimeOffset now)
    {
        lock (gate)
        {
            Advance(now);
            if (ticket != generation) return;
            if (succeeded)
            {
                counts.TotalSuccesses++;
                counts.ConsecutiveSuccesses++;
                counts.ConsecutiveFailures = 0;
                if (state == State.HalfOpen && counts.ConsecutiveSuccesses >= policy.MaxRequests) Become(State.Closed, now);
            }
            else
            {
                counts.TotalFailures++;
                counts.ConsecutiveFailures++;
                counts.ConsecutiveSuccesses = 0;
                if (state == State.HalfOpen || policy.Trip.Trips(counts)) Become(State.Open, now);
            }
        }
    }

    private void Advance(DateTimeOffset now)
    {
        if (!started)
        {
            started = true;
            Become(State.Closed, now);
        }

        if (until is null || until > now) return;
        if (state == State.Open) Become(State.HalfOpen, now);
        else if (state == State.Closed) Become(State.Closed, now);
    }

    private void Become(State next, DateTimeOffset now)
    {
        state = next;
        generation++;
        counts = default;
        until = next switch
        {
            State.Open => now + policy.Timeout,
            State.Closed when policy.Interval > TimeSpan.Zero => now + policy.Interval,
            _ => null,
        };
    }
}

/// <summary>The breakers of one target, one for each endpoint or actor; of those over the number to keep the least used is forgotten.</summary>
internal sealed class BreakerCache(BreakerPolicy policy, int size)
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, LinkedListNode<(string Key, Breaker Breaker)>> entries = [];
    private readonly LinkedList<(string Key, Breaker Breaker)> byUse = [];

    public BreakerPolicy Policy => policy;

    public Breaker Of(string key)
    {
        lock (gate)
        {
            if (entries.TryGetValue(key, out var entry))
            {
                byUse.Remove(entry);
                byUse.AddFirst(entry);
                return entry.Value.Breaker;
            }

            if (entries.Count == size)
            {
                entries.Remove(byUse.Last!.Value.Key);
                byUse.RemoveLast();
            }

            var breaker = new Breaker(policy);
            entries[key] = byUse.AddFirst((key, breaker));
            return breaker;
        }
    }
}

public sealed class BreakerOpenException(string why) : Exception(why);
