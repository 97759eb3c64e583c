using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;

namespace Marketplace.Ordering.Tests.Checkout;

public sealed class WhenAPaymentIsCompletedLater : IAsyncLifetime
{
    private readonly Guid ada = Guid.CreateVersion7();
    private Shop shop = null!;
    private HttpClient buyer = null!;
    private Guid order;

    public async ValueTask InitializeAsync()
    {
        shop = await Shop.OpenAsync();
        buyer = shop.As(ada);
        order = await shop.SoldAsync(ada, "pm_card_declined");
    }

    public async ValueTask DisposeAsync()
    {
        buyer.Dispose();
        await shop.DisposeAsync();
    }

    [Fact]
    public async Task A_good_card_is_a_new_attempt_and_one_charge()
    {
        using var response = await Shop.PayAgainAsync(buyer, order);
        Assert.Equal(HttpStatusCode.Accepted, response.StatusCode);
        Assert.Equal("PENDING", await shop.StatusAsync(order));

        Assert.True((await shop.RunAsync(order, attempt: 2)).Succeeded);

        Assert.Equal("CONFIRMED", await shop.StatusAsync(order));
        Assert.Equal(2, (await shop.ReadAsync(order)).GetProperty("attempt").GetInt32());
        Assert.Equal(Shop.Total().Minor, shop.Till.Charged);
        Assert.Equal(("released", "committed"), (shop.Stock.Of(order, 1), shop.Stock.Of(order, 2)));
        Assert.Equal(2, Assert.Single(await shop.Service.EventsAsync<OrderConfirmed>()).Attempt);
    }

    [Fact]
    public async Task The_same_request_twice_is_one_attempt()
    {
        var responses = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Shop.PayAgainAsync(buyer, order, "again-1")));
        using var last = await Shop.PayAgainAsync(buyer, order, "again-1");

        Assert.Contains(responses, response => response.StatusCode == HttpStatusCode.Accepted);
        Assert.Equal(HttpStatusCode.Accepted, last.StatusCode);
        Assert.Equal(2L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM attempts WHERE order_id = $1", order));
    }

    [Fact]
    public async Task An_order_that_waits_for_no_payment_is_not_paid_again()
    {
        using var first = await Shop.PayAgainAsync(buyer, order);
        using var second = await Shop.PayAgainAsync(buyer, order);
        Assert.Equal(HttpStatusCode.Conflict, second.StatusCode);
        Assert.Equal("/problems/payment-not-due", (await second.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("type").GetString());
    }

    [Fact]
    public async Task An_old_attempts_saga_that_wakes_up_late_changes_nothing()
    {
        using var response = await Shop.PayAgainAsync(buyer, order);
        await shop.RunAsync(order, attempt: 2);
        var told = (await shop.Service.EventsAsync<OrderPaymentFailed>()).Count;

        var old = new Ordering.Checkout.CheckoutAttempt(order, 1, ada, Shop.Total(), "pm_card_visa");
        Assert.False((await new ScriptedWorkflow().In(shop).RunAsync(new Ordering.Checkout.CheckoutWorkflow(), old)).Succeeded);

        Assert.Equal("CONFIRMED", await shop.StatusAsync(order));
        Assert.Equal(Shop.Total().Minor, shop.Till.Charged);
        Assert.Equal(told, (await shop.Service.EventsAsync<OrderPaymentFailed>()).Count);
    }
}
