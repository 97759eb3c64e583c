using System.Net;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Journeys;

public sealed class WhenAnEventIsTroubled(Market market)
{
    [Fact]
    public async Task Delivered_twice_to_every_listener_it_has_its_effect_once()
    {
        var thing = await market.ListAsync("Told twice", 600, ("north", 5), ("south", 5));
        var ada = await market.NewBuyerAsync();
        await using var twice = await market.FaultAsync(new { kind = "deliver", mode = "twice", times = 500 });

        var order = await ada.BuyAsync("pm_card_visa", (thing, 7));
        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, order));

        await Eventually.Async(async () => (await ParcelsAsync(order)).Count == 2, "the parcels are planned", TimeSpan.FromSeconds(20));
        await Eventually.Async(async () => (await market.MailsToAsync(ada.Email!)).Any(mail => mail.Contains(order.ToString(), StringComparison.Ordinal)), "the mail is there", TimeSpan.FromSeconds(20));
        var boss = await market.OperatorAsync();
        foreach (var parcel in await ParcelsAsync(order))
            for (var step = 0; step < 3; step++) (await boss.PostAsync($"/api/v1/operations/shipments/{parcel}/advance")).Expect(HttpStatusCode.OK);
        await Market.BecomesAsync(ada, order, "DELIVERED");

        Assert.Equal(2, (await ParcelsAsync(order)).Count);
        Assert.Equal(3, await market.AvailableAsync(thing));
        var inbox = (await ada.GetAsync("/api/v1/notifications?limit=100")).Expect(HttpStatusCode.OK).Json.GetProperty("items").EnumerateArray().Select(item => item.GetRawText()).ToList();
        Assert.Equal(inbox.Count, inbox.Distinct().Count());
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_listener_that_keeps_failing_gets_its_letter_kept_visible_and_replayed_with_effect_once()
    {
        var thing = await market.ListAsync("Hard to ship", 650, ("north", 5));
        var ada = await market.NewBuyerAsync();
        var boss = await market.OperatorAsync();
        Guid order;
        await using (await market.FaultAsync(new { kind = "deliver", topic = "order.confirmed", app = "fulfilment", mode = "fail", times = 100_000 }))
        {
            order = await ada.BuyAsync("pm_card_visa", (thing, 1));
            Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, order));
            await Eventually.Async(async () => (await LettersAsync(boss)).Contains(order.ToString(), StringComparison.Ordinal), "the dead letter is kept", TimeSpan.FromSeconds(150));
        }

        Assert.Empty(await ParcelsAsync(order));
        var letters = (await boss.GetAsync("/api/v1/operations/fulfilment/dead-letters")).Expect(HttpStatusCode.OK).Json.GetProperty("items");
        var letter = letters.EnumerateArray().First(item => item.GetRawText().Contains(order.ToString(), StringComparison.Ordinal));
        var id = letter.EnumerateObject().First(property => property.Name is "id" or "deadLetterId").Value.GetGuid();
        Assert.True((int)(await boss.PostAsync($"/api/v1/operations/fulfilment/dead-letters/{id}/replay")).Status < 300);
        await Eventually.Async(async () => (await ParcelsAsync(order)).Count == 1, "the replay has its effect", TimeSpan.FromSeconds(20));

        (await ada.GetAsync("/api/v1/operations/fulfilment/dead-letters")).ExpectProblem(HttpStatusCode.Forbidden);
    }

    [Fact]
    public async Task Messages_not_acknowledged_when_the_broker_dies_are_delivered_after_its_restart()
    {
        var thing = await market.ListAsync("Broker dies", 650, ("north", 5));
        var ada = await market.NewBuyerAsync();
        Guid order;
        await using (var failing = await market.FaultAsync(new { kind = "deliver", topic = "order.confirmed", app = "fulfilment", mode = "fail", times = 100_000 }))
        {
            order = await ada.BuyAsync("pm_card_visa", (thing, 1));
            await failing.StruckAsync();
            await market.KillAsync("sidecars");
        }

        await market.AllUpAsync();
        await Eventually.Async(async () => (await ParcelsAsync(order)).Count == 1, "the event is delivered after the restart", TimeSpan.FromSeconds(90));
    }

    [Fact]
    public async Task The_store_of_the_carts_killed_comes_back_with_the_carts_it_had()
    {
        var thing = await market.ListAsync("Kept in the cart", 650, ("north", 5));
        var ada = await market.NewBuyerAsync();
        await ada.FillCartAsync((thing, 4));
        await market.KillAsync(market.System.Parts.Any(part => part.Name == "redis") ? "redis" : "postgres");
        await market.AllUpAsync();

        await Eventually.Async(
            async () => await ada.GetAsync("/api/v1/cart") is { Status: HttpStatusCode.OK } cart && cart.Json.GetProperty("lines") is var lines && lines.GetArrayLength() == 1 && lines[0].GetProperty("quantity").GetInt32() == 4,
            "the cart is as it was", TimeSpan.FromSeconds(30));
    }

    private Task<List<Guid>> ParcelsAsync(Guid order) => market.SqlAsync<Guid>("fulfilment", "SELECT shipment_id FROM shipments WHERE order_id = $1", order);

    private static async Task<string> LettersAsync(Person boss) => (await boss.GetAsync("/api/v1/operations/fulfilment/dead-letters")).Text;
}
