using Marketplace.Gateway.FlashSales;
using Marketplace.WaitingRoom;
using Xunit;

namespace Marketplace.Gateway.Tests.FlashSales;

public sealed class QueuedSaleTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 25, 12, 0, 0, TimeSpan.Zero);

    [Fact]
    public void A_remembered_rank_is_the_computed_one_also_after_the_service_spoke_again()
    {
        var drawn = Drawn(StartDraw.NewSeed(), early: 300);
        var first = new QueuedSale(drawn, null);
        var ranks = Enumerable.Range(0, 300).Select(number => first.RankOf(Early(drawn, number))).ToList();
        Assert.Equal(Enumerable.Range(0, 300).Select(number => drawn.RankOf(Early(drawn, number))), ranks);
        Assert.Equal(300, ranks.Distinct().Count());

        var next = new QueuedSale(drawn with { Head = 50 }, first);
        Assert.Equal(ranks, Enumerable.Range(0, 300).Select(number => next.RankOf(Early(drawn, number))));
        Assert.Equal(307, next.RankOf(new Ticket(drawn.SaleId, Guid.NewGuid(), Late: true, 7, Noon)));
    }

    [Fact]
    public void Nothing_is_remembered_from_before_the_draw_or_of_another_one()
    {
        var undrawn = Drawn(StartDraw.NewSeed(), 300) with { Seed = null, Early = null };
        var before = new QueuedSale(undrawn, null);
        Assert.Null(before.RankOf(Early(undrawn, 5)));

        var drawn = undrawn with { Seed = StartDraw.NewSeed(), Early = 300 };
        var after = new QueuedSale(drawn, before);
        Assert.Equal(drawn.RankOf(Early(drawn, 5)), after.RankOf(Early(drawn, 5)));

        var another = drawn with { Seed = StartDraw.NewSeed() };
        var changed = new QueuedSale(another, after);
        Assert.Equal(another.RankOf(Early(drawn, 5)), changed.RankOf(Early(drawn, 5)));
    }

    [Theory]
    [InlineData(300)]
    [InlineData(long.MaxValue)]
    public void A_number_that_the_draw_did_not_have_has_no_rank(long number)
    {
        var drawn = Drawn(StartDraw.NewSeed(), early: 300);
        Assert.Null(new QueuedSale(drawn, null).RankOf(Early(drawn, number)));
    }

    private static Admission Drawn(byte[] seed, long early) =>
        new(Guid.CreateVersion7(), SalePhase.Open, Noon, Noon.AddHours(1), seed, early, Noon, 0, 10, 100, 0, 120, 100);

    private static Ticket Early(Admission sale, long number) => new(sale.SaleId, Guid.NewGuid(), Late: false, number, Noon.AddHours(1));
}
