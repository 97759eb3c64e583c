using System.Net;
using System.Security.Cryptography;
using Marketplace.FlashSales.WaitingRoom;
using Marketplace.TestKit;
using Marketplace.WaitingRoom;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Npgsql;

namespace Marketplace.FlashSales.Tests.WaitingRoom;

public sealed class WhenEverybodyComesAtOnce
{
    // In this test's own database: others of the cluster are other tests'.
    private const string WhoWaits = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

    [Fact]
    public async Task Five_thousand_join_two_replicas_while_the_sale_starts_and_each_has_one_rank()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        await using var other = await shop.SecondReplicaAsync();
        var sale = await shop.HasSaleAsync(admissionRate: 1000);
        var crowd = await shop.PreparedAsync(5_000);
        var (before, tickets) = (0, new Ticket[crowd.Length]);
        var started = new TaskCompletionSource();

        // The second half of it comes while replicas make the draw, one of them before it knows.
        var joining = Parallel.ForAsync(0, crowd.Length, new ParallelOptions { MaxDegreeOfParallelism = 64, CancellationToken = TestContext.Current.CancellationToken }, async (i, _) =>
        {
            tickets[i] = shop.TicketOf(await (i % 2 == 0 ? shop : other).JoinAsync(sale, crowd[i]));
            if (Interlocked.Increment(ref before) == crowd.Length / 2) started.SetResult();
        });
        await started.Task;
        shop.Clock.Advance(sale.StartsAt - shop.Now);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => (i % 2 == 0 ? shop : other).RoundAsync()));
        await joining;

        var drawn = (await shop.SaleAsync(sale.SaleId))!;
        var ranks = tickets.Select(ticket => drawn.RankOf(ticket)!.Value).ToList();
        Assert.Equal(5_000, ranks.Distinct().Count());
        Assert.InRange(tickets.Count(ticket => !ticket.Late), 2_500, 4_999);
        Assert.All(tickets.Zip(ranks), each => Assert.Equal(each.First.Late, each.Second >= drawn.Early));
        Assert.Equal(5_000, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM places"));
        Assert.All(
            await shop.Get<Places>().CheckAsync(sale.SaleId, [.. tickets.Select(ticket => (ticket.BuyerId, ticket))], default),
            place => Assert.Equal(TicketPlace.Current, place));
    }

    [Fact]
    public async Task The_draw_is_what_its_seed_says_and_is_made_once()
    {
        var seed = RandomNumberGenerator.GetBytes(StartDraw.SeedSize);
        await using var shop = await FlashSalesFixture.OpenAsync(replace: services => services.Replace(ServiceDescriptor.Singleton<NewSeed>(() => seed)));
        await using var other = await shop.SecondReplicaAsync();
        var sale = await shop.HasSaleAsync();
        var crowd = await shop.PreparedAsync(50);
        var tickets = (await Task.WhenAll(crowd.Select(buyer => shop.JoinAsync(sale, buyer)))).Select(shop.TicketOf).ToList();

        Assert.False(await shop.Get<AdmissionStore>().DrawAsync(sale.SaleId, shop.Now, default));       // not before the start
        shop.Clock.Advance(sale.StartsAt - shop.Now);
        Assert.True(await shop.Get<AdmissionStore>().DrawAsync(sale.SaleId, shop.Now, default));
        Assert.False(await other.Get<AdmissionStore>().DrawAsync(sale.SaleId, shop.Now, default));

        var drawn = (await shop.SaleAsync(sale.SaleId))!;
        Assert.Equal(seed, drawn.Seed);
        Assert.All(tickets, ticket => Assert.Equal(StartDraw.RankOf(seed, drawn.Early!.Value, ticket.Number), drawn.RankOf(ticket)));
    }

    [Fact]
    public async Task An_early_join_that_is_still_being_written_is_part_of_the_draw_and_one_that_comes_after_it_is_late()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        await using var other = await shop.SecondReplicaAsync();
        var sale = await shop.HasSaleAsync();
        var crowd = await shop.PreparedAsync(2);
        await other.JoinAsync(sale, crowd[1]);                     // it has read the sale: not drawn

        await using var connection = await shop.Service.Database.OpenConnectionAsync(TestContext.Current.CancellationToken);
        await using var tx = await connection.BeginTransactionAsync(TestContext.Current.CancellationToken);
        await ExecuteAsync(tx, "SELECT FROM sales WHERE sale_id = $1 FOR SHARE", sale.SaleId);
        await ExecuteAsync(tx, "INSERT INTO queue_numbers VALUES ($1, false, 100) ON CONFLICT (sale_id, late) DO UPDATE SET next = 100", sale.SaleId);
        await ExecuteAsync(tx, "INSERT INTO places VALUES ($1, $2, false, 99, now())", sale.SaleId, crowd[0]);
        shop.Clock.Advance(sale.StartsAt - shop.Now);
        var draw = shop.Get<AdmissionStore>().DrawAsync(sale.SaleId, shop.Now, default);
        await Eventually.Async(async () => await WaitingAsync(shop) > 0, "the draw waits");
        Assert.False(draw.IsCompleted);
        await tx.CommitAsync(TestContext.Current.CancellationToken);

        Assert.True(await draw);
        Assert.Equal(100, (await shop.SaleAsync(sale.SaleId))!.Early);
        Assert.True(shop.TicketOf(await other.JoinAsync(sale, (await shop.PreparedAsync(1))[0])).Late);
    }

    [Fact]
    public async Task A_transaction_that_is_cut_off_loses_numbers_and_nobodys_place()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        await using var other = await shop.SecondReplicaAsync();
        var sale = await shop.HasSaleAsync();
        var crowd = await shop.PreparedAsync(40);
        foreach (var buyer in crowd[..10]) await shop.JoinAsync(sale, buyer);

        await using var connection = await shop.Service.Database.OpenConnectionAsync(TestContext.Current.CancellationToken);
        await using var tx = await connection.BeginTransactionAsync(TestContext.Current.CancellationToken);
        await ExecuteAsync(tx, "SELECT FROM sales WHERE sale_id = $1 FOR UPDATE", sale.SaleId);
        var cutOff = crowd.Select(buyer => shop.PostQueueAsync(sale, buyer)).ToList();
        await Eventually.Async(async () => await WaitingAsync(shop) > 0, "the joins wait for the sale");
        await Eventually.Async(
            async () =>
            {
                await shop.Service.ScalarAsync<bool>($"SELECT bool_or(pg_terminate_backend(pid)) {WhoWaits}");
                return cutOff.TrueForAll(one => one.IsCompleted);
            },
            "the joins are cut off");
        foreach (var join in cutOff)
        {
            using var refused = await join;
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        }
        await tx.RollbackAsync(TestContext.Current.CancellationToken);

        var tickets = (await Task.WhenAll(crowd.Select((buyer, i) => (i % 2 == 0 ? shop : other).JoinAsync(sale, buyer)))).Select(shop.TicketOf).ToList();
        Assert.Equal(40, tickets.Select(ticket => ticket.Number).Distinct().Count());
        Assert.Equal(Enumerable.Range(0, 10).Select(number => (long)number), tickets[..10].Select(ticket => ticket.Number));
        Assert.Equal(40, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM places"));
    }

    [Fact]
    public async Task A_replica_that_is_killed_loses_nobodys_place()
    {
        await using var shop = await FlashSalesFixture.OpenAsync(time: TimeProvider.System);
        var sale = await shop.HasSaleAsync(startsIn: TimeSpan.FromHours(1));
        var crowd = await shop.PreparedAsync(600);
        var promised = new System.Collections.Concurrent.ConcurrentDictionary<Guid, string>();
        await using (var doomed = await FlashSalesProcess.StartAsync(shop))
        {
            // Before half of them have an answer, it is gone in the middle of the next ones.
            var joining = Parallel.ForEachAsync(crowd, new ParallelOptions { MaxDegreeOfParallelism = 32, CancellationToken = TestContext.Current.CancellationToken }, async (buyer, ct) =>
            {
                if (await doomed.TryJoinAsync(sale, buyer, ct) is not { } reply) return;
                promised[buyer] = reply.Ticket;
                if (promised.Count == 200) doomed.Kill();
            });
            await joining;
        }

        Assert.InRange(promised.Count, 200, 599);
        var tickets = await Task.WhenAll(crowd.Select(async buyer => (buyer, (await shop.JoinAsync(sale, buyer)).Ticket)));
        Assert.All(tickets, each => Assert.Equal(promised.GetValueOrDefault(each.buyer, each.Ticket), each.Ticket));
        Assert.Equal(600, await shop.Service.ScalarAsync<long>("SELECT count(DISTINCT number) FROM places WHERE left_at IS NULL"));
    }

    private static Task<long> WaitingAsync(FlashSalesFixture shop) => shop.Service.ScalarAsync<long>($"SELECT count(*) {WhoWaits}");

    private static async Task ExecuteAsync(NpgsqlTransaction tx, string sql, params object[] values)
    {
        await using var command = new NpgsqlCommand(sql, tx.Connection, tx);
        foreach (var value in values) command.Parameters.Add(new() { Value = value });
        await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
    }
}
