using Marketplace.Ordering.Checkout;
using Marketplace.Ordering.FlashOrders;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace Marketplace.Ordering.Tests.FlashOrders;

/// <summary>The lanes run here: what is started is what the relay started.</summary>
public sealed class WhenASaleStorms
{
    private static readonly Dictionary<string, string?> ThreeAtATime = new()
    {
        ["Outbox:Lanes"] = "true",
        ["FlashOrders:UnderWay"] = "3",
        ["FlashOrders:WaitAtMost"] = "00:00:00.200",
        ["FlashOrders:Slow"] = "01:00:00",
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

    [Fact]
    public async Task Slow_sagas_leave_fewer_places_to_the_next_and_fast_ones_bring_them_back()
    {
        await using var shop = await Shop.OpenAsync();
        shop.Till.Amounts = _ => 999;
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        using var lane = ActivatorUtilities.CreateInstance<FlashLane>(
            shop.Service.Services, clock,
            Options.Create(new FlashOrderOptions { UnderWay = 3, AtLeast = 1, Slow = TimeSpan.FromSeconds(30), HeldAtMost = TimeSpan.FromHours(1), WaitAtMost = TimeSpan.Zero }));
        var (orders, ended) = (new Queue<Guid>(), new HashSet<string>());
        foreach (var _ in Enumerable.Range(0, 12)) orders.Enqueue(await shop.HearAsync(shop.Claim(Guid.CreateVersion7())));
        Assert.Equal(3, await FillAsync());

        clock.Advance(TimeSpan.FromMinutes(1));
        await EndAsync(1);
        Assert.Equal(2, await FillAsync());
        await EndAsync(1);
        Assert.Equal(1, await FillAsync());
        await EndAsync(1);
        Assert.Equal(1, await FillAsync());                                          // however slow

        await EndAsync(1);
        Assert.Equal(2, await FillAsync());
        await EndAsync(1);
        Assert.Equal(3, await FillAsync());
        await EndAsync(1);
        Assert.Equal(3, await FillAsync());

        async Task<int> FillAsync()
        {
            try
            {
                while (orders.TryPeek(out var next))
                {
                    await lane.StartAsync(new StartSaga(next, 1), default);
                    orders.Dequeue();
                }
            }
            catch (TimeoutException)
            {
                // No place left: the order stays at the head of the queue.
            }

            return lane.UnderWay;
        }

        async Task EndAsync(int many)
        {
            var before = lane.UnderWay;
            foreach (var id in shop.Sagas.Started.Distinct().Where(id => !ended.Contains(id)).Take(many).ToList())
            {
                ended.Add(id);
                await shop.RunAsync(Guid.Parse(id.Split('-')[0]));
            }

            await lane.LookAsync(default);
            Assert.Equal(before - many, lane.UnderWay);
        }
    }

    private static Task StartedAsync(Shop shop, int many) => Eventually.Async(
        () => Task.FromResult(shop.Sagas.Started.Distinct().Count(id => id.EndsWith("-1", StringComparison.Ordinal)) >= many), $"{many} sagas are started");
}
