using System.Net;
using Marketplace.Contracts;
using Marketplace.FlashSales.Claims;
using Marketplace.FlashSales.Sales;
using Marketplace.TestKit;

namespace Marketplace.FlashSales.Tests.Claims;

/// <summary>Claims past their time: ordering says what became of the order, and nothing is released without its word.</summary>
public sealed class WhenNobodyPays : IAsyncLifetime
{
    private ClaimCounter counter = null!;
    private Sale sale = null!;
    private Guid ada, bruno;
    private Decided adas;

    public async ValueTask InitializeAsync()
    {
        counter = await ClaimCounter.OpenAsync();
        sale = await counter.Shop.HasSaleAsync(units: 1, startsIn: TimeSpan.FromSeconds(-1), waitingList: 2);
        (ada, bruno) = (await counter.HasShopperAsync(), await counter.HasShopperAsync());
        adas = await counter.ClaimAsync(sale, ada);
        await counter.ClaimAsync(sale, bruno);
    }

    public async ValueTask DisposeAsync()
    {
        await counter.BooksBalanceAsync();
        await counter.DisposeAsync();
    }

    [Fact]
    public async Task Before_their_time_nobody_is_asked()
    {
        counter.Shop.Clock.Advance(TimeSpan.FromMinutes(9));
        await counter.SweepAsync();                                 // a call that was not announced would fail the test
        Assert.Equal((1, 0, 1), await counter.CountsAsync(sale));
    }

    [Theory]
    [InlineData("abandoned")]
    [InlineData("failed")]
    [InlineData("cancelled")]
    public async Task An_order_that_will_not_be_paid_gives_its_unit_to_the_next(string status)
    {
        OrderingSays(status);
        counter.Shop.Clock.Advance(TimeSpan.FromMinutes(10));
        await counter.SweepAsync();

        Assert.Equal((ClaimState.Released, "not_paid_in_time"), await StateOfAsync(ada));
        Assert.Equal(ClaimState.Claimed, (await StateOfAsync(bruno)).State);
        Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleReleased>());
        Assert.Equal("not_paid_in_time", Assert.Single(counter.Shop.Neighbour("ordering").Calls).Read<AbandonedFor>().Reason);
        await counter.SweepAsync();
        Assert.Single(counter.Shop.Neighbour("ordering").Calls);    // the next has ten minutes of their own
    }

    [Fact]
    public async Task An_order_that_was_paid_meanwhile_is_paid()
    {
        OrderingSays("confirmed");
        counter.Shop.Clock.Advance(TimeSpan.FromMinutes(10));
        await counter.SweepAsync();
        Assert.Equal(ClaimState.Paid, (await StateOfAsync(ada)).State);
        Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleSoldOut>());
    }

    [Fact]
    public async Task An_order_under_way_is_asked_about_again_and_not_at_once()
    {
        OrderingSays("pending");
        counter.Shop.Clock.Advance(TimeSpan.FromMinutes(10));
        await counter.SweepAsync();
        await counter.SweepAsync();
        Assert.Single(counter.Shop.Neighbour("ordering").Calls);
        Assert.Equal(ClaimState.Claimed, (await StateOfAsync(ada)).State);

        OrderingSays("cancelled");
        counter.Shop.Clock.Advance(TimeSpan.FromSeconds(15));
        await counter.SweepAsync();
        Assert.Equal(ClaimState.Released, (await StateOfAsync(ada)).State);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task While_ordering_gives_no_answer_nothing_is_released(bool broken)
    {
        counter.Shop.Neighbour("ordering").On(HttpMethod.Post, "/internal/flash-orders/*", _ => broken ? FakeReply.Broken : new FakeReply((int)HttpStatusCode.ServiceUnavailable));
        counter.Shop.Clock.Advance(TimeSpan.FromMinutes(10));
        await counter.SweepAsync();
        Assert.Equal(ClaimState.Claimed, (await StateOfAsync(ada)).State);

        OrderingSays("abandoned");
        counter.Shop.Clock.Advance(TimeSpan.FromSeconds(15));
        await counter.SweepAsync();
        Assert.Equal(ClaimState.Released, (await StateOfAsync(ada)).State);
    }

    [Fact]
    public async Task Two_replicas_ask_once()
    {
        await using var other = await counter.SecondAsync();
        OrderingSays("abandoned");
        other.Shop.Neighbour("ordering").On(HttpMethod.Post, "/internal/flash-orders/*", new { status = "abandoned" });
        counter.Shop.Clock.Advance(TimeSpan.FromMinutes(10));

        await Task.WhenAll(counter.SweepAsync(), other.SweepAsync());

        Assert.Equal(1, counter.Shop.Neighbour("ordering").Calls.Count + other.Shop.Neighbour("ordering").Calls.Count);
        Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleReleased>());
        Assert.Equal((1, 0, 0), await counter.CountsAsync(sale));
    }

    [Fact]
    public async Task The_event_and_the_sweep_at_once_release_once()
    {
        OrderingSays("failed");
        counter.Shop.Clock.Advance(TimeSpan.FromMinutes(10));
        await Task.WhenAll(counter.SweepAsync(), counter.FailAsync(adas.OrderId!.Value, "not_paid_in_time"));
        Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleReleased>());
        Assert.Equal((1, 0, 0), await counter.CountsAsync(sale));
    }

    private void OrderingSays(string status) =>
        counter.Shop.Neighbour("ordering").On(HttpMethod.Post, $"/internal/flash-orders/{adas.OrderId}/abandonment", new { status });

    private async Task<(string State, string? Reason)> StateOfAsync(Guid buyer) =>
        await counter.LastClaimAsync(sale, buyer) is { } last ? (last.Claim.State, last.Reason) : ("none", null);

    private sealed record AbandonedFor(string Reason);
}
