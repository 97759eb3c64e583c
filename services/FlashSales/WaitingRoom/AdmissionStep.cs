using Marketplace.FlashSales.Sales;

namespace Marketplace.FlashSales.WaitingRoom;

/// <summary>One step of admission: how far it had come at <see cref="At"/>, and how far it may go until the next one says more. No I/O.</summary>
/// <param name="Room">How many more may be let in.</param>
/// <param name="LetIn">How many of the queue were let in: <paramref name="Head"/>, or all there are, when it waits for whoever comes.</param>
/// <param name="ExpiredBelow">Ranks below were let in longer ago than an admission lasts.</param>
/// <param name="Inside">People let in who have not got their answer, nor left, nor let it lapse.</param>
public sealed record AdmissionStep(long Step, DateTimeOffset At, long Head, int Room, long LetIn, long ExpiredBelow, int Inside)
{
    /// <summary>At the draw: nobody was let in, and as many may come in as there is place inside.</summary>
    public static AdmissionStep First(Sale sale, DateTimeOffset now) => new(0, now, 0, sale.InsideLimit, 0, 0, 0);

    public long HeadAt(DateTimeOffset now, int rate) =>
        Head + (long)Math.Min(Room, Math.Min(Math.Max(0, (now - At).TotalSeconds) * rate, int.MaxValue));

    /// <summary>
    /// How far admission has come by itself since this step. Gaps were passed as if somebody stood there; as many more are let in instead.
    /// </summary>
    /// <param name="people">How many ranks there are in the queue, gaps included.</param>
    /// <param name="gaps">Of the ranks from this step's head on to the one of <paramref name="now"/>.</param>
    /// <param name="lapsed">How many had been let in when an admission that lapses now began.</param>
    /// <param name="done">Of the ranks from <paramref name="lapsed"/> on, of those let in.</param>
    /// <param name="mayCome">There is something to be had.</param>
    /// <param name="toldWithin">Gateways tell people by states as old as this.</param>
    public AdmissionStep Next(Sale sale, DateTimeOffset now, long people, long gaps, long lapsed, long done, bool mayCome, TimeSpan toldWithin)
    {
        var at = now > At ? now : At;
        var expiredBelow = Math.Max(ExpiredBelow, lapsed);

        // Everybody below expiredBelow, and the done above, make place. This moves up only, whatever head does, so nobody is shut out who was let in.
        var furthest = Math.Max(Head + Room, sale.InsideLimit + expiredBelow + done);
        var head = Math.Min(HeadAt(at, sale.AdmissionRate) + (mayCome ? gaps : 0), furthest);
        var letIn = Math.Max(LetIn, Math.Min(head, people));

        // When nothing is left, nobody new is let in but those whom a gateway may be telling so at this moment.
        var until = mayCome ? furthest : Math.Min(furthest, Math.Max(head, HeadAt(at + toldWithin, sale.AdmissionRate)));
        return new(Step + 1, at, head, (int)Math.Min(until - head, int.MaxValue), letIn, expiredBelow, (int)Math.Max(0, letIn - expiredBelow - done));
    }

    /// <summary>False: it says nothing that follows from the one before it, and is not worth a row.</summary>
    public bool IsNews(AdmissionStep before, int rate) =>
        before.HeadAt(At, rate) != Head || Room != before.Head + before.Room - Head
        || LetIn != before.LetIn || ExpiredBelow != before.ExpiredBelow || Inside != before.Inside;
}
