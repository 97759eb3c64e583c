using Marketplace.FlashSales.WaitingRoom;

namespace Marketplace.FlashSales.Tests.WaitingRoom;

public sealed class WhenOneSellerHasManySales
{
    [Fact]
    public async Task Everybody_elses_start_all_the_same()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync();
        var ada = (await shop.PreparedAsync(1))[0];
        await shop.JoinAsync(sale, ada);
        await shop.Service.ScalarAsync<object>("""
            INSERT INTO sales (sale_id, seller_id, product_id, title, units, price_minor, currency, starts_at, ends_at, limit_per_customer, admission_rate, inside_limit,
                               admission_seconds, waiting_list, status, allotment_wanted, created_at, updated_at)
            SELECT gen_random_uuid(), $2, product_id, title, 1, price_minor, currency, starts_at - n * interval '100 milliseconds', ends_at, 1, admission_rate, inside_limit,
                   admission_seconds, 0, status, 1, created_at, updated_at
            FROM sales CROSS JOIN generate_series(1, 1200) AS n WHERE sale_id = $1
            """, sale.SaleId, Guid.CreateVersion7());

        sale = await shop.StartAsync(sale);
        await shop.PassAsync(sale, 1);

        Assert.Equal(EntryState.Yes, await shop.MayClaimAsync(shop.TicketOf(await shop.JoinAsync(sale, ada))));
    }
}
