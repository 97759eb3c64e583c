using System.Net;
using Marketplace.FlashSales.Sales;
using Marketplace.FlashSales.WaitingRoom;

namespace Marketplace.FlashSales.Tests.Sales;

/// <summary>The draw was made by somebody whose clock is ahead, or while the edit waited for the sale's row: what it found is what is sold.</summary>
public sealed class WhenAnEditMeetsTheStart
{
    [Theory]
    [InlineData(5)]
    [InlineData(60)]
    public async Task Nothing_is_changed_once_the_draw_was_made(int units)
    {
        await using var market = await Market.OpenAsync();
        using var bruno = market.Shop.AsSeller();
        var sale = await market.ScheduledAsync();
        Assert.True(await market.Shop.Get<AdmissionStore>().DrawAsync(sale.SaleId, sale.StartsAt, TestContext.Current.CancellationToken));

        using var response = await Market.PutAsync(bruno, sale.SaleId, market.Asks(("units", units), ("startsAt", market.Now.AddHours(1)), ("endsAt", market.Now.AddHours(2))), $"\"{sale.Revision}\"");

        await Market.ProblemAsync(response, HttpStatusCode.Conflict, "sale-started");
        var stored = (await market.Shop.SaleAsync(sale.SaleId))!;
        Assert.Equal((40, sale.StartsAt), (stored.Units, stored.StartsAt));
        await market.RestAsync();
        await market.BooksBalanceAsync(100);
    }

    [Fact]
    public async Task An_edit_that_was_let_through_before_the_draw_finds_it_made()
    {
        await using var market = await Market.OpenAsync();
        var sale = await market.ScheduledAsync();
        var terms = SaleTerms.Of(5, sale.Price, market.Now.AddHours(1), market.Now.AddHours(2), 1, 100, 100, 60, null);
        await market.Shop.Get<AdmissionStore>().DrawAsync(sale.SaleId, sale.StartsAt, TestContext.Current.CancellationToken);

        Assert.False(await market.Shop.Get<SaleStore>().ChangeAsync(sale.SaleId, sale.Revision, terms, null, TestContext.Current.CancellationToken));
        Assert.Null(await market.Shop.Get<AllotmentStore>().AskForMoreAsync(sale.SaleId, sale.Revision, 60, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Who_ends_it_then_ends_it_and_does_not_call_it_off()
    {
        await using var market = await Market.OpenAsync();
        var sale = await market.ScheduledAsync();
        await market.Shop.Get<AdmissionStore>().DrawAsync(sale.SaleId, sale.StartsAt, TestContext.Current.CancellationToken);

        Assert.True(await market.Shop.Get<SaleStore>().EndAsync(sale.SaleId, SaleEnd.BySeller, TestContext.Current.CancellationToken));
        Assert.Equal((SaleStatus.Ended, SaleEnd.BySeller), ((await market.Shop.SaleAsync(sale.SaleId))! is var ended ? (ended.Status, ended.EndReason) : default));
    }
}
