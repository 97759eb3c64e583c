using Marketplace.Ordering.Checkout;
using Marketplace.Ordering.FlashOrders;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;

namespace Marketplace.Ordering.Tests.FlashOrders;

/// <summary>The lanes run here: what is started is what the relay started.</summary>
public sealed class WhenASaleStorms
{
    private static readonly Dictionary<string, string?> ThreeAtATime = new()
    {
        ["Outbox:Lanes"] = "true",
        ["FlashOrders:UnderWay"] = "3",
        ["FlashOrders:WaitAtMost"] = "00:00:00.200",
    };

    [Fact]
    public async Task A_bounded_number_of_its_sagas_is_under_way_and_ordinary_orders_do_not_wait_for_them()
    {
        await using var shop = await Shop.OpenAsync(ThreeAtATime);
        shop.Till.Amounts = _ => 999;
        var orders = new List<Guid>();
        foreach (var _ in Enumerable.Range(0, 12)) orders.Add(await shop.HearAsync(shop.Claim(Guid.CreateVersion7())));
        await StartedAsync(shop, 3);

        // None of the three has ended: an ordinary checkout starts at once, the fourth does not.
        var ordinary = await shop.OrderAsync(Guid.CreateVersion7());
        await Eventually.Async(() => Task.FromResult(shop.Sagas.Started.Contains($"{ordinary:N}-1")), "an ordinary saga starts while the sale has all its places taken");
        Assert.Equal(3, Flash(shop).Count);

        var ended = new HashSet<Guid>();
        while (ended.Count < orders.Count)
        {
            await Eventually.Async(() => Task.FromResult(Flash(shop).Count >= Math.Min(ended.Count + 3, orders.Count)), "whoever is next takes the place that was left");
            Assert.True(Flash(shop).Count <= ended.Count + 3);
            var next = Flash(shop).Select(id => Guid.Parse(id.Split('-')[0])).First(order => !ended.Contains(order));
            await shop.RunAsync(next);
            ended.Add(next);
        }

        await Eventually.Async(() => Task.FromResult(shop.Service.Services.GetRequiredService<FlashLane>().UnderWay == 0), "all places are free when all sagas have ended");
        Assert.Equal(12, Flash(shop).Count);

        IReadOnlyList<string> Flash(Shop of) => [.. of.Sagas.Started.Where(id => id != $"{ordinary:N}-1").Distinct()];
    }

    [Fact]
    public async Task The_same_command_again_and_one_with_nothing_to_start_take_no_place()
    {
        await using var shop = await Shop.OpenAsync(new Dictionary<string, string?> { ["FlashOrders:UnderWay"] = "2", ["FlashOrders:WaitAtMost"] = "00:00:00" });
        shop.Till.Amounts = _ => 999;
        var lane = shop.Service.Services.GetRequiredService<FlashLane>();
        var (one, over) = (await shop.HearAsync(shop.Claim(Guid.CreateVersion7())), await shop.HearAsync(shop.Claim(Guid.CreateVersion7())));
        await shop.RunAsync(over);

        await lane.StartAsync(new StartSaga(one, 1), default);
        await lane.StartAsync(new StartSaga(one, 1), default);
        await lane.StartAsync(new StartSaga(over, 1), default);
        shop.Sagas.Unreachable = true;
        await Assert.ThrowsAsync<Grpc.Core.RpcException>(() => lane.StartAsync(new StartSaga(one, 1), default));
        shop.Sagas.Unreachable = false;
        Assert.Equal(1, lane.UnderWay);

        var (two, three) = (await shop.HearAsync(shop.Claim(Guid.CreateVersion7())), await shop.HearAsync(shop.Claim(Guid.CreateVersion7())));
        await lane.StartAsync(new StartSaga(two, 1), default);
        await Assert.ThrowsAsync<TimeoutException>(() => lane.StartAsync(new StartSaga(three, 1), default));
    }

    [Fact]
    public async Task A_saga_that_waits_for_somebody_gives_its_place_up_after_a_while()
    {
        await using var shop = await Shop.OpenAsync(new Dictionary<string, string?>(ThreeAtATime) { ["FlashOrders:UnderWay"] = "1", ["FlashOrders:HeldAtMost"] = "00:00:00.300" });
        foreach (var _ in Enumerable.Range(0, 3)) await shop.HearAsync(shop.Claim(Guid.CreateVersion7()));

        await StartedAsync(shop, 3);                                                 // though none ever ends
    }

    private static Task StartedAsync(Shop shop, int many) => Eventually.Async(
        () => Task.FromResult(shop.Sagas.Started.Distinct().Count(id => id.EndsWith("-1", StringComparison.Ordinal)) >= many), $"{many} sagas are started");
}
