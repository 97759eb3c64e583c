using System.Security.Cryptography;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.Tests.WaitingRoom;

public sealed class TicketTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 27, 12, 0, 0, TimeSpan.Zero);
    private static readonly byte[] Old = RandomNumberGenerator.GetBytes(32);
    private static readonly byte[] New = RandomNumberGenerator.GetBytes(32);
    private static readonly Ticket Place = new(Guid.NewGuid(), Guid.NewGuid(), Late: true, 7_654_321, Noon.AddHours(1));

    [Fact]
    public void What_was_signed_is_read_back()
    {
        var text = new TicketKeys([New]).Sign(Place);

        Assert.Equal(TicketKeys.TextLength, text.Length);
        Assert.Equal(TicketFault.None, new TicketKeys([New]).Read(text, Noon, out var read));
        Assert.Equal(Place, read);
    }

    [Fact]
    public void A_ticket_outlives_the_change_of_keys_as_long_as_its_key_is_kept()
    {
        var text = new TicketKeys([Old]).Sign(Place);

        Assert.Equal(TicketFault.None, new TicketKeys([New, Old]).Read(text, Noon, out _));
        Assert.Equal(TicketFault.Forged, new TicketKeys([New]).Read(text, Noon, out var unread));
        Assert.Null(unread);
    }

    [Fact]
    public void No_character_of_a_ticket_can_be_changed()
    {
        var keys = new TicketKeys([New]);
        var text = keys.Sign(Place);
        for (var at = 0; at < text.Length; at++)
        {
            var changed = text[..at] + (text[at] == 'A' ? 'B' : 'A') + text[(at + 1)..];
            Assert.NotEqual(TicketFault.None, keys.Read(changed, Noon, out var read));
            Assert.Null(read);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("ticket")]
    [InlineData("!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!")]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    public void What_never_was_a_ticket_is_malformed(string text) =>
        Assert.Equal(TicketFault.Malformed, new TicketKeys([New]).Read(text, Noon, out _));

    [Fact]
    public void A_number_below_zero_or_an_end_beyond_the_calendar_is_malformed_whoever_signed_it()
    {
        var keys = new TicketKeys([New]);
        foreach (var absurd in new[] { Place with { Number = -1 }, Place with { Expires = DateTimeOffset.MaxValue }, Place with { Expires = DateTimeOffset.MinValue } })
            Assert.Equal(TicketFault.Malformed, keys.Read(keys.Sign(absurd), Noon, out _));
    }

    [Fact]
    public void A_ticket_lapses_at_its_time_and_still_says_whose_it_was()
    {
        var keys = new TicketKeys([New]);
        Assert.Equal(TicketFault.Expired, keys.Read(keys.Sign(Place), Place.Expires, out var read));
        Assert.Equal(Place.BuyerId, read!.BuyerId);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(100)]
    [InlineData(4_097)]
    public void The_draw_gives_every_early_number_a_rank_of_its_own(long early)
    {
        var seed = StartDraw.NewSeed();
        var ranks = Enumerable.Range(0, (int)early).Select(number => StartDraw.RankOf(seed, early, number)).Order();
        Assert.Equal(Enumerable.Range(0, (int)early).Select(rank => (long)rank), ranks);
    }

    [Fact]
    public void Coming_first_does_not_help_in_the_draw()
    {
        // Over many draws of 10, the number that came first is at every rank about as often: 3,000 draws, 300 expected, six standard deviations are 99.
        var times = new int[10];
        for (var draw = 0; draw < 3_000; draw++)
            times[StartDraw.RankOf(SHA256.HashData(BitConverter.GetBytes(draw)), 10, 0)]++;
        Assert.All(times, count => Assert.InRange(count, 201, 399));
    }
}
