using Marketplace.Contracts;
using Marketplace.FlashSales.Sales;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.Tests.Sales;

public sealed class WhatShoppersAreTold
{
    private static readonly DateTimeOffset Noon = new(2026, 6, 1, 12, 0, 0, TimeSpan.Zero);

    private static readonly Sale Sneakers = new(
        Guid.CreateVersion7(), Guid.CreateVersion7(), Guid.CreateVersion7(), "Trail shoe", 100, Money.Gbp(4900), Noon, Noon.AddHours(1), 1, 200, 1000, 120, 50, 1,
        SaleStatus.Scheduled, null, 1, null, null, null, 100, Noon.AddDays(-1), Noon.AddDays(-1), null);

    [Theory]
    [InlineData(-1, 0, 0, SalePhase.Scheduled)]
    [InlineData(0, 0, 0, SalePhase.Open)]
    [InlineData(5, 99, 60, SalePhase.Open)]
    [InlineData(5, 100, 60, SalePhase.Allocated)]
    [InlineData(5, 100, 100, SalePhase.SoldOut)]
    [InlineData(3600, 100, 99, SalePhase.Ended)]
    [InlineData(3600, 100, 100, SalePhase.SoldOut)]
    public void The_phase_follows_from_the_time_and_the_counts(int secondsIn, int claimed, int paid, string phase) =>
        Assert.Equal(phase, Sneakers.Phase(new SaleCounts(claimed, paid), Noon.AddSeconds(secondsIn)));

    [Theory]
    [InlineData(SaleStatus.Ended)]
    [InlineData(SaleStatus.Cancelled)]
    public void A_sale_that_was_ended_or_called_off_is_over_whatever_the_time(string status) =>
        Assert.Equal(SalePhase.Ended, (Sneakers with { Status = status }).Phase(default, Noon.AddMinutes(-1)));

    [Fact]
    public void What_is_neither_claimed_nor_paid_for_remains() => Assert.Equal(40, Sneakers.Remaining(new SaleCounts(60, 20)));
}
