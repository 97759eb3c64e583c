using System.Collections.Concurrent;
using Marketplace.FlashSales.Claims;
using Microsoft.Extensions.DependencyInjection;

namespace Marketplace.FlashSales.Tests.Claims;

/// <summary>
/// Shards without a sidecar: one call at a time for each, as an actor's. Replicas with one such object between them are a healthy system; with one each they
/// are what happens when an actor is at work in two places.
/// </summary>
public sealed class DirectShards : IShards
{
    private readonly ConcurrentDictionary<(Guid SaleId, int Shard), Lazy<Activation>> active = new();
    private IServiceProvider? services;

    /// <summary>Called before each turn; what it throws is what the shard throws.</summary>
    public Func<Task> Before { get; set; } = () => Task.CompletedTask;

    /// <summary>Called after each turn, when all is written: an exception is an answer that got lost.</summary>
    public Func<Task> After { get; set; } = () => Task.CompletedTask;

    public int Calls { get; private set; }

    public void RunIn(IServiceProvider provider) => services = provider;

    /// <summary>The process that had them is gone: nothing in memory survives.</summary>
    public void Forget() => active.Clear();

    public async Task<Decided[]> DecideAsync(Guid saleId, int shard, Wish[] wishes) =>
        await TurnAsync(saleId, shard, async activation => Array.ConvertAll(await activation.DecideAsync(wishes), Decided.Of));

    public Task<bool> SettleAsync(Guid saleId, int shard, Verdict[] verdicts) => TurnAsync(saleId, shard, activation => activation.SettleAsync(verdicts));

    public Task<int> CloseAsync(Guid saleId, int shard, string reason) => TurnAsync(saleId, shard, activation => activation.CloseAsync(reason));

    public Task<bool> LeaveAsync(Guid saleId, int shard, Guid buyer) => TurnAsync(saleId, shard, activation => activation.LeaveAsync(buyer));

    public Task<int> HandOverAsync(Guid saleId, int shard, HandOver handOver) =>
        TurnAsync(saleId, shard, activation => activation.HandOverAsync(handOver.ToShard, handOver.AtMost));

    private async Task<T> TurnAsync<T>(Guid saleId, int shard, Func<SaleShard, Task<T>> call)
    {
        var activation = active.GetOrAdd((saleId, shard), key => new(() => new Activation(
            ActivatorUtilities.CreateInstance<SaleShard>(services!, key.SaleId, key.Shard)))).Value;
        await activation.Turn.WaitAsync();
        try
        {
            Calls++;
            await Before();
            var answer = await call(activation.Shard);
            await After();
            return answer;
        }
        finally
        {
            activation.Turn.Release();
        }
    }

    private sealed record Activation(SaleShard Shard)
    {
        public SemaphoreSlim Turn { get; } = new(1, 1);
    }
}
