namespace Marketplace.Local.Sidecar.Resiliency;

public static class Resilience
{
    /// <summary>
    /// Runs a call under a policy. An exception, a timeout or a result for which <paramref name="failed"/> is true counts as failure;
    /// a failed result is retried when <paramref name="retryable"/> agrees (always, when null). The last outcome is what the caller gets.
    /// </summary>
    /// <exception cref="BreakerOpenException">The breaker lets nothing through; this also ends the retries.</exception>
    /// <exception cref="TimeoutException">The last attempt took longer than the policy's timeout.</exception>
    public static async Task<T> RunAsync<T>(
        this ResiliencePolicy? policy,
        TimeProvider time,
        Func<CancellationToken, Task<T>> call,
        Func<T, bool> failed,
        Func<T, bool>? retryable,
        CancellationToken ct)
    {
        if (policy is null) return await call(ct);

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
            catch (Exception e) when (e is not BreakerOpenException && !ct.IsCancellationRequested)
            {
                fault = e;
            }

            if (policy.Retry?.Pause(retry, time.GetElapsedTime(started)) is not { } pause)
            {
                if (fault is not null) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(fault);
                return result!;
            }

            (result as IDisposable)?.Dispose();
            await Task.Delay(pause, time, ct);
        }
    }

    private static async Task<T> AttemptAsync<T>(ResiliencePolicy policy, TimeProvider time, Func<CancellationToken, Task<T>> call, Func<T, bool> failed, CancellationToken ct)
    {
        if (policy.Breaker is not { } breaker) return await LimitedAsync(policy.Timeout, time, call, ct);

        var ticket = breaker.Enter(time.GetUtcNow()) ?? throw new BreakerOpenException(breaker.Target);
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
        try
        {
            // Not every client of a store can be cancelled: then the call is left behind.
            return await call(either.Token).WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (expiry.IsCancellationRequested && !ct.IsCancellationRequested)
        {
            throw new TimeoutException($"timed out after {limit.TotalMilliseconds:0} ms");
        }
    }
}
