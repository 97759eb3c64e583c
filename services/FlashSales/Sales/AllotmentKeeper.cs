using System.Diagnostics;
using Marketplace.FlashSales.Clients;
using Microsoft.Extensions.Options;

namespace Marketplace.FlashSales.Sales;

/// <summary>
/// Ends sales whose time is up, and keeps what inventory sets aside as our tables say it should be, whatever was cut off in between. What is
/// wanted follows from the sale and its claims alone (<see cref="AllotmentStore"/>), so any replica can put it right at any time.
/// </summary>
public sealed partial class AllotmentKeeper(
    SaleStore sales, AllotmentStore allotments, SaleMemory memory, IInventoryClient inventory, SalesMeter meter, TimeProvider time, IOptions<AllotmentOptions> options,
    ILogger<AllotmentKeeper> log) : BackgroundService
{
    private const int AtOnce = 20;
    private static readonly TimeSpan StrayEvery = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan KeysLast = TimeSpan.FromDays(2);       // as Idempotency-Keys do everywhere

    private readonly SemaphoreSlim woken = new(0, 1);
    private long strayAt = long.MinValue;

    /// <summary>There is something to do now.</summary>
    public void Wake()
    {
        if (woken.CurrentCount == 0)
        {
            try
            {
                woken.Release();
            }
            catch (SemaphoreFullException)
            {
                LogAlreadyAwake();                              // another call was faster: awake is all that was wanted
            }
        }
    }

    /// <summary>One round. Answers how many questions inventory was asked.</summary>
    public async Task<int> KeepAsync(CancellationToken ct)
    {
        foreach (var saleId in await sales.EndDueAsync(ct))
        {
            memory.Forget(saleId);
            meter.Ended(SaleEnd.Time);
            LogEnded(saleId);
        }

        var now = time.GetTimestamp();
        if (strayAt == long.MinValue || time.GetElapsedTime(strayAt, now) >= StrayEvery)
        {
            strayAt = now;
            await allotments.FindStrayAsync(time.GetUtcNow() - options.Value.Follow, ct);
            await allotments.ForgetKeysAsync(time.GetUtcNow() - KeysLast, ct);
        }

        // An answer often makes the next look due at once (nothing left to do, or the rest of it): until none is.
        var asked = 0;
        for (var due = await allotments.DueAsync(AtOnce, ct); due.Count > 0; due = await allotments.DueAsync(AtOnce, ct))
        {
            var before = asked;
            foreach (var saleId in due)
            {
                if (await allotments.AskAsync(saleId, options.Value.LookAgain, ct) is not { } question)
                    continue;
                asked++;
                await PutAsync(question, ct);
            }

            if (asked == before)
                break;                                          // the rest is in the hands of another replica
        }

        return asked;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (!stoppingToken.IsCancellationRequested)
            {
                try
                {
                    await KeepAsync(stoppingToken);
                }
                catch (Exception failure) when (failure is not OperationCanceledException)
                {
                    LogFailed(failure);                         // the database was away; what is due stays due
                }

                await WaitAsync(stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            return;                                             // the host stops
        }
    }

    // Until the next round or until woken, on the service's clock.
    private async Task WaitAsync(CancellationToken ct)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var pause = Task.Delay(options.Value.KeepEvery, time, over.Token);
        var wake = woken.WaitAsync(over.Token);
        await Task.WhenAny(pause, wake);
        await over.CancelAsync();
        ct.ThrowIfCancellationRequested();
    }

    private async Task PutAsync(AllotmentQuestion question, CancellationToken ct)
    {
        AllotmentReply reply;
        try
        {
            reply = await inventory.AllotAsync(question.SaleId, new(question.ProductId, question.SellerId, question.Wanted, question.Version), ct);
        }
        catch (Exception noAnswer) when (noAnswer is HttpRequestException || (noAnswer is TaskCanceledException && !ct.IsCancellationRequested))
        {
            meter.Unanswered();
            LogNoAnswer(question.SaleId, question.Wanted, noAnswer.Message);   // the question's lease runs out, and it is asked anew
            return;
        }

        var allotted = new Allotted(reply.Units, question.Version);
        if (reply.Version > question.Version)
        {
            LogOvertaken(question.SaleId, question.Version, reply.Version);
            await allotments.LookNowAsync(question.SaleId, question.Version, reply.Version, ct);
            return;
        }

        switch (question.Status)
        {
            case SaleStatus.Preparing when reply.Refusal is null:
                if (await allotments.ScheduleAsync(question.SaleId, allotted, ct))
                {
                    memory.Forget(question.SaleId);
                    meter.Scheduled();
                    LogFinished(question.SaleId);
                }
                else
                    await allotments.LookNowAsync(question.SaleId, question.Version, 0, ct);
                break;
            case SaleStatus.Preparing:
                await allotments.RefuseAsync(question.SaleId, ct);
                meter.Refused(reply.Refusal);
                LogRefused(question.SaleId, reply.Refusal);
                break;
            case SaleStatus.Refused when reply.Units == 0:
                await allotments.ForgetRefusedAsync(question.SaleId, question.Version, ct);
                break;
            case SaleStatus.Preparing or SaleStatus.Refused or SaleStatus.Scheduled or SaleStatus.Cancelled or SaleStatus.Ended:
                if (reply.Units != question.Wanted)
                    LogNotAsWanted(question.SaleId, question.Wanted, reply.Units, reply.Refusal);
                await allotments.AnsweredAsync(question.SaleId, allotted, options.Value.LookAgain, ct);
                meter.Settled();
                break;
            default:
                throw new UnreachableException(question.Status);
        }
    }

    [LoggerMessage(LogLevel.Information, "Sale {SaleId} has ended: its time is up")]
    private partial void LogEnded(Guid saleId);

    [LoggerMessage(LogLevel.Information, "Sale {SaleId} is scheduled: it was prepared by somebody who did not come back")]
    private partial void LogFinished(Guid saleId);

    [LoggerMessage(LogLevel.Warning, "Sale {SaleId}, prepared by somebody who did not come back, does not take place: {Refusal}")]
    private partial void LogRefused(Guid saleId, string refusal);

    [LoggerMessage(LogLevel.Warning, "Inventory did not say whether sale {SaleId} has {Wanted} units ({Reason}); it is asked again")]
    private partial void LogNoAnswer(Guid saleId, int wanted, string reason);

    [LoggerMessage(LogLevel.Warning, "Sale {SaleId} should have {Wanted} units and has {Units} ({Refusal}); it is asked for again")]
    private partial void LogNotAsWanted(Guid saleId, int wanted, int units, string? refusal);

    [LoggerMessage(LogLevel.Warning, "Inventory knows question {Known} about sale {SaleId}, later than ours of number {Version}: going on from there")]
    private partial void LogOvertaken(Guid saleId, long version, long known);

    [LoggerMessage(LogLevel.Debug, "Already awake")]
    private partial void LogAlreadyAwake();

    [LoggerMessage(LogLevel.Error, "Keeping sales and their allotments failed")]
    private partial void LogFailed(Exception failure);
}
