using Xunit;

namespace Marketplace.Journeys;

/// <summary>Every step, and every way it can go wrong: before its effect, after it, with its reply lost, run twice.</summary>
public sealed class WhenAStepOfTheSagaFails(Market market)
{
    private static readonly string[] Ways = ["before", "after", "lost", "twice"];

    public static TheoryData<string, string> StepsToASale => Every("ReserveStock", "CapturePayment", "ConfirmOrder", "CommitStock");

    public static TheoryData<string, string> StepsToARefusal => Every("ReserveStock", "CapturePayment", "RefundPayment", "ReleaseStock", "RefuseOrder");

    [Theory, MemberData(nameof(StepsToASale))]
    public async Task A_sale_still_takes_the_money_once_and_the_units_once(string step, string way)
    {
        var thing = await market.ListAsync($"Sold while {step} fails {way}", 1500, ("north", 4));
        var ada = await market.NewBuyerAsync();
        await using var trouble = await market.FaultAsync(new { kind = "activity", name = step, mode = way, times = 1 });

        var order = await ada.BuyAsync("pm_card_visa", (thing, 3));

        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, order));
        await trouble.StruckAsync();
        await market.BooksBalanceAsync();
        Assert.Equal((1, 4500, 0), await market.ChargedAsync(order));
        Assert.Equal(1, await market.AvailableAsync(thing));
    }

    [Theory, MemberData(nameof(StepsToARefusal))]
    public async Task A_refusal_still_holds_neither_money_nor_units(string step, string way)
    {
        var thing = await market.ListAsync($"Refused while {step} fails {way}", 1500, ("north", 4));
        var ada = await market.NewBuyerAsync();
        await using var trouble = await market.FaultAsync(new { kind = "activity", name = step, mode = way, times = 1 });

        var order = await ada.BuyAsync("pm_card_chargeDeclined", (thing, 3));

        Assert.Equal("PAYMENT_FAILED", await Market.StatusAsync(ada, order));
        await trouble.StruckAsync();
        await market.BooksBalanceAsync();
        Assert.Equal((0, 0, 0), await market.ChargedAsync(order));
        Assert.Equal(4, await market.AvailableAsync(thing));
    }

    [Fact]
    public async Task A_capture_whose_reply_never_comes_is_refunded_and_the_order_says_so()
    {
        var thing = await market.ListAsync("Charged in the dark", 2500, ("north", 1));
        var ada = await market.NewBuyerAsync();
        await using var trouble = await market.FaultAsync(new { kind = "activity", name = "CapturePayment", mode = "after", times = 1000 });

        var order = await ada.BuyAsync("pm_card_visa", (thing, 1));

        Assert.Equal("PAYMENT_FAILED", await Market.StatusAsync(ada, order, TimeSpan.FromSeconds(120)));
        Assert.Equal((1, 2500, 2500), await market.ChargedAsync(order));
        Assert.Equal(1, await market.AvailableAsync(thing));
        await market.BooksBalanceAsync();
    }

    private static TheoryData<string, string> Every(params string[] steps)
    {
        var all = new TheoryData<string, string>();
        foreach (var step in steps)
            foreach (var way in Ways)
                all.Add(step, way);
        return all;
    }
}
