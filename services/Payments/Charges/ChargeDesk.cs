using System.Diagnostics;
using Marketplace.Payments.Methods;
using Marketplace.Payments.Provider;
using Marketplace.Payments.Refunds;
using Microsoft.Extensions.Options;

namespace Marketplace.Payments.Charges;

/// <summary>
/// Charges an attempt once, whatever dies or repeats. The row says who acts and what may still happen; the intent says what has happened. An intent is
/// confirmed only after its id is in the row, so that doubt is settled by looking at it.
/// </summary>
public sealed partial class ChargeDesk(
    AttemptStore attempts,
    MethodStore methods,
    PaymentProvider provider,
    UndoDesk undo,
    PaymentStatusKey status,
    IOptions<ChargeOptions> options,
    TimeProvider time,
    ILogger<ChargeDesk> log)
{
    private TimeSpan Lease => options.Value.Lease;

    // No cancellation token: from here the caller's patience must not decide whether money is accounted for. Every step below has its own time-out.
    public async Task<ChargeReply> ChargeAsync(ChargeRequest charge)
    {
        var (method, customer, missing) = await MethodForAsync(charge);
        var refusal = IsExpiring(charge.ReservationExpiresAt) ? Refusals.ReservationExpiring : missing;
        var begun = await attempts.BeginAsync(charge, method, customer, refusal, Lease, CancellationToken.None);
        if (begun.Row is not { } row)
            return ChargeReply.Refused(Refusals.Cancelled, null);    // a later attempt of the order exists
        if (!begun.Ours)
            return await RepeatAsync(row);

        if (row.Status == AttemptStatus.Refused)
        {
            LogRefused(row.OrderId, row.Attempt, row.Refusal!);
            return Answer(row);
        }

        try
        {
            foreach (var old in begun.Older)
                await undo.UndoAsync(old.OrderId, old.Attempt, "superseded by a later attempt");
        }
        catch (ProviderFaultException fault)
        {
            LogFault(row.OrderId, row.Attempt, fault.Message);
            return await RefuseAsync(row, Refusals.ProviderUnavailable, closeIntent: false);
        }

        // Written beside the provider's call, not before it: nobody needs it sooner, and the row already keeps others away.
        var noted = status.ProcessingAsync(row.OrderId, row.Attempt, CancellationToken.None);
        return await FromCreationAsync(row, noted);
    }

    /// <summary>Goes on with an attempt taken over from somebody who is gone.</summary>
    public Task<ChargeReply> ResumeAsync(PaymentAttempt mine) => mine.IntentId is null ? FromCreationAsync(mine, Task.CompletedTask) : SettleAsync(mine, mayConfirm: true);

    /// <summary>What the provider says about an attempt somebody else may be acting on: only facts that cannot change are written.</summary>
    public async Task<bool> LearnAsync(PaymentAttempt attempt)
    {
        if (attempt is not { Status: AttemptStatus.Charging, IntentId: { } intentId })
            return true;
        if ((await provider.LookAsync(intentId)).Status != IntentStatus.Succeeded)
            return false;
        await CapturedAsync(attempt);
        return true;
    }

    private async Task<ChargeReply> RepeatAsync(PaymentAttempt row)
    {
        if (row is { Status: AttemptStatus.Charging, LeaseIsLive: false } && await attempts.TakeOverAsync(row.OrderId, row.Attempt, Lease, CancellationToken.None) is { } mine)
            return await ResumeAsync(mine);
        if (row.Status == AttemptStatus.Undoing)
            return ChargeReply.Refused(Refusals.Cancelled, row.PaymentId);
        return Answer(row);
    }

    private async Task<ChargeReply> FromCreationAsync(PaymentAttempt mine, Task noted)
    {
        string intentId;
        try
        {
            var made = await provider.CreateIntentAsync(mine.ToProvider(), mine.Key("create"));
            if (made.Refusal is { } why)
                return await RefuseAsync(mine, why, closeIntent: false, noted);
            intentId = made.IntentId!;
        }
        catch (ProviderFaultException fault) when (fault.UnderWay)
        {
            // Whoever had the attempt before us still waits for this very call; what it makes is ours to use in a moment.
            LogFault(mine.OrderId, mine.Attempt, fault.Message);
            await noted;
            await attempts.ReleaseAsync(mine, CancellationToken.None);
            return ChargeReply.Processing(mine.PaymentId);
        }
        catch (ProviderFaultException fault)
        {
            // An intent may exist there, but nothing can be taken by it: its id is in no row, so nobody will ever confirm it.
            LogFault(mine.OrderId, mine.Attempt, fault.Message);
            return await RefuseAsync(mine, Refusals.ProviderUnavailable, closeIntent: false, noted);
        }

        if (!await attempts.IntentMadeAsync(mine, intentId, Lease, CancellationToken.None))
            return await LostAsync(mine, intentId, noted);

        mine = mine with { IntentId = intentId };
        return await ConfirmAsync(mine, noted);
    }

    private async Task<ChargeReply> ConfirmAsync(PaymentAttempt mine, Task noted)
    {
        if (IsExpiring(mine.ReservationExpiresAt!.Value))
            return await RefuseAsync(mine, Refusals.ReservationExpiring, closeIntent: true, noted);
        try
        {
            return await ConcludeAsync(mine, await provider.ConfirmAsync(mine.IntentId!, mine.Key("confirm", ofThisFence: true)), noted);
        }
        catch (ProviderFaultException fault) when (!fault.Reached && mine.Fence == 1)
        {
            LogFault(mine.OrderId, mine.Attempt, fault.Message);
            return await RefuseAsync(mine, Refusals.ProviderUnavailable, closeIntent: true, noted);
        }
        catch (ProviderFaultException doubt)
        {
            LogFault(mine.OrderId, mine.Attempt, doubt.Message);
            await noted;
            return await SettleAsync(mine, mayConfirm: false);
        }
    }

    // Doubt: look at the intent. It was asked to confirm perhaps, so another confirmation is only for one that is plainly open, and only by somebody who took the
    // attempt over: the one whose call got no answer may have it still under way.
    private async Task<ChargeReply> SettleAsync(PaymentAttempt mine, bool mayConfirm)
    {
        try
        {
            var state = await provider.LookAsync(mine.IntentId!);
            if (state.Status == IntentStatus.Open && mayConfirm)
                return await ConfirmAsync(mine, Task.CompletedTask);
            return await ConcludeAsync(mine, state, Task.CompletedTask);
        }
        catch (ProviderFaultException fault)
        {
            LogInDoubt(mine.OrderId, mine.Attempt, fault.Message);
            return ChargeReply.Processing(mine.PaymentId);           // the lease runs on, and is the pause before the next look
        }
    }

    private async Task<ChargeReply> ConcludeAsync(PaymentAttempt mine, IntentState state, Task noted)
    {
        await noted;
        switch (state.Status)
        {
            case IntentStatus.Succeeded:
                if (await CapturedAsync(mine))
                    return ChargeReply.Captured(mine.PaymentId);
                return Answer(await attempts.FindAsync(mine.OrderId, mine.Attempt, CancellationToken.None) ?? throw new UnreachableException("A payment attempt is never deleted."));
            case IntentStatus.Declined:
                LogDeclined(mine.OrderId, mine.Attempt, state.DeclineCode);
                return await RefuseAsync(mine, Refusals.CardDeclined, closeIntent: false);
            case IntentStatus.Cancelled:
                return await RefuseAsync(mine, Refusals.Cancelled, closeIntent: false);
            case IntentStatus.Open or IntentStatus.Busy:
                await attempts.ReleaseAsync(mine, CancellationToken.None);
                return ChargeReply.Processing(mine.PaymentId);
            default:
                throw new UnreachableException($"{state.Status}");
        }
    }

    private async Task<bool> CapturedAsync(PaymentAttempt attempt)
    {
        if (!await attempts.CapturedAsync(attempt, CancellationToken.None))
            return false;
        await status.CapturedAsync(attempt.OrderId, attempt.Attempt, attempt.PaymentId, CancellationToken.None);
        LogCaptured(attempt.OrderId, attempt.Attempt);
        return true;
    }

    private async Task<ChargeReply> RefuseAsync(PaymentAttempt mine, string refusal, bool closeIntent, Task? noted = null)
    {
        await (noted ?? Task.CompletedTask);
        if (!await attempts.RefusedAsync(mine, refusal, closeIntent, CancellationToken.None))
            return Answer(await attempts.FindAsync(mine.OrderId, mine.Attempt, CancellationToken.None) ?? throw new UnreachableException("A payment attempt is never deleted."));
        await status.ForgetAsync(mine.OrderId, CancellationToken.None);
        LogRefused(mine.OrderId, mine.Attempt, refusal);
        return ChargeReply.Refused(refusal, mine.PaymentId);
    }

    // Somebody took over, or forbade the attempt, while the intent was being made. A successor made the same one by the same key, so it is cancelled only when the
    // attempt cannot charge any more.
    private async Task<ChargeReply> LostAsync(PaymentAttempt mine, string intentId, Task noted)
    {
        await noted;
        LogLost(mine.OrderId, mine.Attempt);
        var row = await attempts.FindAsync(mine.OrderId, mine.Attempt, CancellationToken.None) ?? throw new UnreachableException("A payment attempt is never deleted.");
        if (row.Status is AttemptStatus.Cancelled && row.IntentId is null)
        {
            try
            {
                await provider.CancelAsync(intentId, mine.Key("cancel"));
            }
            catch (ProviderFaultException fault)
            {
                LogFault(mine.OrderId, mine.Attempt, fault.Message); // it stays open there and takes nothing: no row knows it
            }

            await status.ForgetAsync(mine.OrderId, CancellationToken.None);
        }

        return Answer(row);
    }

    private async Task<(string? Method, string? Customer, string? Refusal)> MethodForAsync(ChargeRequest charge)
    {
        if (CardNumbers.LooksLikeOne(charge.PaymentMethod))
            return (null, null, Refusals.PaymentMethodMissing);
        return await methods.ForChargeAsync(charge.BuyerId, charge.PaymentMethod, CancellationToken.None) is { } method
            ? (method.ProviderMethod, method.ProviderCustomer, null)
            : (null, null, Refusals.PaymentMethodMissing);
    }

    private bool IsExpiring(DateTimeOffset reservationExpiresAt) => reservationExpiresAt - time.GetUtcNow() < options.Value.ReservationMargin;

    private static ChargeReply Answer(PaymentAttempt row) => row.Status switch
    {
        AttemptStatus.Charging => ChargeReply.Processing(row.PaymentId),
        AttemptStatus.Captured => ChargeReply.Captured(row.PaymentId),
        AttemptStatus.Refused => ChargeReply.Refused(row.Refusal!, row.PaymentId),
        AttemptStatus.Undoing or AttemptStatus.Cancelled or AttemptStatus.Refunded => ChargeReply.Refused(Refusals.Cancelled, row.PaymentId),
        var other => throw new UnreachableException($"{other}"),
    };

    [LoggerMessage(LogLevel.Information, "Order {OrderId} attempt {Attempt}: payment captured")]
    private partial void LogCaptured(Guid orderId, int attempt);

    [LoggerMessage(LogLevel.Information, "Order {OrderId} attempt {Attempt}: payment refused, {Refusal}")]
    private partial void LogRefused(Guid orderId, int attempt, string refusal);

    [LoggerMessage(LogLevel.Information, "Order {OrderId} attempt {Attempt}: card declined ({DeclineCode})")]
    private partial void LogDeclined(Guid orderId, int attempt, string? declineCode);

    [LoggerMessage(LogLevel.Warning, "Order {OrderId} attempt {Attempt}: {Fault}")]
    private partial void LogFault(Guid orderId, int attempt, string fault);

    [LoggerMessage(LogLevel.Warning, "Order {OrderId} attempt {Attempt}: whether the payment was taken is not known yet ({Fault}); it will be looked up")]
    private partial void LogInDoubt(Guid orderId, int attempt, string fault);

    [LoggerMessage(LogLevel.Warning, "Order {OrderId} attempt {Attempt}: taken over or cancelled while the payment was being prepared; nothing was charged here")]
    private partial void LogLost(Guid orderId, int attempt);
}
