using Marketplace.Local.Sidecar.Resiliency;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Marketplace.Sidecar.Tests.Resiliency;

/// <summary>Retry around breaker around timeout around the call, by the rules of daprd's back-off and breaker.</summary>
public sealed class HowACallIsGuarded
{
    private static readonly CancellationToken Ct = TestContext.Current.CancellationToken;
    private readonly ImpatientTime time = new();
    private int calls;

    [Fact]
    public async Task A_constant_retry_waits_the_same_each_time_and_gives_the_last_outcome()
    {
        var outcome = await RunAsync("retries: {p: {duration: 2s, maxRetries: 3}}", "{retry: p}", () => calls);
        Assert.Equal((4, 4), (outcome, calls));
        Assert.Equal([2.0, 2, 2], time.Waits.Select(wait => wait.TotalSeconds));
    }

    [Fact]
    public async Task A_success_ends_the_retries()
    {
        Assert.Equal(0, await RunAsync("retries: {p: {duration: 1s}}", "{retry: p}", () => calls == 3 ? 0 : calls));
        Assert.Equal((3, 2), (calls, time.Waits.Count));
    }

    [Fact]
    public async Task An_exception_is_retried_and_the_last_one_reaches_the_caller()
    {
        var fault = await Assert.ThrowsAsync<IOException>(() => RunAsync("retries: {p: {duration: 1s, maxRetries: 2}}", "{retry: p}", () => throw new IOException($"try {calls}")));
        Assert.Equal("try 3", fault.Message);
    }

    [Fact]
    public async Task What_no_retry_can_mend_is_not_retried()
    {
        await Assert.ThrowsAsync<FinalException>(() => RunAsync("retries: {p: {duration: 1s}}", "{retry: p}", () => throw new FinalException("never")));
        Assert.Equal(1, calls);
    }

    [Fact]
    public async Task An_exponential_retry_grows_from_half_a_second_within_its_spread_to_its_limit()
    {
        await RunAsync("retries: {p: {policy: exponential, maxInterval: 3s, maxRetries: 12}}", "{retry: p}", () => 1);
        var interval = 0.5;
        foreach (var wait in time.Waits)
        {
            Assert.InRange(wait.TotalSeconds, interval * 0.5 - 0.001, interval * 1.5 + 0.001);
            interval = Math.Min(interval * 1.5, 3);
        }

        Assert.Equal(12, time.Waits.Count);
    }

    [Fact]
    public async Task An_exponential_retry_without_end_ends_after_a_quarter_of_an_hour_and_a_constant_one_does_not()
    {
        await RunAsync("retries: {p: {policy: exponential}}", "{retry: p}", () => 1);
        Assert.InRange(time.Elapsed.TotalMinutes, 13, 15);

        (calls, time.Elapsed) = (0, TimeSpan.Zero);
        await RunAsync("retries: {p: {duration: 1m}}", "{retry: p}", () => calls == 100 ? 0 : 1);
        Assert.Equal(99, time.Elapsed.TotalMinutes);
    }

    [Fact]
    public async Task Each_attempt_has_the_whole_timeout()
    {
        var clock = new FakeTimeProvider();
        var policy = Policy("timeouts: {t: 300}, retries: {p: {duration: 0, maxRetries: 1}}", "{timeout: t, retry: p}");
        var began = new List<TaskCompletionSource> { new(), new() };
        var running = policy.RunAsync(clock, async ct =>
        {
            began[calls++].SetResult();
            await Task.Delay(Timeout.Infinite, ct);
            return 0;
        }, static _ => false, null, Ct);
        foreach (var attempt in began)
        {
            await attempt.Task.WaitAsync(TimeSpan.FromSeconds(20), Ct);
            Assert.False(running.IsCompleted);
            clock.Advance(TimeSpan.FromMilliseconds(300));
        }

        await Assert.ThrowsAsync<TimeoutException>(() => running.WaitAsync(TimeSpan.FromSeconds(20), Ct));
        Assert.Equal(2, calls);
    }

    [Fact]
    public async Task A_call_that_cannot_be_cancelled_is_left_behind()
    {
        var clock = new FakeTimeProvider();
        var never = new TaskCompletionSource<int>();
        var running = Policy("timeouts: {t: 1s}", "{timeout: t}").RunAsync(clock, _ => never.Task, static _ => false, null, Ct);
        clock.Advance(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAsync<TimeoutException>(() => running.WaitAsync(TimeSpan.FromSeconds(20), Ct));
    }

    [Fact]
    public async Task An_open_breaker_ends_the_retries()
    {
        var error = await Assert.ThrowsAsync<BreakerOpenException>(() => RunAsync(
            "retries: {p: {duration: 1s}}, circuitBreakers: {b: {trip: consecutiveFailures >= 3}}", "{retry: p, circuitBreaker: b}", () => 1));
        Assert.Equal((3, "circuit breaker is open"), (calls, error.Message));
    }

    [Theory]
    [InlineData("consecutiveFailures > 2", "FFF", true)]
    [InlineData("consecutiveFailures > 2", "FFSFF", false)]
    [InlineData("totalFailures >= 3", "FFSF", true)]
    [InlineData("requests >= 4 && totalFailures * 2 >= requests", "SSFF", true)]
    [InlineData("requests >= 4 && totalFailures * 2 >= requests", "SSSF", false)]
    [InlineData("totalSuccesses > 1 && totalFailures > 0", "SSF", true)]
    [InlineData("consecutiveSuccesses > 0", "SF", false)]   // looked at after the failure was counted
    [InlineData("totalFailures / totalSuccesses > 1", "FF", false)]   // divided by nothing: decides nothing
    public void A_trip_is_a_condition_over_the_counts(string trip, string outcomes, bool opens)
    {
        var breaker = new Breaker(Documents.Manifest($"policies: {{circuitBreakers: {{b: {{trip: \"{trip}\"}}}}}}").Breakers["b"]);
        foreach (var outcome in outcomes)
            breaker.Leave(breaker.Enter(time.GetUtcNow())!.Value, outcome == 'S', time.GetUtcNow());
        Assert.Equal(opens, breaker.Enter(time.GetUtcNow()) is null);
    }

    [Fact]
    public void Unless_told_otherwise_the_sixth_failure_in_a_row_opens_it_for_a_minute()
    {
        var breaker = new Breaker(Documents.Manifest("policies: {circuitBreakers: {b: {}}}").Breakers["b"]);
        for (var i = 0; i < 6; i++)
            breaker.Leave(breaker.Enter(time.GetUtcNow())!.Value, succeeded: false, time.GetUtcNow());
        time.Elapsed += TimeSpan.FromSeconds(59);
        Assert.Null(breaker.Enter(time.GetUtcNow()));
        time.Elapsed += TimeSpan.FromSeconds(1);
        Assert.NotNull(breaker.Enter(time.GetUtcNow()));
    }

    [Fact]
    public void Half_open_it_lets_as_many_through_as_must_succeed()
    {
        var breaker = new Breaker(Documents.Manifest("policies: {circuitBreakers: {b: {maxRequests: 2, timeout: 10s, trip: totalFailures > 0}}}").Breakers["b"]);
        Open();
        var first = breaker.Enter(time.GetUtcNow(), out _);
        var second = breaker.Enter(time.GetUtcNow(), out _);
        Assert.Null(breaker.Enter(time.GetUtcNow(), out var refusal));
        Assert.Equal("too many requests", refusal);
        breaker.Leave(first!.Value, succeeded: true, time.GetUtcNow());
        Assert.Null(breaker.Enter(time.GetUtcNow()));
        breaker.Leave(second!.Value, succeeded: true, time.GetUtcNow());
        Assert.All(Enumerable.Range(0, 5), _ => Assert.NotNull(breaker.Enter(time.GetUtcNow())));

        Open();
        breaker.Leave(breaker.Enter(time.GetUtcNow())!.Value, succeeded: false, time.GetUtcNow());
        Assert.Null(breaker.Enter(time.GetUtcNow()));

        void Open()
        {
            breaker.Leave(breaker.Enter(time.GetUtcNow())!.Value, succeeded: false, time.GetUtcNow());
            Assert.Null(breaker.Enter(time.GetUtcNow()));
            time.Elapsed += TimeSpan.FromSeconds(10);
        }
    }

    [Fact]
    public void A_call_from_before_it_opened_counts_no_more()
    {
        var breaker = new Breaker(Documents.Manifest("policies: {circuitBreakers: {b: {timeout: 10s, trip: totalFailures > 0}}}").Breakers["b"]);
        var late = breaker.Enter(time.GetUtcNow())!.Value;
        breaker.Leave(breaker.Enter(time.GetUtcNow())!.Value, succeeded: false, time.GetUtcNow());
        time.Elapsed += TimeSpan.FromSeconds(10);
        breaker.Leave(late, succeeded: false, time.GetUtcNow());
        Assert.NotNull(breaker.Enter(time.GetUtcNow()));
    }

    [Fact]
    public void A_closed_breaker_forgets_after_its_interval()
    {
        var breaker = new Breaker(Documents.Manifest("policies: {circuitBreakers: {b: {interval: 30s, trip: totalFailures > 1}}}").Breakers["b"]);
        breaker.Leave(breaker.Enter(time.GetUtcNow())!.Value, succeeded: false, time.GetUtcNow());
        time.Elapsed += TimeSpan.FromSeconds(30);
        breaker.Leave(breaker.Enter(time.GetUtcNow())!.Value, succeeded: false, time.GetUtcNow());
        Assert.NotNull(breaker.Enter(time.GetUtcNow()));
    }

    private static ResiliencePolicy Policy(string policies, string target) =>
        Documents.Policies($"policies: {{{policies}}}\ntargets: {{apps: {{a: {target}}}}}").App("a", "x")!;

    /// <summary>A call whose outcome is a number; zero is success.</summary>
    private Task<int> RunAsync(string policies, string target, Func<int> outcome) => Policy(policies, target).RunAsync(time, _ =>
    {
        calls++;
        return Task.FromResult(outcome());
    }, static result => result != 0, null, Ct);
}
