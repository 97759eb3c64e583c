using System.Runtime.ExceptionServices;

namespace Marketplace.Local.Sidecar.Resiliency;

public static class Resilience
{
    /// <summary>
    /// Runs a call under a policy. An exception, a timeout or a result for which <paramref name="failed"/> is true counts as failure;
    /// a failed result is retried when <paramref name="retryable"/> agrees (always, when null), an exception unless it is a
    /// <see cref="FinalException"/>. The last outcome is what the caller gets.
    /// </summary>
    /// <exception cref="BreakerOpenException">The breaker lets nothing through; this also ends the retries.</exception>
    /// <exception cref="TimeoutException">The last attempt took longer than the policy's timeout.</exception>
    public static Task<T> RunAsync<T>(
        this ResiliencePolicy? policy,
        TimeProvider time,
        Func<CancellationToken, Task<T>> call,
        Func<T, bool> failed,
        Func<T, bool>? retryable,
        CancellationToken ct) => policy is null ? call(ct) : GuardedAsync(policy, time, call, failed, retryable, ct);

    private static async Task<T> GuardedAsync<T>(ResiliencePolicy policy, TimeProvider time, Func<CancellationToken, Task<T>> call, Func<T, bool> failed, Func<T, bool>? retryable, CancellationToken ct)
    {
        var started = time.GetTimestamp();
        for (var retry = 1; ; retry++)
        {
            Exception? fault = null;
            T? result = default;
            try
            {
                result = await AttemptAsync(policy, time, call, failed, ct);
                if (!failed(result) || retryable?.Invoke(result) == false) return result;
            }
            catch (Exception e) when (e is not (BreakerOpenException or FinalException) && !ct.IsCancellationRequested)
            {
                fault = e;
            }

            if (policy.Retry?.Pause(retry, time.GetElapsedTime(started)) is not { } pause)
            {
                if (fault is not null) ExceptionDispatchInfo.Throw(fault);
                return result!;
            }

            (result as IDisposable)?.Dispose();
            await Task.Delay(pause, time, ct);
        }
    }

    /// <summary>One attempt, without the retries: breaker around timeout around the call.</summary>
    /// <inheritdoc cref="RunAsync"/>
    internal static async Task<T> AttemptAsync<T>(this ResiliencePolicy policy, TimeProvider time, Func<CancellationToken, Task<T>> call, Func<T, bool> failed, CancellationToken ct)
    {
        if (policy.Breaker is not { } breaker) return await LimitedAsync(policy.Timeout, time, call, ct);

        var ticket = breaker.Enter(time.GetUtcNow(), out var refusal) ?? throw new BreakerOpenException(refusal!);
        var succeeded = false;
        try
        {
            var result = await LimitedAsync(policy.Timeout, time, call, ct);
            succeeded = !failed(result);
            return result;
        }
        finally
        {
            breaker.Leave(ticket, succeeded, time.GetUtcNow());
        }
    }

    private static async Task<T> LimitedAsync<T>(TimeSpan? timeout, TimeProvider time, Func<CancellationToken, Task<T>> call, CancellationToken ct)
    {
        if (timeout is not { } limit) return await call(ct);

        using var expiry = new CancellationTokenSource(limit, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, expiry.Token);
        var under = call(either.Token);
        try
        {
            // Not every client of a store can be cancelled: then the call is left behind.
            return await under.WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (expiry.IsCancellationRequested && !ct.IsCancellationRequested)
        {
            _ = under.ContinueWith(
                static late => (late.Exception is null && !late.IsCanceled ? late.Result as IDisposable : null)?.Dispose(),
                CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
            throw new TimeoutException("context deadline exceeded");
        }
    }
}

/// <summary>A failure that counts but that no retry can mend.</summary>
public sealed class FinalException(string message) : Exception(message);
