using System.Buffers;
using Marketplace.Local.Sidecar.Resiliency;

namespace Marketplace.Local.Sidecar.Invocation;

/// <summary>
/// An invocation under a resiliency policy: answers outside 200–399 are failures, those that the policy names are retried, and the last
/// one is what the caller gets. A body of unknown length is streamed and never sent again.
/// </summary>
internal sealed class PolicedCall(SidecarHost host, ResiliencePolicy policy, InvokedCall call, HttpContext http, Func<CancellationToken, Task<ForwardOutcome>> forward)
{
    private const string TimedOut = "context deadline exceeded";
    private readonly ResiliencePolicy unlimited = policy with { Timeout = null };

    public async Task RunAsync()
    {
        var ct = http.RequestAborted;
        byte[]? rented = null;
        ReadOnlyMemory<byte>? body = null;
        var original = http.Request.Body;
        var mayRetry = policy.Retry is { MaxRetries: not 0 } && http.Request.Headers.TransferEncoding.Count == 0;
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
        try
        {
            return await unlimited.AttemptAsync(host.Time, LimitedAsync, outcome => outcome != ForwardOutcome.Answered || call.Status is not (>= 200 and <= 399), ct);
        }
        catch (BreakerOpenException e)
        {
            call.Failure = e.Message;
            call.BreakerIsOpen = true;
            return ForwardOutcome.Failed;
        }
    }

    /// <summary>The forwarder works on the caller's request and response: a call over its time is cancelled, never left behind.</summary>
    private async Task<ForwardOutcome> LimitedAsync(CancellationToken ct)
    {
        if (policy.Timeout is not { } limit) return await forward(ct);

        using var expiry = new CancellationTokenSource(limit, host.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, expiry.Token);
        try
        {
            var outcome = await forward(either.Token);
            if (outcome == ForwardOutcome.Failed && expiry.IsCancellationRequested) call.Failure = TimedOut;
            return outcome;
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            call.Failure = TimedOut;
            return ForwardOutcome.Failed;
        }
    }
}
