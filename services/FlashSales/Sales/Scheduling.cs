using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Marketplace.FlashSales.Clients;
using Marketplace.Hosting;

namespace Marketplace.FlashSales.Sales;

public enum SaleRefusal
{
    None,

    /// <summary>Unknown, or another seller's: the two must look alike.</summary>
    NoSuchProduct,
    OtherCurrency,
    NotEnoughStock,

    /// <summary>The request began another sale before.</summary>
    KeyReused,

    /// <summary>Inventory gave no answer, or took too long: nothing was changed, whatever it did is undone.</summary>
    NoAnswer,
    NotYours,
    Stale,
    Started,
    Over,

    /// <summary>Units are being asked for this sale at this moment.</summary>
    Busy,
}

/// <param name="SaleId">The sale that is as asked for, when nothing is refused.</param>
/// <param name="Available">How many units the sale could have, when there are not enough.</param>
/// <param name="Currency">The listing's, when it is another.</param>
public sealed record SaleOutcome(SaleRefusal Refusal, Guid SaleId = default, int Available = 0, string? Currency = null)
{
    public static SaleOutcome Done(Guid saleId) => new(SaleRefusal.None, saleId);
}

/// <summary>
/// Schedules, changes and ends sales. Each is written down here first, inventory is asked next, and only then it holds; in whatever place it is
/// cut off, <see cref="AllotmentKeeper"/> goes on from what is written.
/// </summary>
public sealed partial class Scheduling(
    SaleStore sales, AllotmentStore allotments, AllotmentKeeper keeper, SaleMemory memory, ICatalogClient catalog, IInventoryClient inventory, SalesMeter meter, TimeProvider time,
    ILogger<Scheduling> log)
{
    /// <param name="seller">Null for an operator: the sale is then the product's seller's.</param>
    /// <param name="askedKey">The same for each repeat of the request.</param>
    public async Task<SaleOutcome> ScheduleAsync(ScheduleRequest request, SellerId? seller, string askedKey, CancellationToken ct)
    {
        var hash = SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes(request, JsonSerializerOptions.Web));
        if (await sales.FindAskedAsync(askedKey, ct) is not { } begun)
        {
            if (await catalog.FindAsync(request.ProductId, ct) is not { } product || (seller is { } own && own.Value != product.SellerId))
                return Refused(SaleRefusal.NoSuchProduct);
            if (product.Price.Currency != request.Price.Currency)
                return new SaleOutcome(SaleRefusal.OtherCurrency, Currency: product.Price.Currency);

            var now = time.GetUtcNow();
            await sales.PrepareAsync(
                Guid.CreateVersion7(now), product.SellerId, product.ProductId, product.Title, request.Terms, askedKey, hash, now + AllotmentStore.Lease, ct);
            if (await sales.FindAskedAsync(askedKey, ct) is not { } prepared)
                return Refused(SaleRefusal.NoAnswer);           // a repeat of the request that was faster has been refused meanwhile
            begun = prepared;
        }

        var (sale, knownHash, version) = begun;
        if (!knownHash.AsSpan().SequenceEqual(hash))
            return Refused(SaleRefusal.KeyReused);
        if (sale.Status != SaleStatus.Preparing)
            return SaleOutcome.Done(sale.SaleId);

        // From here on the caller may hang up: what is written down is brought to an end.
        if (await AskInventoryAsync(new(sale.SaleId, sale.ProductId, sale.SellerId, sale.Units, version, sale.Status)) is not { } reply)
            return await WithdrawAsync(sale.SaleId, Refused(SaleRefusal.NoAnswer));
        if (reply.Version > version)
            return await WhatBecameOfAsync(sale.SaleId);
        if (reply.Refusal is not null)
            return await WithdrawAsync(sale.SaleId, new SaleOutcome(SaleRefusal.NotEnoughStock, Available: reply.Available));
        if (!await allotments.ScheduleAsync(sale.SaleId, new Allotted(reply.Units, version), CancellationToken.None))
            return await WhatBecameOfAsync(sale.SaleId);

        memory.Forget(sale.SaleId);
        meter.Scheduled();
        LogScheduled(sale.SaleId, sale.Units, sale.ProductId, sale.SellerId);
        return SaleOutcome.Done(sale.SaleId);
    }

    /// <param name="revision">The one the caller read; null for whichever it is.</param>
    public async Task<SaleOutcome> ChangeAsync(Guid saleId, SellerId? seller, long? revision, ChangeRequest request, CancellationToken ct)
    {
        var terms = request.Terms;
        if (await sales.FindAsync(saleId, ct) is not { IsAnnounced: true } sale || (seller is { } own && own.Value != sale.SellerId))
            return Refused(SaleRefusal.NotYours);
        if (WhyNot(sale, revision) is { } refusal)
            return Refused(refusal);
        if (sale.Price.Currency != terms.Price.Currency)
            return new SaleOutcome(SaleRefusal.OtherCurrency, Currency: sale.Price.Currency);

        AllotmentQuestion? question = null;
        Allotted? granted = null;
        if (terms.Units > sale.Allotted)
        {
            question = await allotments.AskForMoreAsync(saleId, sale.Revision, terms.Units, ct);
            if (question is null)
                return await WhyNotAsync(saleId, sale.Revision, SaleRefusal.Busy);
            var reply = await AskInventoryAsync(question);
            if (reply is null || reply.Version > question.Version || reply.Refusal is not null)
            {
                await allotments.LookNowAsync(saleId, question.Version, reply?.Version ?? 0, CancellationToken.None);
                keeper.Wake();
                return reply is { Refusal: not null }
                    ? new SaleOutcome(SaleRefusal.NotEnoughStock, Available: reply.Units + reply.Available)
                    : Refused(SaleRefusal.NoAnswer);
            }

            granted = new Allotted(reply.Units, question.Version);
        }

        var changed = await sales.ChangeAsync(saleId, sale.Revision, terms, granted, CancellationToken.None);
        memory.Forget(saleId);
        if (!changed && question is not null)
            await allotments.LookNowAsync(saleId, question.Version, 0, CancellationToken.None);     // what was granted goes back
        keeper.Wake();
        if (!changed)
            return await WhyNotAsync(saleId, sale.Revision, SaleRefusal.Busy);

        LogChanged(saleId, terms.Units, terms.StartsAt);
        return SaleOutcome.Done(saleId);
    }

    /// <summary>Calls it off before the start, ends it afterwards; one that is over stays as it is.</summary>
    /// <param name="seller">Null for an operator.</param>
    public async Task<SaleOutcome> EndAsync(Guid saleId, SellerId? seller, CancellationToken ct)
    {
        if (await sales.FindAsync(saleId, ct) is not { IsAnnounced: true } sale || (seller is { } own && own.Value != sale.SellerId))
            return Refused(SaleRefusal.NotYours);

        var reason = seller is null ? SaleEnd.ByOperator : SaleEnd.BySeller;
        if (await sales.EndAsync(saleId, reason, ct))
        {
            memory.Forget(saleId);
            meter.Ended(reason);
            keeper.Wake();
            LogEnded(saleId, reason);
        }

        return SaleOutcome.Done(saleId);
    }

    /// <summary>What names the request of a caller for ever: key and subject, not to be read back.</summary>
    public static string AskedKey(string subject, string key) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{subject}\n{key}")));

    private async Task<AllotmentReply?> AskInventoryAsync(AllotmentQuestion question)
    {
        try
        {
            return await inventory.AllotAsync(
                question.SaleId, new(question.ProductId, question.SellerId, question.Wanted, question.Version), CancellationToken.None);
        }
        catch (Exception noAnswer) when (noAnswer is HttpRequestException or TaskCanceledException)
        {
            meter.Unanswered();
            LogNoAnswer(question.SaleId, question.Wanted, noAnswer.Message);
            return null;
        }
    }

    private async Task<SaleOutcome> WithdrawAsync(Guid saleId, SaleOutcome outcome)
    {
        if (!await allotments.RefuseAsync(saleId, CancellationToken.None))
            return await WhatBecameOfAsync(saleId);             // somebody else finished it
        keeper.Wake();
        meter.Refused(outcome.Refusal.ToString());
        LogWithdrawn(saleId, outcome.Refusal);
        return outcome;
    }

    // Another replica is or was at it too: a repeat of the request, or the keeper, who took us for dead.
    private async Task<SaleOutcome> WhatBecameOfAsync(Guid saleId)
    {
        if (await sales.FindAsync(saleId, CancellationToken.None) is { IsAnnounced: true })
            return SaleOutcome.Done(saleId);
        if (await allotments.RefuseAsync(saleId, CancellationToken.None))
            keeper.Wake();                                      // prepared, but its start came first
        return Refused(SaleRefusal.NoAnswer);
    }

    private SaleRefusal? WhyNot(Sale sale, long? revision) =>
        sale.Status != SaleStatus.Scheduled ? SaleRefusal.Over
        : sale.HasStarted(time.GetUtcNow()) ? SaleRefusal.Started
        : revision is { } known && known != sale.Revision ? SaleRefusal.Stale
        : null;

    private async Task<SaleOutcome> WhyNotAsync(Guid saleId, long revision, SaleRefusal otherwise) =>
        Refused(await sales.FindAsync(saleId, CancellationToken.None) is { } sale ? WhyNot(sale, revision) ?? otherwise : SaleRefusal.NotYours);

    private static SaleOutcome Refused(SaleRefusal refusal) => new(refusal);

    [LoggerMessage(LogLevel.Information, "Sale {SaleId} is scheduled: {Units} units of product {ProductId} of seller {SellerId}")]
    private partial void LogScheduled(Guid saleId, int units, Guid productId, Guid sellerId);

    [LoggerMessage(LogLevel.Information, "Sale {SaleId} has other terms: {Units} units from {StartsAt:O}")]
    private partial void LogChanged(Guid saleId, int units, DateTimeOffset startsAt);

    [LoggerMessage(LogLevel.Information, "Sale {SaleId} is over before its time: {Reason}")]
    private partial void LogEnded(Guid saleId, string reason);

    [LoggerMessage(LogLevel.Information, "Sale {SaleId} does not take place: {Refusal}")]
    private partial void LogWithdrawn(Guid saleId, SaleRefusal refusal);

    [LoggerMessage(LogLevel.Warning, "Inventory did not say whether sale {SaleId} may have {Units} units: {Reason}")]
    private partial void LogNoAnswer(Guid saleId, int units, string reason);
}
