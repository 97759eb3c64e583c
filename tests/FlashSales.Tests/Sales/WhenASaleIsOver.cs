using System.Net;
using System.Net.Http.Json;
using Marketplace.FlashSales.Sales;
using Marketplace.TestKit;

namespace Marketplace.FlashSales.Tests.Sales;

public sealed class WhenASaleIsOver
{
    [Fact]
    public async Task Called_off_before_its_start_it_gives_everything_back()
    {
        await using var market = await Market.OpenAsync(inStock: 100);
        var sale = await market.ScheduledAsync();
        using var bruno = market.Shop.AsSeller();

        using var response = await bruno.PostAsync($"/api/v1/seller/flash-sales/{sale.SaleId}/end", null);
        using var again = await bruno.PostAsync($"/api/v1/seller/flash-sales/{sale.SaleId}/end", null);

        var over = (await response.Content.ReadFromJsonAsync<ManagedSale>())!;
        Assert.Equal((SaleStatus.Cancelled, SaleEnd.BySeller, "ended", 2L), (over.Status, over.EndReason, over.Phase, over.Revision));
        Assert.Equal((HttpStatusCode.OK, 2L), (again.StatusCode, (await again.Content.ReadFromJsonAsync<ManagedSale>())!.Revision));
        await Eventually.Async(() => market.Inventory.Free(market.Sneaker) == 100, "all units are anybody's");
        await Eventually.Async(async () => (await market.Shop.SaleAsync(sale.SaleId))!.Allotted == 0, "and written down");
        await market.BooksBalanceAsync(inStock: 100);
        using var nobody = market.Shop.Service.As(null);
        Assert.Empty((await nobody.GetFromJsonAsync<ShopperSales>("/api/v1/flash-sales"))!.Items);
        Assert.Equal("ended", (await nobody.GetFromJsonAsync<ShopperSale>($"/api/v1/flash-sales/{sale.SaleId}"))!.Phase);
    }

    [Fact]
    public async Task Ended_early_by_an_operator_it_keeps_what_was_claimed()
    {
        await using var market = await Market.OpenAsync(inStock: 100);
        var sale = await market.ScheduledAsync(("units", 40));
        market.Shop.Clock.Advance(TimeSpan.FromMinutes(11));
        await market.ClaimedAsync(sale.SaleId, taken: 12, paid: 5);
        market.Inventory.Taken(sale.SaleId, taken: 9, committed: 5);
        using var olga = market.Shop.AsOperator();

        using var response = await olga.PostAsync($"/api/v1/operations/flash-sales/{sale.SaleId}/end", null);

        var over = (await response.Content.ReadFromJsonAsync<ManagedSale>())!;
        Assert.Equal((SaleStatus.Ended, SaleEnd.ByOperator, "ended", 12, 5), (over.Status, over.EndReason, over.Phase, over.Claimed, over.Paid));
        await Eventually.Async(() => market.Inventory.Free(market.Sneaker) == 88, "what nobody claimed is anybody's");
        await Eventually.Async(async () => (await market.Shop.SaleAsync(sale.SaleId))!.Allotted == 12, "and written down");
        await market.BooksBalanceAsync(inStock: 100);
    }

    [Fact]
    public async Task Its_time_ends_it_once_whichever_replica_looks_first()
    {
        await using var market = await Market.OpenAsync(inStock: 100, replicas: 2);
        var sale = await market.ScheduledAsync(("units", 40));
        market.Shop.Clock.Advance(TimeSpan.FromMinutes(70));

        await Task.WhenAll(market.KeepAsync(), market.Other.Get<AllotmentKeeper>().KeepAsync(default));

        var over = (await market.Shop.SaleAsync(sale.SaleId))!;
        Assert.Equal((SaleStatus.Ended, SaleEnd.Time, 2L), (over.Status, over.EndReason, over.Revision));
        await market.RestAsync();
        Assert.Equal(100, market.Inventory.Free(market.Sneaker));
        await market.BooksBalanceAsync(inStock: 100);
    }

    [Fact]
    public async Task Claims_that_come_to_nothing_after_the_end_give_their_units_back_one_by_one()
    {
        await using var market = await Market.OpenAsync(inStock: 100);
        var sale = await market.ScheduledAsync(("units", 40));
        await market.ClaimedAsync(sale.SaleId, taken: 10, paid: 4);
        market.Inventory.Taken(sale.SaleId, taken: 10, committed: 4);
        market.Shop.Clock.Advance(TimeSpan.FromMinutes(70));
        await market.KeepAsync();
        Assert.Equal(90, market.Inventory.Free(market.Sneaker));

        // The claim is released here before its order is released there: inventory says so and is asked again.
        await market.ClaimedAsync(sale.SaleId, taken: 8, paid: 6);
        market.Shop.Clock.Advance(TimeSpan.FromSeconds(5));
        await market.KeepAsync();
        Assert.Equal(90, market.Inventory.Free(market.Sneaker));
        market.Inventory.Taken(sale.SaleId, taken: 8, committed: 6);
        market.Shop.Clock.Advance(TimeSpan.FromSeconds(5));
        await market.KeepAsync();
        Assert.Equal(92, market.Inventory.Free(market.Sneaker));

        // All settled: nobody looks any more, until somebody's money goes back much later.
        await market.ClaimedAsync(sale.SaleId, taken: 8, paid: 8);
        market.Shop.Clock.Advance(TimeSpan.FromSeconds(5));
        await market.KeepAsync();
        Assert.Null(await market.Shop.Service.ScalarAsync<object>("SELECT allotment_due_at FROM sales WHERE sale_id = $1", sale.SaleId));
        await market.ClaimedAsync(sale.SaleId, taken: 7, paid: 7);
        market.Inventory.Taken(sale.SaleId, taken: 7, committed: 7);
        market.Shop.Clock.Advance(TimeSpan.FromSeconds(30));
        await market.KeepAsync();
        Assert.Equal(93, market.Inventory.Free(market.Sneaker));
        await market.BooksBalanceAsync(inStock: 100);
    }

    [Fact]
    public async Task Units_go_back_when_inventory_is_there_again()
    {
        await using var market = await Market.OpenAsync(inStock: 100);
        var sale = await market.ScheduledAsync(("units", 40));
        using var bruno = market.Shop.AsSeller();
        market.Inventory.Trouble = _ => Task.FromResult(FakeReply.Broken);

        using var end = await bruno.PostAsync($"/api/v1/seller/flash-sales/{sale.SaleId}/end", null);
        Assert.Equal(HttpStatusCode.OK, end.StatusCode);
        await Eventually.Async(
            async () => await market.Shop.Service.ScalarAsync<long>("SELECT allotment_version FROM sales WHERE sale_id = $1", sale.SaleId) > 1, "inventory was asked");
        Assert.Equal(60, market.Inventory.Free(market.Sneaker));

        market.Inventory.Trouble = null;
        market.Shop.Clock.Advance(AllotmentStore.Lease);
        await Eventually.Async(async () => await market.KeepAsync() >= 0 && market.Inventory.Free(market.Sneaker) == 100, "everything is anybody's");
        await Eventually.Async(async () => (await market.Shop.SaleAsync(sale.SaleId))!.Allotted == 0, "and written down");
        await market.BooksBalanceAsync(inStock: 100);
    }
}
