using Marketplace.WaitingRoom;

namespace Marketplace.Gateway.FlashSales;

/// <summary>
/// One sale as the service told of it last, with the ranks that were asked for since its draw: a rank never changes after that, and computing it is the
/// dearest part of a poll.
/// </summary>
public sealed class QueuedSale(Admission admission, QueuedSale? before)
{
    // Four bytes for each place of a draw; a larger draw is computed anew each time.
    private const int MostRemembered = 4_000_000;

    // Rank plus one by number, zero where nobody asked yet. A lost write costs one more computation.
    private int[]? ranks = before is not null && before.Admission.IsDrawn && before.Admission.Early == admission.Early && before.Admission.Seed.AsSpan().SequenceEqual(admission.Seed)
        ? Volatile.Read(ref before.ranks)
        : null;

    public Admission Admission { get; } = admission;

    public Standing StandingOf(Ticket? ticket, DateTimeOffset now) => Standing.Of(Admission, ticket, ticket is null ? null : RankOf(ticket), now);

    /// <summary>Null before the draw.</summary>
    public long? RankOf(Ticket ticket)
    {
        if (ticket.Late || Admission is not { IsDrawn: true, Early: > 0 and <= MostRemembered and var early } || ticket.Number < 0 || ticket.Number >= early)
            return Admission.RankOf(ticket);

        var known = Volatile.Read(ref ranks);
        if (known is null)
            Volatile.Write(ref ranks, known = new int[early]);
        if (known[ticket.Number] is > 0 and var next)
            return next - 1;
        var rank = Admission.RankOf(ticket)!.Value;
        known[ticket.Number] = (int)rank + 1;
        return rank;
    }
}
