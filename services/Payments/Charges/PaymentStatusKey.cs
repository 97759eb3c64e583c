using Dapr;
using Dapr.Client;
using Microsoft.Extensions.Options;

namespace Marketplace.Payments.Charges;

/// <summary>
/// <c>payment_status:{order id}</c> in the state store: absent, <c>processing</c> (expires), <c>captured</c> (kept). It is written beside the row and answers for it
/// when the database cannot be asked; in every other case the row is asked, which an undo can forbid and this key cannot. So a state store that is away
/// costs a warning and no payment.
/// </summary>
public sealed partial class PaymentStatusKey(DaprClient dapr, IOptions<ChargeOptions> options, ILogger<PaymentStatusKey> log)
{
    public const string Store = "payment-status";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private const string Processing = "processing";
    private const string CapturedStatus = "captured";

    public Task ProcessingAsync(Guid orderId, int attempt, CancellationToken ct) =>
        SaveAsync(orderId, new Entry(Processing, attempt, null), (int)options.Value.ProcessingKept.TotalSeconds, ct);

    // -1 in so many words: on Redis a write without a TTL keeps the expiry of the write before.
    public Task CapturedAsync(Guid orderId, int attempt, Guid paymentId, CancellationToken ct) =>
        SaveAsync(orderId, new Entry(CapturedStatus, attempt, paymentId), -1, ct);

    /// <summary>After a definite no, and after an undo.</summary>
    public Task ForgetAsync(Guid orderId, CancellationToken ct) =>
        TryAsync(orderId, limit => dapr.DeleteStateAsync(Store, KeyOf(orderId), cancellationToken: limit), ct);

    /// <summary>The stored answer for a captured attempt.</summary>
    public async Task<ChargeReply?> CapturedAnswerAsync(Guid orderId, int attempt, CancellationToken ct) =>
        await dapr.GetStateAsync<Entry?>(Store, KeyOf(orderId), cancellationToken: ct) is { Status: CapturedStatus, PaymentId: { } paymentId } entry && entry.Attempt == attempt
            ? ChargeReply.Captured(paymentId)
            : null;

    private Task SaveAsync(Guid orderId, Entry entry, int ttlInSeconds, CancellationToken ct) => TryAsync(
        orderId,
        limit => dapr.SaveStateAsync(Store, KeyOf(orderId), entry, metadata: new Dictionary<string, string> { ["ttlInSeconds"] = $"{ttlInSeconds}" }, cancellationToken: limit),
        ct);

    private async Task TryAsync(Guid orderId, Func<CancellationToken, Task> call, CancellationToken ct)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(Patience);
        try
        {
            await call(limit.Token);
        }
        catch (DaprException away)
        {
            LogAway(orderId, Reason(away));
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            LogAway(orderId, "no answer in time");
        }
    }

    private static string Reason(DaprException away) => away.InnerException is Grpc.Core.RpcException call ? $"{call.StatusCode}: {call.Status.Detail}" : away.Message;

    private static string KeyOf(Guid orderId) => $"payment_status:{orderId}";

    [LoggerMessage(LogLevel.Warning, "The payment status of order {OrderId} is not in the state store: {Reason}")]
    private partial void LogAway(Guid orderId, string reason);

    private sealed record Entry(string Status, int Attempt, Guid? PaymentId);
}
