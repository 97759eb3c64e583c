using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.Extensions.Options;

namespace Marketplace.FlashSales.Claims;

/// <summary>
/// What became of the orders that claims were made into. Most orders of the shop are none of ours: those that arrive together are looked up
/// together and dismissed. News that come twice or late find their claim settled.
/// </summary>
public static class OrderOutcomes
{
    public static void MapOrderOutcomes(this IEndpointRouteBuilder routes)
    {
        routes.MapEvent(OrderConfirmed.Topic, (OrderConfirmed told, Outcomes outcomes, CancellationToken ct) => HeardAsync(outcomes, told.OrderId, paid: true, "", ct));
        routes.MapEvent(OrderFailed.Topic, (OrderFailed told, Outcomes outcomes, CancellationToken ct) => HeardAsync(outcomes, told.OrderId, paid: false, told.Reason, ct));
        routes.MapEvent(OrderCancelled.Topic, (OrderCancelled told, Outcomes outcomes, CancellationToken ct) => HeardAsync(outcomes, told.OrderId, paid: false, told.Reason, ct));
        routes.MapEvent(OrderPaymentFailed.Topic, (OrderPaymentFailed told, Outcomes outcomes, CancellationToken ct) => HeardAsync(outcomes, told.OrderId, paid: false, told.Reason, ct));
    }

    private static async Task<IResult> HeardAsync(Outcomes outcomes, Guid orderId, bool paid, string reason, CancellationToken ct)
    {
        await outcomes.HeardAsync(orderId, paid, reason, ct);
        return TypedResults.Ok();
    }
}

/// <summary>Brings an order's end to the shard that its claim belongs to.</summary>
public sealed partial class Outcomes
{
    private readonly ClaimStore store;
    private readonly IShards shards;
    private readonly ILogger<Outcomes> log;
    private readonly Batcher<Guid, Known?> lookups;
    private readonly Batcher<(Known Claim, Verdict Verdict), bool> verdicts;

    public Outcomes(ClaimStore store, IShards shards, IOptions<ClaimOptions> options, ILogger<Outcomes> log)
    {
        (this.store, this.shards, this.log) = (store, shards, log);
        lookups = new(options.Value.BatchSize, options.Value.GatherFor, LookUpAsync);
        verdicts = new(options.Value.BatchSize, options.Value.GatherFor, SettleAsync);
    }

    /// <summary>Answers when it is in the tables. No order of a sale, or one whose claim is over: nothing happens.</summary>
    public async Task HeardAsync(Guid orderId, bool paid, string reason, CancellationToken ct)
    {
        if (await lookups.AskAsync(orderId, ct) is not { } claim) return;
        if (claim.State is ClaimState.Released)
        {
            if (paid) LogPaidAfterRelease(orderId, claim.ClaimId);
            return;
        }

        if (claim.State == ClaimState.Paid && paid) return;
        await verdicts.AskAsync((claim, new Verdict(claim.ClaimId, paid, reason)), ct);
    }

    private async Task<IReadOnlyList<Known?>> LookUpAsync(IReadOnlyList<Guid> orders)
    {
        var known = await store.ByOrderAsync([.. orders.Distinct()], default);
        return [.. orders.Select(order => known.GetValueOrDefault(order))];
    }

    private async Task<IReadOnlyList<bool>> SettleAsync(IReadOnlyList<(Known Claim, Verdict Verdict)> heard)
    {
        await Task.WhenAll(heard.GroupBy(one => (one.Claim.SaleId, one.Claim.Shard)).Select(shard =>
            shards.SettleAsync(shard.Key.SaleId, shard.Key.Shard, [.. shard.Select(one => one.Verdict)])));
        return [.. heard.Select(_ => true)];
    }

    [LoggerMessage(LogLevel.Warning, "Order {OrderId} was said to be paid after claim {ClaimId} was released: the claim stays released")]
    private partial void LogPaidAfterRelease(Guid orderId, Guid claimId);
}
