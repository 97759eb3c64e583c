using Dapr;
using Dapr.Actors.Client;
using Microsoft.Extensions.Options;

namespace Marketplace.FlashSales.Claims;

/// <summary>The shards of all sales, wherever they are.</summary>
/// <exception cref="ShardAwayException">It gave no answer. What was asked may have been done; asking again is safe.</exception>
public interface IShards
{
    Task<Decided[]> DecideAsync(Guid saleId, int shard, Wish[] wishes);

    /// <summary>Answers whether the sale is sold out by it.</summary>
    Task<bool> SettleAsync(Guid saleId, int shard, Verdict[] verdicts);

    Task<int> CloseAsync(Guid saleId, int shard, string reason);

    Task<bool> LeaveAsync(Guid saleId, int shard, Guid buyer);

    Task<int> HandOverAsync(Guid saleId, int shard, HandOver handOver);
}

/// <summary>
/// Asks actors by way of the sidecar. A replica that is killed takes its actors along and Dapr has them elsewhere a moment later; since every
/// call may be repeated, it is asked again for as long as a buyer would wait anyhow.
/// </summary>
public sealed class ActorShards(IActorProxyFactory proxies, IOptions<ClaimOptions> options) : IShards
{
    public Task<Decided[]> DecideAsync(Guid saleId, int shard, Wish[] wishes) =>
        AskAsync<Wish[], Decided[]>(saleId, shard, nameof(IFlashSaleActor.DecideAsync), wishes);

    public Task<bool> SettleAsync(Guid saleId, int shard, Verdict[] verdicts) =>
        AskAsync<Verdict[], bool>(saleId, shard, nameof(IFlashSaleActor.SettleAsync), verdicts);

    public Task<int> CloseAsync(Guid saleId, int shard, string reason) => AskAsync<string, int>(saleId, shard, nameof(IFlashSaleActor.CloseAsync), reason);

    public Task<bool> LeaveAsync(Guid saleId, int shard, Guid buyer) => AskAsync<Guid, bool>(saleId, shard, nameof(IFlashSaleActor.LeaveAsync), buyer);

    public Task<int> HandOverAsync(Guid saleId, int shard, HandOver handOver) =>
        AskAsync<HandOver, int>(saleId, shard, nameof(IFlashSaleActor.HandOverAsync), handOver);

    private async Task<TReply> AskAsync<TAsk, TReply>(Guid saleId, int shard, string method, TAsk ask)
    {
        var actor = proxies.Create(FlashSaleActor.IdOf(saleId, shard), FlashSaleActor.TypeName);
        for (var tries = 1; ; tries++)
        {
            using var limit = new CancellationTokenSource(options.Value.ShardTimeout);
            try
            {
                return await actor.InvokeMethodAsync<TAsk, TReply>(method, ask, limit.Token);
            }
            catch (Exception fault) when (fault is DaprApiException or HttpRequestException or OperationCanceledException)
            {
                if (tries >= options.Value.AskTries) throw new ShardAwayException(saleId, shard, fault);
            }

            await Task.Delay(options.Value.AskPause);
        }
    }
}

public sealed class ShardAwayException(Guid saleId, int shard, Exception fault)
    : Exception($"Shard {shard} of sale {saleId} gave no answer: {fault.Message}", fault);
