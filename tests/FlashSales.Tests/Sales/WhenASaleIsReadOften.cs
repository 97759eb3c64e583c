using Marketplace.FlashSales.Sales;

namespace Marketplace.FlashSales.Tests.Sales;

public sealed class WhenASaleIsReadOften
{
    [Fact]
    public async Task A_replica_knows_a_change_half_a_second_later_and_its_own_at_once()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        await using var other = await shop.SecondReplicaAsync();
        var sale = await shop.HasSaleAsync(units: 7);
        var (here, there) = (shop.Get<SaleMemory>(), other.Get<SaleMemory>());
        Assert.Equal(7, (await here.FindAsync(sale.SaleId, default))!.Units);
        Assert.Equal(7, (await there.FindAsync(sale.SaleId, default))!.Units);

        await shop.Service.ScalarAsync<object>("UPDATE sales SET units = 6 WHERE sale_id = $1", sale.SaleId);
        here.Forget(sale.SaleId);

        Assert.Equal(6, (await here.FindAsync(sale.SaleId, default))!.Units);
        Assert.Equal(7, (await there.FindAsync(sale.SaleId, default))!.Units);
        shop.Clock.Advance(SaleMemory.Keeps);
        Assert.Equal(6, (await there.FindAsync(sale.SaleId, default))!.Units);
    }

    [Fact]
    public async Task A_sale_that_is_not_there_yet_is_found_once_it_is()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        Assert.Null(await shop.Get<SaleMemory>().FindAsync(Guid.CreateVersion7(), default));

        var sale = await shop.HasSaleAsync();
        Assert.Equal(sale.SaleId, (await shop.Get<SaleMemory>().FindAsync(sale.SaleId, default))!.SaleId);
    }
}
