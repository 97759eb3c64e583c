using System.Text.Json;
using System.Text.Json.Serialization;
using Dapr.Actors;
using Dapr.Actors.Runtime;
using Marketplace.FlashSales.Sales;
using Microsoft.Extensions.Options;

namespace Marketplace.FlashSales.Claims;

/// <summary>
/// One shard of one sale, wherever Dapr puts it: it makes the calls come one at a time. All it knows is in the tables of
/// <see cref="ClaimStore"/>, so that it may be lost and be elsewhere at any moment; a second one at the same time is found out by the
/// shard's version. The rules are in <see cref="ShardMemory"/>.
/// </summary>
[Actor(TypeName = TypeName)]
public sealed class FlashSaleActor(
    ActorHost host, ClaimStore store, SaleMemory sales, TimeProvider time, IOptions<ClaimOptions> options, ClaimMeter meter, ILogger<SaleShard> log)
    : Actor(host), IFlashSaleActor
{
    public const string TypeName = "FlashSale";

    private readonly SaleShard shard = Of(host.Id, store, sales, time, options, meter, log);

    public static ActorId IdOf(Guid saleId, int shard) => new($"{saleId:N}-{shard}");

    public async Task<Decided[]> DecideAsync(Wish[] wishes) => Array.ConvertAll(await shard.DecideAsync(wishes), Decided.Of);

    public Task<bool> SettleAsync(Verdict[] verdicts) => shard.SettleAsync(verdicts);

    public Task<int> CloseAsync(string reason) => shard.CloseAsync(reason);

    public Task<bool> LeaveAsync(Guid buyer) => shard.LeaveAsync(buyer);

    public Task<int> HandOverAsync(HandOver handOver) => shard.HandOverAsync(handOver.ToShard, handOver.AtMost);

    private static SaleShard Of(
        ActorId id, ClaimStore store, SaleMemory sales, TimeProvider time, IOptions<ClaimOptions> options, ClaimMeter meter, ILogger<SaleShard> log) =>
        id.GetId().Split('-') is [var sale, var number] && Guid.TryParseExact(sale, "N", out var saleId) && int.TryParse(number, out var shard)
            ? new SaleShard(saleId, shard, store, sales, time, options, meter, log)
            : throw new ArgumentException($"{id} is no shard of a sale.", nameof(id));
}

/// <summary>Called by name with JSON. Every call may be repeated.</summary>
public interface IFlashSaleActor : IActor
{
    Task<Decided[]> DecideAsync(Wish[] wishes);

    Task<bool> SettleAsync(Verdict[] verdicts);

    Task<int> CloseAsync(string reason);

    Task<bool> LeaveAsync(Guid buyer);

    Task<int> HandOverAsync(HandOver handOver);
}

/// <summary>An <see cref="Answer"/> as it travels; a refusal is its outcome and nothing else.</summary>
public readonly record struct Decided(
    [property: JsonPropertyName("o")] Outcome Outcome,
    [property: JsonPropertyName("c")] Guid? ClaimId = null,
    [property: JsonPropertyName("r")] Guid? OrderId = null,
    [property: JsonPropertyName("s")] string? State = null,
    [property: JsonPropertyName("q")] int Quantity = 0,
    [property: JsonPropertyName("u")] DateTimeOffset? PayUntil = null,
    [property: JsonPropertyName("p")] int Position = 0)
{
    public static Decided Of(Answer answer) => answer.Claim is { } claim
        ? new(answer.Outcome, claim.ClaimId, claim.OrderId, claim.State, claim.Quantity, claim.PayUntil, answer.Position)
        : new(answer.Outcome);
}

public readonly record struct HandOver(int ToShard, int AtMost);

internal static class ActorJson
{
    /// <summary>Of both ends: thousands of refusals are one number each.</summary>
    public static readonly JsonSerializerOptions Options = new(JsonSerializerDefaults.Web) { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault };
}
