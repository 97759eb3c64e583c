using System.Net;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Journeys;

public sealed class WhenSomethingIsBought(Market market)
{
    [Fact]
    public async Task The_order_is_confirmed_paid_once_mailed_shipped_from_each_warehouse_and_delivered()
    {
        var other = await market.NewSellerAsync("Second Seller");
        var lamp = await market.ListAsync("Reading lamp", 1250, ("north", 10), ("south", 5));
        var clock = await Market.ListAsync(other, "Mantel clock", 4999, ("midlands", 3));
        var ada = await market.NewBuyerAsync();

        var order = await ada.BuyAsync("pm_card_visa", (lamp, 2), (clock, 1));
        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, order));
        Assert.Equal((1, 2 * 1250 + 4999, 0), await market.ChargedAsync(order));
        Assert.Equal((13, 2), (await market.AvailableAsync(lamp), await market.AvailableAsync(clock)));

        var cart = (await ada.GetAsync("/api/v1/cart")).Expect(HttpStatusCode.OK);
        await Eventually.Async(async () => (await ada.GetAsync("/api/v1/cart")).Json.GetProperty("lines").GetArrayLength() == 0, $"what was ordered leaves the cart: {cart.Text}");
        await Eventually.Async(async () => (await market.MailsToAsync(ada.Email!)).Any(mail => mail.Contains(order.ToString(), StringComparison.Ordinal)), "the confirmation is mailed", TimeSpan.FromSeconds(20));

        // One parcel per warehouse and seller; each goes its way to the door.
        var boss = await market.OperatorAsync();
        Reply shipments = null!;
        await Eventually.Async(async () => (shipments = await ada.GetAsync($"/api/v1/shipments?orderId={order}")).Json.GetProperty("items").GetArrayLength() == 2, "two parcels are planned", TimeSpan.FromSeconds(20));
        foreach (var shipment in shipments.Json.GetProperty("items").EnumerateArray())
            for (var step = 0; step < 3; step++)
                (await boss.PostAsync($"/api/v1/operations/shipments/{shipment.GetProperty("shipmentId").GetGuid()}/advance")).Expect(HttpStatusCode.OK);

        await Market.BecomesAsync(ada, order, "DELIVERED");
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_guest_buys_with_a_contact_and_merges_the_next_cart_at_sign_in()
    {
        var mug = await market.ListAsync("Guest mug", 700, ("north", 20));
        var guest = await market.NewGuestAsync();

        var order = await guest.BuyAsync("pm_card_mastercard", (mug, 3));
        Assert.Equal("CONFIRMED", await Market.StatusAsync(guest, order));

        var visitor = await market.NewGuestAsync();
        await visitor.FillCartAsync((mug, 2));
        var ada = await market.NewBuyerAsync();
        await ada.FillCartAsync((mug, 1));
        for (var twice = 0; twice < 2; twice++)
            (await ada.PostAsync("/api/v1/cart/merge", new { guestToken = visitor.Token })).Expect(HttpStatusCode.OK);
        var line = (await ada.GetAsync("/api/v1/cart")).Json.GetProperty("lines")[0];
        Assert.Equal(3, line.GetProperty("quantity").GetInt32());
    }

    [Fact]
    public async Task A_saved_payment_method_pays_when_none_is_named()
    {
        var pen = await market.ListAsync("Fountain pen", 2000, ("north", 5));
        var ada = await market.NewBuyerAsync();
        (await ada.PostAsync("/api/v1/payment-methods", new { providerToken = "pm_card_visa", makeDefault = true })).Expect(HttpStatusCode.Created);

        var total = await ada.FillCartAsync((pen, 1));
        var order = (await ada.PostAsync("/api/v1/checkout", ada.Checkout(total, paymentMethod: null), "saved-method")).Expect(HttpStatusCode.Accepted).Id("orderId");

        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, order));
        Assert.Equal((1, 2000, 0), await market.ChargedAsync(order));
    }

    [Fact]
    public async Task An_item_added_while_the_order_is_pending_stays_in_the_cart()
    {
        var (tea, jam) = (await market.ListAsync("Tea", 500, ("north", 5)), await market.ListAsync("Jam", 300, ("north", 5)));
        var ada = await market.NewBuyerAsync();
        await using (await market.FaultAsync(new { kind = "activity", name = "ConfirmOrder", mode = "hold" }))
        {
            var order = await ada.BuyAsync("pm_card_visa", (tea, 1));
            (await ada.PostAsync("/api/v1/cart/lines", new { productId = jam, quantity = 2 })).Expect(HttpStatusCode.OK);
            Assert.Equal("PENDING", (await ada.OrderAsync(order)).String("status"));
        }

        await Eventually.Async(
            async () => (await ada.GetAsync("/api/v1/cart")).Json.GetProperty("lines") is var lines && lines.GetArrayLength() == 1 && lines[0].GetProperty("productId").GetGuid() == jam,
            "only what was ordered leaves the cart", TimeSpan.FromSeconds(20));
    }

    [Fact]
    public async Task Thirteen_units_of_ten_and_fifteen_in_two_houses_come_from_both_and_count_what_is_held()
    {
        var vase = await market.ListAsync("Vase", 100, ("north", 10), ("midlands", 15));
        var (ada, bruno) = (await market.NewBuyerAsync(), await market.NewBuyerAsync());

        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, await ada.BuyAsync("pm_card_visa", (vase, 13))));
        Assert.Equal(12, await market.AvailableAsync(vase));
        Assert.Equal("FAILED", await Market.StatusAsync(bruno, await bruno.BuyAsync("pm_card_visa", (vase, 13))));
        Assert.Equal("CONFIRMED", await Market.StatusAsync(bruno, await bruno.BuyAsync("pm_card_visa", (vase, 12))));
        Assert.Equal(0, await market.AvailableAsync(vase));
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task The_status_poll_answers_304_until_something_changes()
    {
        var cup = await market.ListAsync("Cup", 900, ("north", 5));
        var ada = await market.NewBuyerAsync();
        var order = await ada.BuyAsync("pm_card_visa", (cup, 1));
        await Market.SettledAsync(ada, order);

        // Its parcels come a moment after its confirmation, and are a change.
        await Eventually.Async(
            async () => (await ada.GetAsync($"/api/v1/orders/{order}", ("If-None-Match", (await ada.OrderAsync(order)).ETag!))).Status == HttpStatusCode.NotModified,
            "an order that stays as it is is not sent again");
        Assert.Equal("private, no-store", (await ada.OrderAsync(order)).Header("Cache-Control"));
    }

    [Fact]
    public async Task The_history_of_the_saga_names_every_step()
    {
        var cup = await market.ListAsync("Beaker", 900, ("north", 5));
        var ada = await market.NewBuyerAsync();
        var order = await ada.BuyAsync("pm_card_visa", (cup, 1));
        await Market.SettledAsync(ada, order);

        await Eventually.Async(
            async () => (await ada.GetAsync($"/api/v1/orders/{order}/history")).Json.GetProperty("steps").EnumerateArray().Select(step => step.GetProperty("step").GetString())
                .Intersect(["ReserveStock", "CapturePayment", "ConfirmOrder", "CommitStock"]).Count() == 4,
            "four steps are in the diary");
    }

    [Fact]
    public async Task A_listing_is_found_by_a_misspelt_word_within_seconds_and_not_after_it_is_deleted()
    {
        var word = "Zanzibarquilt" + new string([.. Enumerable.Range(0, 6).Select(_ => (char)('a' + Random.Shared.Next(26)))]);   // letters: a word with digits is taken as typed
        var quilt = await market.ListAsync($"{word} blanket", 6000, ("north", 1));
        var misspelt = word.Replace("barq", "bark", StringComparison.Ordinal);

        await Eventually.Async(async () => await FindsAsync(misspelt), "the listing is found", TimeSpan.FromSeconds(20));
        Assert.Contains(word.ToLowerInvariant(), (await market.Nobody.GetAsync($"/api/v1/suggestions?q={word[..8].ToLowerInvariant()}")).Text, StringComparison.OrdinalIgnoreCase);
        (await market.Seller.DeleteAsync($"/api/v1/products/{quilt}")).Expect(HttpStatusCode.NoContent);
        await Eventually.Async(async () => !await FindsAsync(misspelt), "the deleted listing is not found any more", TimeSpan.FromSeconds(20));

        async Task<bool> FindsAsync(string q) => (await market.Nobody.GetAsync($"/api/v1/search?q={q}&n={Guid.NewGuid():N}")).Text.Contains(quilt.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_confirmed_order_is_cancelled_refunded_once_and_its_units_come_back()
    {
        var sofa = await market.ListAsync("Sofa", 50_000, ("south", 2));
        var ada = await market.NewBuyerAsync();
        var order = await ada.BuyAsync("pm_card_visa", (sofa, 1));
        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, order));

        var answers = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => ada.PostAsync($"/api/v1/orders/{order}/cancellation", new { reason = "too big" })));
        Assert.All(answers, answer => Assert.True((int)answer.Status is 202 or 204 or 409, answer.Text));

        await Market.BecomesAsync(ada, order, "CANCELLED");
        Assert.Equal((1, 50_000, 50_000), await market.ChargedAsync(order));
        Assert.Equal(2, await market.AvailableAsync(sofa));
        await market.BooksBalanceAsync();
    }
}
