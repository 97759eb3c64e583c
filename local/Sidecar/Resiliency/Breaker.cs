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

        var trip = new BreakerTrip(counts => program(new Dictionary<string, object?>
        {
            ["requests"] = counts.Requests,
            ["totalSuccesses"] = counts.TotalSuccesses,
            ["totalFailures"] = counts.TotalFailures,
            ["consecutiveSuccesses"] = counts.ConsecutiveSuccesses,
            ["consecutiveFailures"] = counts.ConsecutiveFailures,
        }) is true);
        try
        {
            trip.Trips(default);
        }
        catch (Exception e)
        {
            throw view.Error($"cannot be evaluated: {e.Message}");
        }

        return trip;
    }

    public bool Trips(BreakerCounts counts) => trips(counts);
}

public record struct BreakerCounts(long Requests, long TotalSuccesses, long TotalFailures, long ConsecutiveSuccesses, long ConsecutiveFailures);

/// <summary>One circuit breaker of one target: closed, open for <see cref="BreakerPolicy.Timeout"/>, half open until enough calls went well.</summary>
public sealed class Breaker(BreakerPolicy policy, string target)
{
    private enum State { Closed, Open, HalfOpen }

    private readonly Lock gate = new();
    private BreakerCounts counts;
    private State state = State.Closed;
    private long generation;
    private DateTimeOffset? until;

    public string Target { get; } = target;

    /// <summary>A ticket for one call, to be handed back with its outcome; null when the breaker lets nothing through.</summary>
    public long? Enter(DateTimeOffset now)
    {
        lock (gate)
        {
            Advance(now);
            if (state == State.Open || (state == State.HalfOpen && counts.Requests >= policy.MaxRequests)) return null;
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

public sealed class BreakerOpenException(string target) : Exception($"circuit breaker is open for {target}");
