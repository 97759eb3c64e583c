using Marketplace.Contracts;
using Marketplace.FlashSales.Claims;
using Marketplace.FlashSales.Sales;

namespace Marketplace.FlashSales.Tests.Claims;

public sealed class WhenAReplicaDies : IAsyncLifetime
{
    private ClaimCounter counter = null!;
    private Sale sale = null!;

    public async ValueTask InitializeAsync()
    {
        counter = await ClaimCounter.OpenAsync();
        sale = await counter.Shop.HasSaleAsync(units: 100, startsIn: TimeSpan.FromSeconds(-1), waitingList: 20);
    }

    public async ValueTask DisposeAsync()
    {
        await counter.BooksBalanceAsync();
        await counter.DisposeAsync();
    }

    [Fact]
    public async Task Between_the_commit_and_the_answer_the_next_to_be_asked_gives_the_same_answer()
    {
        var ada = await counter.HasShopperAsync();
        counter.Shards.After = () => throw new ShardAwayException(sale.SaleId, 0, new IOException("killed"));
        await Assert.ThrowsAsync<ShardAwayException>(() => counter.ClaimAsync(sale, ada));

        await using var next = await counter.SecondAsync(new DirectShards());
        var again = await next.ClaimAsync(sale, ada);

        var told = Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleClaimed>());
        Assert.Equal((told.ClaimId, told.OrderId, told.PayUntil), (again.ClaimId!.Value, again.OrderId!.Value, again.PayUntil!.Value));
        Assert.Equal((1, 0, 0), await counter.CountsAsync(sale));
    }

    [Fact]
    public async Task Before_the_commit_nothing_was_decided()
    {
        var ada = await counter.HasShopperAsync();
        counter.Shards.Before = () => throw new ShardAwayException(sale.SaleId, 0, new IOException("killed"));
        await Assert.ThrowsAsync<ShardAwayException>(() => counter.ClaimAsync(sale, ada));
        Assert.Equal((0, 0, 0), await counter.CountsAsync(sale));
    }

    [Fact]
    public async Task In_the_middle_of_a_crowd_everybody_who_asks_again_ends_up_with_one_answer()
    {
        // Connections are cut, answers lost and memories wiped while 1,000 people claim and claim again until they are told something.
        var buyers = await counter.HasShoppersAsync(1_000);
        await using var other = await counter.SecondAsync();
        var turns = 0;
        counter.Shards.Before = async () =>
        {
            if (++turns % 3 == 0) counter.Shards.Forget();
            if (turns % 5 == 0)
                await counter.Shop.Service.ScalarAsync<object>("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
        };
        counter.Shards.After = () => turns % 4 == 0 ? throw new IOException("the answer got lost") : Task.CompletedTask;

        var answers = await Task.WhenAll(buyers.Select((buyer, i) => UntilToldAsync(i % 2 == 0 ? counter : other, buyer)));
        (counter.Shards.Before, counter.Shards.After) = (() => Task.CompletedTask, () => Task.CompletedTask);

        Assert.Equal((100, 0, 20), await counter.CountsAsync(sale));
        Assert.Equal(100, answers.Count(answer => answer.State == ClaimState.Claimed));
        Assert.Equal(20, answers.Count(answer => answer.State == ClaimState.Waiting));
        foreach (var (buyer, answer) in buyers.Zip(answers).Where(one => one.Second.OrderId is not null))
            Assert.Equal(answer, await counter.ClaimAsync(sale, buyer));
    }

    [Fact]
    public async Task Started_again_it_goes_on_where_it_was()
    {
        var buyers = await counter.HasShoppersAsync(120);
        var before = await Task.WhenAll(buyers.Select(buyer => counter.ClaimAsync(sale, buyer)));
        counter.Shards.Forget();
        await using var restarted = await counter.SecondAsync(new DirectShards());

        var after = await Task.WhenAll(buyers.Select(buyer => restarted.ClaimAsync(sale, buyer)));

        Assert.Equal(before, after);
        Assert.Equal(Outcome.SoldOut, (await restarted.ClaimAsync(sale, await counter.HasShopperAsync())).Outcome);
        await restarted.FailAsync(before.First(claim => claim.OrderId is not null).OrderId!.Value);
        Assert.Equal((100, 0, 19), await counter.CountsAsync(sale));
    }

    [Fact]
    public async Task A_shard_that_was_at_work_elsewhere_meanwhile_reads_again_before_it_decides()
    {
        var (ada, bruno) = (await counter.HasShopperAsync(), await counter.HasShopperAsync());
        await using var other = await counter.SecondAsync(new DirectShards());
        var adas = await counter.ClaimAsync(sale, ada);
        var brunos = await other.ClaimAsync(sale, bruno);
        await counter.FailAsync(brunos.OrderId!.Value);
        await other.FailAsync(adas.OrderId!.Value);

        Assert.Equal((0, 0, 0), await counter.CountsAsync(sale));
        Assert.Equal(2, (await counter.Shop.Service.EventsAsync<FlashSaleReleased>()).Count);
    }

    private async Task<Decided> UntilToldAsync(ClaimCounter at, Guid buyer)
    {
        while (true)
        {
            try
            {
                return await at.ClaimAsync(sale, buyer);
            }
            catch (Exception fault) when (fault is IOException or Npgsql.NpgsqlException or InvalidOperationException)
            {
                TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            }
        }
    }
}
