using Marketplace.FlashSales.WaitingRoom;

namespace Marketplace.FlashSales.Tests.WaitingRoom;

/// <summary>A replica dies with a block of late numbers that it had taken and not handed out.</summary>
public sealed class WhenNumbersGetLost
{
    [Fact]
    public async Task Nobody_stands_there_so_those_behind_are_let_in_without_waiting_for_them_to_lapse()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.StartAsync(await shop.HasSaleAsync(insideLimit: 5, admissionRate: 10));
        var crowd = await shop.PreparedAsync(3);
        await shop.JoinAsync(sale, crowd[0]);
        await shop.Service.ScalarAsync<object>("UPDATE queue_numbers SET next = next + 100 WHERE sale_id = $1 AND late", sale.SaleId);
        await shop.JoinAsync(sale, crowd[1]);

        for (var i = 0; i < 40; i++) await shop.PassAsync(sale, 1);

        Assert.Equal(EntryState.Yes, await shop.MayClaimAsync(shop.TicketOf(await shop.JoinAsync(sale, crowd[1]))));
        Assert.Equal(2, await shop.Service.ScalarAsync<int>("SELECT inside FROM admissions ORDER BY step DESC LIMIT 1"));
    }

    [Fact]
    public async Task A_number_that_was_only_just_taken_is_not_lost()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.StartAsync(await shop.HasSaleAsync(insideLimit: 5, admissionRate: 10));
        var crowd = await shop.PreparedAsync(2);
        foreach (var buyer in crowd)
        {
            await shop.Service.ScalarAsync<object>(
                "INSERT INTO queue_numbers (sale_id, late, next) VALUES ($1, true, 3) ON CONFLICT (sale_id, late) DO UPDATE SET next = queue_numbers.next + 3", sale.SaleId);
            await shop.JoinAsync(sale, buyer);
        }

        for (var i = 0; i < 4; i++) await shop.PassAsync(sale, 1);
        Assert.Equal(0L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM ranks_done"));
        for (var i = 0; i < 4; i++) await shop.PassAsync(sale, 1);
        Assert.Equal(6L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM ranks_done WHERE gap"));
    }
}
