using System.Net;
using Marketplace.Cart.Carts;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Cart.Tests.Carts;

public sealed class NothingIsLostInMemory(CartsInMemory market) : NothingIsLost(market), IClassFixture<CartsInMemory>;

public sealed class NothingIsLostInRedis(CartsInRedis market) : NothingIsLost(market), IClassFixture<CartsInRedis>
{
    [Fact]
    public async Task A_cart_expires_thirty_days_after_the_last_change()
    {
        await Ada.AddAsync(market.Product(), 1).CartAsync();
        Assert.InRange(await market.LifetimeAsync(AdaId), TimeSpan.FromDays(30) - TimeSpan.FromMinutes(1), TimeSpan.FromDays(30));
    }
}

/// <summary>What must hold on any store: tabs, replicas, deaths in the middle, events that come twice.</summary>
public abstract class NothingIsLost(CartFixture market)
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    protected Guid AdaId { get; } = Guid.NewGuid();

    protected HttpClient Ada => market.Cart.As(TestTokens.Buyer(AdaId));

    private HttpClient AdaElsewhere => market.Replica.As(TestTokens.Buyer(AdaId));

    [Fact]
    public async Task Ten_tabs_on_two_replicas_that_add_at_once_add_all_of_it()
    {
        var lamp = market.Product();
        var products = Enumerable.Range(0, 5).Select(_ => market.Product()).ToList();
        await Task.WhenAll(products.SelectMany((product, i) => new[]
        {
            (i % 2 == 0 ? Ada : AdaElsewhere).AddAsync(product, i + 1).CartAsync(),
            (i % 2 == 0 ? AdaElsewhere : Ada).AddAsync(lamp, 2).CartAsync(),
        }));
        var cart = await Ada.CartAsync();
        Assert.Equal(6, cart.Lines.Count);
        Assert.Equal(10, cart.Lines.Single(line => line.ProductId == lamp).Quantity);
        Assert.Equal(25, cart.Lines.Sum(line => line.Quantity));
    }

    [Fact]
    public async Task The_very_first_lines_from_two_tabs_end_in_one_cart()
    {
        for (var round = 0; round < 10; round++)
        {
            var token = TestTokens.Buyer(Guid.NewGuid());
            var (lamp, desk) = (market.Product(), market.Product());
            var carts = await Task.WhenAll(market.Cart.As(token).AddAsync(lamp, 1).CartAsync(), market.Replica.As(token).AddAsync(desk, 1).CartAsync());
            Assert.Equal(2, (await market.Cart.As(token).CartAsync()).Lines.Count);
            Assert.Single(carts.Select(cart => cart.CartId).Distinct());
        }
    }

    [Fact]
    public async Task However_many_write_at_once_what_was_answered_with_yes_is_there()
    {
        var lamp = market.Product();
        var answers = await Task.WhenAll(Enumerable.Range(0, 40).Select(i => (i % 2 == 0 ? Ada : AdaElsewhere).AddAsync(lamp, 1)));
        var yes = answers.Count(answer => answer.StatusCode == HttpStatusCode.OK);
        Assert.All(answers, answer => Assert.Contains(answer.StatusCode, new[] { HttpStatusCode.OK, HttpStatusCode.Conflict }));
        Assert.True(yes > 0);
        Assert.Equal(yes, Assert.Single((await Ada.CartAsync()).Lines).Quantity);
    }

    [Fact]
    public async Task A_guest_s_cart_comes_along_at_sign_in()
    {
        var guestId = Guid.NewGuid();
        var guestToken = TestTokens.Guest(guestId);
        var (lamp, desk) = (market.Product(100), market.Product(200));
        await Ada.AddAsync(lamp, 60).CartAsync();
        await market.Cart.As(guestToken).AddAsync(lamp, 50).CartAsync();
        await market.Cart.As(guestToken).AddAsync(desk, 2).CartAsync();

        var merged = await Ada.PostAsync("/api/v1/cart/merge", new { guestToken }).CartAsync();
        Assert.Equal([(lamp, 99), (desk, 2)], merged.Units());
        Assert.Equal(Money.Gbp(10_300), merged.Total);
        Assert.Empty((await market.Cart.As(guestToken).CartAsync()).Lines);

        var again = await Ada.PostAsync("/api/v1/cart/merge", new { guestToken }).CartAsync();
        Assert.Equal([(lamp, 99), (desk, 2)], again.Units());

        // The same browser goes on without signing in, and signs in again.
        await market.Cart.As(guestToken).AddAsync(desk, 1).CartAsync();
        Assert.Equal([(lamp, 99), (desk, 3)], (await Ada.PostAsync("/api/v1/cart/merge", new { guestToken }).CartAsync()).Units());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task A_merge_killed_after_any_of_its_writes_and_repeated_adds_once(int writesBeforeDeath)
    {
        var guestId = Guid.NewGuid();
        var guestToken = TestTokens.Guest(guestId);
        var lamp = market.Product();
        await Ada.AddAsync(lamp, 1).CartAsync();
        await market.Cart.As(guestToken).AddAsync(lamp, 2).CartAsync();

        // What the process had written when it died.
        var leaving = (await market.Store.ChangeAsync(guestId, cart => cart.Depart(AdaId, Guid.NewGuid()), Ct)).Contents.Leaving!;
        if (writesBeforeDeath > 1) await market.Store.ChangeAsync(AdaId, cart => cart.Receive(leaving), Ct);
        if (writesBeforeDeath > 2) await market.Store.ChangeAsync(guestId, cart => cart.Departed(leaving.MergeId), Ct);

        // Meanwhile the other tab, still a guest, goes on.
        var desk = market.Product();
        await market.Cart.As(guestToken).AddAsync(desk, 4).CartAsync();

        var merged = await Ada.PostAsync("/api/v1/cart/merge", new { guestToken }).CartAsync();
        Assert.Equal([(lamp, 3), (desk, 4)], merged.Units());
        Assert.Equal([(lamp, 3), (desk, 4)], (await Ada.PostAsync("/api/v1/cart/merge", new { guestToken }).CartAsync()).Units());
        Assert.Empty((await market.Cart.As(guestToken).CartAsync()).Lines);
    }

    [Fact]
    public async Task Merges_at_once_from_many_places_add_once()
    {
        var guestToken = TestTokens.Guest(Guid.NewGuid());
        var lamp = market.Product();
        await market.Cart.As(guestToken).AddAsync(lamp, 2).CartAsync();
        await Task.WhenAll(Enumerable.Range(0, 6).Select(i => (i % 2 == 0 ? Ada : AdaElsewhere).PostAsync("/api/v1/cart/merge", new { guestToken }).CartAsync()));
        Assert.Equal([(lamp, 2)], (await Ada.CartAsync()).Units());
    }

    [Fact]
    public async Task Lines_on_their_way_to_one_account_do_not_go_to_another()
    {
        var guestId = Guid.NewGuid();
        var guestToken = TestTokens.Guest(guestId);
        var lamp = market.Product();
        await market.Cart.As(guestToken).AddAsync(lamp, 2).CartAsync();
        await market.Store.ChangeAsync(guestId, cart => cart.Depart(AdaId, Guid.NewGuid()), Ct);

        var eve = market.Cart.As(TestTokens.Buyer(Guid.NewGuid()));
        Assert.Empty((await eve.PostAsync("/api/v1/cart/merge", new { guestToken }).CartAsync()).Lines);
        Assert.Equal([(lamp, 2)], (await Ada.CartAsync()).Units());
    }

    [Fact]
    public async Task Only_a_guest_s_own_token_opens_a_guest_s_cart()
    {
        using var forger = System.Security.Cryptography.ECDsa.Create(System.Security.Cryptography.ECCurve.NamedCurves.nistP256);
        string[] tokens =
        [
            "no token",
            TestTokens.Buyer(Guid.NewGuid()),
            TestTokens.Issue(Guid.NewGuid(), ["guest"], key: forger),
            TestTokens.Issue(Guid.NewGuid(), ["guest"], expiresIn: TimeSpan.FromMinutes(-1)),
        ];
        foreach (var guestToken in tokens)
        {
            var problem = await Ada.PostAsync("/api/v1/cart/merge", new { guestToken }).ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
            Assert.True(problem.GetProperty("errors").TryGetProperty("guestToken", out _));
        }
        var guest = TestTokens.Guest(Guid.NewGuid());
        await market.Cart.As(guest).PostAsync("/api/v1/cart/merge", new { guestToken = guest }).ProblemAsync(HttpStatusCode.Forbidden, "forbidden");
    }

    [Fact]
    public async Task An_item_added_while_an_order_is_pending_survives_it()
    {
        var (lamp, desk) = (market.Product(), market.Product());
        await Ada.AddAsync(lamp, 2).CartAsync();
        var ordered = await Ada.CartAsync();
        await Ada.AddAsync(lamp, 1).CartAsync();
        await Ada.AddAsync(desk, 4).CartAsync();

        await DeliverAsync(Confirmed(ordered.CartId, (lamp, 2)));
        Assert.Equal([(lamp, 1), (desk, 4)], (await Ada.CartAsync()).Units());
    }

    [Fact]
    public async Task A_confirmation_delivered_twice_or_published_anew_takes_out_once()
    {
        var lamp = market.Product();
        var cart = await Ada.AddAsync(lamp, 9).CartAsync();
        var confirmed = Confirmed(cart.CartId, (lamp, 2));
        await DeliverAsync(confirmed);
        await DeliverAsync(confirmed);
        await DeliverAsync(confirmed with { EventId = Guid.CreateVersion7() });
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => DeliverAsync(confirmed)));
        Assert.Equal([(lamp, 7)], (await Ada.CartAsync()).Units());
    }

    [Fact]
    public async Task Confirmations_of_two_orders_may_come_in_any_order()
    {
        var lamp = market.Product();
        var cart = await Ada.AddAsync(lamp, 9).CartAsync();
        await DeliverAsync(Confirmed(cart.CartId, (lamp, 3)));
        await DeliverAsync(Confirmed(cart.CartId, (lamp, 2)));
        Assert.Equal([(lamp, 4)], (await Ada.CartAsync()).Units());
    }

    [Fact]
    public async Task A_confirmation_that_comes_after_the_cart_was_replaced_or_emptied_is_ignored()
    {
        var lamp = market.Product();
        var ordered = await Ada.AddAsync(lamp, 2).CartAsync();
        await Ada.PutAsync("/api/v1/cart", new { lines = new[] { new { productId = lamp, quantity = 5 } } }).CartAsync();
        await DeliverAsync(Confirmed(ordered.CartId, (lamp, 2)));
        Assert.Equal([(lamp, 5)], (await Ada.CartAsync()).Units());

        var second = await Ada.CartAsync();
        using var cleared = await Ada.RemoveAsync("/api/v1/cart");
        await Ada.AddAsync(lamp, 1).CartAsync();
        await DeliverAsync(Confirmed(second.CartId, (lamp, 5)));
        Assert.Equal([(lamp, 1)], (await Ada.CartAsync()).Units());
    }

    [Fact]
    public async Task A_confirmation_for_a_buyer_without_a_cart_makes_none()
    {
        await DeliverAsync(Confirmed(Guid.NewGuid(), (market.Product(), 1)));
        Assert.False((await market.Store.LoadAsync(AdaId, Ct)).Exists);
    }

    private OrderConfirmed Confirmed(Guid cartId, params (Guid Product, int Quantity)[] lines) => new(
        Guid.CreateVersion7(), 1, AdaId, cartId, Money.Gbp(1),
        [.. lines.Select(line => new OrderedLine(line.Product, Guid.NewGuid(), "Lamp", line.Quantity, Money.Gbp(1)))],
        [], new("Ada", "1 Ockham Park", null, "Ockham", "GU23 6NH", "GB"), new("ada@example.com", "Ada"));

    private async Task DeliverAsync(OrderConfirmed confirmed)
    {
        using var response = await market.Cart.DeliverAsync(confirmed);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }
}
