using Marketplace.Contracts;
using Marketplace.FlashSales.Claims;
using Marketplace.FlashSales.Sales;
using Npgsql;

namespace Marketplace.FlashSales.Tests.Claims;

public sealed class WhenManyWantAFew
{
    [Fact]
    public async Task A_hundred_of_five_thousand_get_a_unit_each_over_two_replicas()
    {
        await using var one = await ClaimCounter.OpenAsync();
        await using var two = await one.SecondAsync();
        var sale = await one.Shop.HasSaleAsync(units: 100, startsIn: TimeSpan.FromSeconds(-1), waitingList: 20);
        var buyers = await one.HasShoppersAsync(5_000);

        var answers = await Task.WhenAll(buyers.Select((buyer, i) => (i % 2 == 0 ? one : two).ClaimAsync(sale, buyer)));

        await ExactlyAsync(one, sale, answers, claimed: 100, waiting: 20);
    }

    [Fact]
    public async Task Not_one_more_when_both_replicas_have_the_shard_at_work()
    {
        await using var one = await ClaimCounter.OpenAsync(new Dictionary<string, string?> { ["Claims:Tries"] = "100", ["Claims:BatchSize"] = "16" });
        await using var two = await one.SecondAsync(new DirectShards());
        var sale = await one.Shop.HasSaleAsync(units: 100, startsIn: TimeSpan.FromSeconds(-1), waitingList: 20);
        var buyers = await one.HasShoppersAsync(1_000);

        var answers = await Task.WhenAll(buyers.Select((buyer, i) => ClaimWhateverAsync(i % 2 == 0 ? one : two, sale, buyer)));

        await ExactlyAsync(one, sale, answers, claimed: 100, waiting: 20);
    }

    [Fact]
    public async Task A_thousand_claims_of_one_customer_are_one()
    {
        await using var one = await ClaimCounter.OpenAsync(new Dictionary<string, string?> { ["Claims:Tries"] = "100" });
        await using var two = await one.SecondAsync(new DirectShards());
        var sale = await one.Shop.HasSaleAsync(units: 100, startsIn: TimeSpan.FromSeconds(-1));
        var ada = await one.HasShopperAsync();

        var answers = await Task.WhenAll(Enumerable.Range(0, 1_000).Select(i => ClaimWhateverAsync(i % 2 == 0 ? one : two, sale, ada)));

        Assert.Single(answers.Select(answer => (answer.ClaimId, answer.OrderId, answer.PayUntil)).Distinct());
        Assert.Equal((1, 0, 0), await one.CountsAsync(sale));
        Assert.Single(await one.Shop.Service.EventsAsync<FlashSaleClaimed>());
        await one.BooksBalanceAsync();
    }

    [Fact]
    public async Task Every_unit_of_a_sale_in_shards_is_found_by_somebody()
    {
        await using var one = await ClaimCounter.OpenAsync();
        await using var two = await one.SecondAsync();
        var sale = await one.Shop.HasSaleAsync(units: 100, startsIn: TimeSpan.FromSeconds(-1), waitingList: 20, shards: 4);
        var buyers = await one.HasShoppersAsync(1_000);

        var answers = await Task.WhenAll(buyers.Select((buyer, i) => (i % 2 == 0 ? one : two).ClaimAsync(sale, buyer)));

        await ExactlyAsync(one, sale, answers, claimed: 100, waiting: 20);
        Assert.Equal(4L, await one.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM claim_counts WHERE taken = 25"));
    }

    [Fact]
    public async Task In_a_sale_in_shards_a_customer_still_has_one_claim()
    {
        await using var one = await ClaimCounter.OpenAsync(new Dictionary<string, string?> { ["Claims:Tries"] = "100" });
        var sale = await one.Shop.HasSaleAsync(units: 8, startsIn: TimeSpan.FromSeconds(-1), waitingList: 8, shards: 4);
        var buyers = await one.HasShoppersAsync(16);
        var first = new Dictionary<Guid, Decided>();
        foreach (var buyer in buyers) first[buyer] = await one.ClaimAsync(sale, buyer);
        one.Shop.Clock.Advance(TimeSpan.FromSeconds(1));

        // Home shards have units again, and still tell everybody of the claim they have elsewhere.
        foreach (var claim in first.Values.Where(claim => claim.OrderId is not null).Take(4)) await one.FailAsync(claim.OrderId!.Value);
        await Parallel.ForEachAsync(Enumerable.Range(0, 200), async (i, _) => await ClaimWhateverAsync(one, sale, buyers[i % 16]));

        Assert.Equal(0L, await one.Shop.Service.ScalarAsync<long>(
            "SELECT count(*) FROM (SELECT buyer_id FROM claims WHERE state IN ('waiting', 'claimed', 'paid') GROUP BY buyer_id HAVING count(*) > 1) twice"));
        await one.BooksBalanceAsync();
    }

    [Fact]
    public async Task What_a_replica_remembers_as_sold_out_is_asked_again_soon_and_never_of_who_has_a_unit()
    {
        await using var counter = await ClaimCounter.OpenAsync();
        var sale = await counter.Shop.HasSaleAsync(units: 1, startsIn: TimeSpan.FromSeconds(-1), waitingList: 0);
        var (ada, bruno) = (await counter.HasShopperAsync(), await counter.HasShopperAsync());
        var adas = await counter.ClaimAsync(sale, ada);
        Assert.Equal(Outcome.SoldOut, (await counter.ClaimAsync(sale, bruno)).Outcome);
        var calls = counter.Shards.Calls;

        Assert.Equal(Outcome.SoldOut, (await counter.ClaimAsync(sale, bruno)).Outcome);
        Assert.Equal(adas, await counter.ClaimAsync(sale, ada));
        Assert.Equal(calls, counter.Shards.Calls);

        await counter.FailAsync(adas.OrderId!.Value);
        counter.Shop.Clock.Advance(TimeSpan.FromMilliseconds(250));
        Assert.Equal(Outcome.Held, (await counter.ClaimAsync(sale, bruno)).Outcome);
    }

    [Fact]
    public async Task Without_an_address_there_is_no_unit_and_the_others_of_the_batch_get_theirs()
    {
        await using var counter = await ClaimCounter.OpenAsync();
        var sale = await counter.Shop.HasSaleAsync(units: 2, startsIn: TimeSpan.FromSeconds(-1));
        var (ada, bruno, nobody) = (await counter.HasShopperAsync(), await counter.HasShopperAsync(), Guid.CreateVersion7());

        var answers = await Task.WhenAll(counter.ClaimAsync(sale, nobody), counter.ClaimAsync(sale, ada), counter.ClaimAsync(sale, bruno));

        Assert.Equal([Outcome.NoCheckout, Outcome.Held, Outcome.Held], answers.Select(answer => answer.Outcome));
        Assert.Equal((2, 0, 0), await counter.CountsAsync(sale));
        await counter.BooksBalanceAsync();
    }

    [Fact]
    public async Task The_event_says_all_that_an_order_needs()
    {
        await using var counter = await ClaimCounter.OpenAsync();
        var sale = await counter.Shop.HasSaleAsync(units: 5, startsIn: TimeSpan.FromSeconds(-1), limitPerCustomer: 2);
        var ada = await counter.HasShopperAsync();
        var decided = await counter.ClaimAsync(sale, ada, quantity: 2);

        var told = Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleClaimed>());
        Assert.Equal((sale.SaleId, decided.ClaimId!.Value, decided.OrderId!.Value, ada, false, decided.PayUntil!.Value),
            (told.SaleId, told.ClaimId, told.OrderId, told.BuyerId, told.FromWaitingList, told.PayUntil));
        Assert.Equal(new OrderedLine(sale.ProductId, sale.SellerId, sale.Title, 2, sale.Price), told.Line);
        Assert.Equal(("ada@example.com", "1 Quay", "00000000-0000-0000-0000-0000000000ad"), (told.Contact.Email, told.ShipTo.Line1, told.PaymentMethod));
        Assert.Equal(2L, await counter.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM claim_units"));
    }

    private static async Task ExactlyAsync(ClaimCounter counter, Sale sale, Decided[] answers, int claimed, int waiting)
    {
        Assert.Equal(claimed, answers.Count(answer => answer.State == ClaimState.Claimed));
        Assert.Equal(waiting, answers.Count(answer => answer.State == ClaimState.Waiting));
        Assert.Equal(answers.Length - claimed - waiting, answers.Count(answer => answer.Outcome == Outcome.SoldOut));
        Assert.Equal((claimed, 0, waiting), await counter.CountsAsync(sale));
        Assert.Equal(claimed, answers.Where(answer => answer.OrderId is not null).Select(answer => answer.OrderId).Distinct().Count());
        Assert.Equal(((long)claimed, (long)claimed), await FiguresAsync(counter, sale));
        Assert.Equal(claimed, (await counter.Shop.Service.EventsAsync<FlashSaleClaimed>()).Select(told => told.OrderId).Distinct().Count());
        await counter.BooksBalanceAsync();
    }

    private static async Task<(long Customers, long Units)> FiguresAsync(ClaimCounter counter, Sale sale) => (
        await counter.Shop.Service.ScalarAsync<long>("SELECT count(DISTINCT buyer_id) FROM claims WHERE sale_id = $1 AND state = 'claimed'", sale.SaleId),
        await counter.Shop.Service.ScalarAsync<long>("SELECT count(DISTINCT unit_no) FROM claim_units WHERE sale_id = $1 AND unit_no BETWEEN 1 AND 100", sale.SaleId));

    // Two shards at work at once may get in each other's way more often than a shard tries; a buyer asks again then.
    private static async Task<Decided> ClaimWhateverAsync(ClaimCounter counter, Sale sale, Guid buyer)
    {
        while (true)
        {
            try
            {
                return await counter.ClaimAsync(sale, buyer);
            }
            catch (PostgresException conflict) when (ClaimStore.IsConflict(conflict))
            {
            }
        }
    }
}
