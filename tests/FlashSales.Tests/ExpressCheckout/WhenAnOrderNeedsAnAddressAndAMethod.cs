using System.Net;
using System.Net.Http.Json;
using Marketplace.Contracts;
using Marketplace.FlashSales.Clients;
using Marketplace.FlashSales.ExpressCheckout;
using Marketplace.FlashSales.Tests.WaitingRoom;
using Marketplace.TestKit;

namespace Marketplace.FlashSales.Tests.ExpressCheckout;

public sealed class WhenAnOrderNeedsAnAddressAndAMethod
{
    private static readonly Uri Path = new("/api/v1/flash-sales/express-checkout", UriKind.Relative);

    [Fact]
    public async Task Whoever_joins_first_is_looked_up_once_and_remembered()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var (sale, other) = (await shop.HasSaleAsync(), await shop.HasSaleAsync());
        var ada = Guid.CreateVersion7();
        var home = AddressOf(ada);
        Knows(shop, [home], [new(ada, Guid.CreateVersion7())]);

        await shop.JoinAsync(sale, ada);
        await shop.JoinAsync(other, ada);

        Assert.Single(shop.Neighbour("identity").Calls);
        Assert.Single(shop.Neighbour("payments").Calls);
        var remembered = await shop.AsShopper(ada).GetFromJsonAsync<ExpressCheckoutReply>(Path, TestContext.Current.CancellationToken);
        Assert.Equal(
            new ExpressCheckoutReply(home.AddressId, new PostalAddress("Ada", "1 Ockham Park", null, "London", "SW1Y 4JH", "GB"), new OrderContact("ada@example.com", "Ada"), null),
            remembered);
    }

    [Fact]
    public async Task A_crowd_of_newcomers_is_looked_up_in_a_few_calls()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync();
        var crowd = Queue.Crowd(400);
        shop.Neighbour("identity").On(HttpMethod.Post, "/internal/addresses", call => FakeReply.Ok(
            new AddressesReply([.. call.Read<AddressesRequest>().Wanted.Select(wanted => AddressOf(wanted.AccountId))])));
        shop.Neighbour("payments").On(HttpMethod.Post, "/internal/payment-methods", call => FakeReply.Ok(
            new PaymentMethodsReply([.. call.Read<PaymentMethodsRequest>().Wanted.Select(wanted => new BuyerMethod(wanted.BuyerId, Guid.CreateVersion7()))])));

        await Task.WhenAll(crowd.Select(buyer => shop.JoinAsync(sale, buyer)));

        Assert.InRange(shop.Neighbour("identity").Calls.Count, 1, 200);
        Assert.Equal(400, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM express_checkouts"));
        Assert.Equal(400, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM places"));
    }

    [Theory]
    [InlineData(false, false, "address", "paymentMethod")]
    [InlineData(true, false, "paymentMethod")]
    [InlineData(false, true, "address")]
    public async Task What_is_missing_is_named_and_no_place_is_taken(bool hasAddress, bool hasMethod, params string[] missing)
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync();
        var ada = Guid.CreateVersion7();
        Knows(shop, hasAddress ? [AddressOf(ada)] : [], hasMethod ? [new(ada, Guid.CreateVersion7())] : []);

        using var refused = await shop.PostQueueAsync(sale, ada);
        var problem = await refused.ProblemAsync(HttpStatusCode.Conflict, "express-checkout-missing");
        Assert.Equal(missing, problem.GetProperty("missing").EnumerateArray().Select(one => one.GetString()));
        Assert.Equal(0, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM places"));
        using var none = await shop.AsShopper(ada).GetAsync(Path, TestContext.Current.CancellationToken);
        Assert.Equal("You have not left an address yet.", (await none.ProblemAsync(HttpStatusCode.NotFound, "not-found")).GetProperty("title").GetString());

        // Once it is there, joining works.
        Knows(shop, [AddressOf(ada)], [new(ada, Guid.CreateVersion7())]);
        await shop.JoinAsync(sale, ada);
    }

    [Fact]
    public async Task What_the_account_says_itself_replaces_what_was_looked_up_and_stays()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync();
        var ada = Guid.CreateVersion7();
        var (work, card) = (AddressOf(ada) with { Line1 = "12 St James's Square" }, Guid.CreateVersion7());
        Knows(shop, [AddressOf(ada)], [new(ada, Guid.CreateVersion7())]);
        await shop.JoinAsync(sale, ada);

        Knows(shop, [work], [new(ada, card)]);
        using var said = await shop.AsShopper(ada).PutAsJsonAsync(Path, new { work.AddressId, paymentMethodId = card }, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.OK, said.StatusCode);
        Assert.Equal([new WantedAddress(ada, work.AddressId)], shop.Neighbour("identity").Calls[^1].Read<AddressesRequest>().Wanted);
        Assert.Equal([new WantedMethod(ada, card)], shop.Neighbour("payments").Calls[^1].Read<PaymentMethodsRequest>().Wanted);

        await shop.Get<CheckoutStore>().RememberAsync([Queue.Remembered(ada)], default);             // a look-up that was under way
        var kept = await shop.AsShopper(ada).GetFromJsonAsync<ExpressCheckoutReply>(Path, TestContext.Current.CancellationToken);
        Assert.Equal((work.AddressId, "12 St James's Square", card), (kept!.AddressId, kept.ShipTo.Line1, kept.PaymentMethodId));
    }

    [Fact]
    public async Task Somebody_elses_address_or_method_is_refused_by_field()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var ada = Guid.CreateVersion7();
        Knows(shop, [], []);
        using var foreign = await shop.AsShopper(ada).PutAsJsonAsync(
            Path, new { addressId = Guid.CreateVersion7(), paymentMethodId = Guid.CreateVersion7() }, TestContext.Current.CancellationToken);
        var errors = (await foreign.ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation")).GetProperty("errors");
        Assert.True(errors.TryGetProperty("addressId", out _) && errors.TryGetProperty("paymentMethodId", out _), errors.ToString());

        using var nothing = await shop.AsShopper(ada).PutAsJsonAsync(Path, new { }, TestContext.Current.CancellationToken);
        Assert.True((await nothing.ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation")).GetProperty("errors").TryGetProperty("addressId", out _));

        Knows(shop, [AddressOf(ada)], []);
        using var penniless = await shop.AsShopper(ada).PutAsJsonAsync(Path, new { addressId = Guid.CreateVersion7() }, TestContext.Current.CancellationToken);
        await penniless.ProblemAsync(HttpStatusCode.Conflict, "express-checkout-missing");
        using var guest = await shop.AsGuest(Guid.CreateVersion7()).PutAsJsonAsync(Path, new { addressId = Guid.CreateVersion7() }, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Forbidden, guest.StatusCode);
    }

    [Fact]
    public async Task A_neighbour_that_is_away_is_told_and_costs_nobody_who_was_remembered()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync();
        Knows(shop, [], []);
        shop.Neighbour("payments").On(HttpMethod.Post, "/internal/payment-methods", _ => FakeReply.Broken);
        using var away = await shop.PostQueueAsync(sale, Guid.CreateVersion7());
        Assert.Equal(HttpStatusCode.ServiceUnavailable, away.StatusCode);
        await shop.JoinAsync(sale, (await shop.PreparedAsync(1))[0]);
    }

    private static AccountAddress AddressOf(Guid account) => new(account, Guid.CreateVersion7(), "Ada", "1 Ockham Park", null, "London", "SW1Y 4JH", "GB");

    private static void Knows(FlashSalesFixture shop, AccountAddress[] addresses, BuyerMethod[] methods)
    {
        shop.Neighbour("identity").On(HttpMethod.Post, "/internal/addresses", new AddressesReply(addresses));
        shop.Neighbour("payments").On(HttpMethod.Post, "/internal/payment-methods", new PaymentMethodsReply(methods));
    }
}
