using System.Buffers;
using Marketplace.Local.Sidecar.Resiliency;

namespace Marketplace.Local.Sidecar.Invocation;

/// <summary>
/// An invocation under a resiliency policy: answers outside 200–399 are failures, those that the policy names are retried, and the last
/// one is what the caller gets. A body of unknown length is streamed and never sent again.
/// </summary>
internal sealed class PolicedCall(SidecarHost host, ResiliencePolicy policy, InvokedCall call, HttpContext http, Func<CancellationToken, Task<ForwardOutcome>> forward)
{
    public async Task RunAsync()
    {
        var ct = http.RequestAborted;
        byte[]? rented = null;
        ReadOnlyMemory<byte>? body = null;
        var original = http.Request.Body;
        var mayRetry = policy.Retry is not null && http.Request.Headers.TransferEncoding.Count == 0;
        if (mayRetry && http.Request.ContentLength is > 0 and var length)
        {
            rented = ArrayPool<byte>.Shared.Rent((int)length);
            await original.ReadExactlyAsync(rented.AsMemory(0, (int)length), ct);
            body = rented.AsMemory(0, (int)length);
        }

        try
        {
            var started = host.Time.GetTimestamp();
            for (var retry = 1; ; retry++)
            {
                var pause = mayRetry ? policy.Retry!.Pause(retry, host.Time.GetElapsedTime(started)) : null;
                if (body is { } bytes) http.Request.Body = new MemoryStream(rented!, 0, bytes.Length, writable: false);
                call.Reset();
                call.HoldsFailures = true;
                call.Withhold = pause is null ? null : status => status is < 200 or > 399 && policy.Retry!.RetriesHttp(status);

                var outcome = await AttemptAsync(ct);
                if (outcome == ForwardOutcome.Answered) return;
                if (outcome == ForwardOutcome.Failed && (pause is null || call.BreakerIsOpen))
                {
                    await InvocationBlock.DirectInvokeErrorAsync(http, call.AppId, call.Failure!);
                    return;
                }

                http.Response.Clear();
                await Task.Delay(pause!.Value, host.Time, ct);
            }
        }
        finally
        {
            http.Request.Body = original;
            if (rented is not null) ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private async Task<ForwardOutcome> AttemptAsync(CancellationToken ct)
    {
        if (policy.Breaker is not { } breaker) return await LimitedAsync(ct);
        if (breaker.Enter(host.Time.GetUtcNow()) is not { } ticket)
        {
            call.Failure = new BreakerOpenException(call.AppId).Message;
            call.BreakerIsOpen = true;
            return ForwardOutcome.Failed;
        }

        var succeeded = false;
        try
        {
            var outcome = await LimitedAsync(ct);
            succeeded = outcome == ForwardOutcome.Answered && call.Status is >= 200 and <= 399;
            return outcome;
        }
        finally
        {
            breaker.Leave(ticket, succeeded, host.Time.GetUtcNow());
        }
    }

    private async Task<ForwardOutcome> LimitedAsync(CancellationToken ct)
    {
        if (policy.Timeout is not { } limit) return await forward(ct);

        using var expiry = new CancellationTokenSource(limit, host.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, expiry.Token);
        try
        {
            return await forward(either.Token);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            call.Failure = $"timed out after {limit.TotalMilliseconds:0} ms";
            return ForwardOutcome.Failed;
        }
    }
}
