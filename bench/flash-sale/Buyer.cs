using System.Diagnostics;
using Marketplace.Bench.FlashSale.Traffic;

namespace Marketplace.Bench.FlashSale;

/// <summary>How it ended for somebody, as the shop told it.</summary>
internal enum Ending
{
    None,
    Paid,
    Released,
    Missed,
    SoldOut,
    Ended,
}

/// <summary>
/// Somebody who wants one: joins, looks how it stands as often as the shop says (or is told, over server-sent events), claims once let in, and then asks what became of the
/// claim. Never asks less patiently than told to, and never gives up before there is a final answer.
/// </summary>
internal sealed class Buyer(Account account, Storm storm, bool watches) : Exchange
{
    private static readonly TimeSpan AfterTrouble = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan BetweenOutcomes = TimeSpan.FromSeconds(1);

    private Step step = Step.Join;
    private Step before;

    private enum Step
    {
        Join,
        Look,
        Claim,
        Outcome,
        Renew,
    }

    public Account Account => account;

    public byte[] Ticket { get; private set; } = [];

    public Guid? OrderId { get; private set; }

    public Ending Ending { get; private set; }

    public bool HasJoined => Ticket.Length > 0;

    public bool WasAdmitted { get; private set; }

    /// <summary>Put on the waiting list before anything else became of the claim.</summary>
    public bool Waited { get; private set; }

    public TimeSpan EndedAt { get; private set; }

    public override Kind Kind => step switch
    {
        Step.Join => Kind.Join,
        Step.Look => Kind.Poll,
        Step.Claim => Kind.Claim,
        Step.Outcome => Kind.Outcome,
        _ => Kind.Chore,
    };

    public override void Write(RequestWriter request)
    {
        switch (step)
        {
            case Step.Join:
                request.Begin("POST "u8, storm.QueuePath).Field("\r\nAuthorization: Bearer "u8, account.Token).End("{}"u8);
                break;
            case Step.Look:
                request.Begin("GET "u8, storm.QueuePath).Field("\r\nQueue-Ticket: "u8, Ticket).End();
                break;
            case Step.Claim:
                request.Begin("POST "u8, storm.ClaimsPath).Field("\r\nAuthorization: Bearer "u8, account.Token).Field("\r\nQueue-Ticket: "u8, Ticket).End("{\"quantity\":1}"u8);
                break;
            case Step.Outcome:
                request.Begin("GET "u8, storm.MyClaimPath).Field("\r\nAuthorization: Bearer "u8, account.Token).End();
                break;
            case Step.Renew:
                account.WriteRenewal(request);
                break;
        }
    }

    public override Exchange? OnReply(in Reply reply) => step switch
    {
        Step.Join => OnJoined(reply),
        Step.Look => OnStanding(reply),
        Step.Claim => OnClaimed(reply),
        Step.Outcome => OnOutcome(reply),
        _ => OnRenewed(reply),
    };

    public override void OnFailure(string why)
    {
        storm.Figures.Note($"{Kind}: {why}");
        storm.Schedule(this, AfterTrouble);
    }

    private Buyer? OnJoined(in Reply reply)
    {
        if (reply.Status == 200 && Json.Text(reply.Body, "ticket"u8) is { } ticket)
        {
            if (!HasJoined) storm.OnJoined();
            Ticket = RequestWriter.Utf8(ticket);
            step = Step.Look;
            if (watches) Watch();
            else LookLater(reply);
            return null;
        }

        if (reply.Status == 409 && Json.Is(reply.Body, "type"u8, "/problems/sale-over"u8)) return End(Ending.SoldOut);
        return Again(reply);
    }

    private Buyer? OnStanding(in Reply reply)
    {
        if (reply.Status != 200) return Again(reply);
        if (Decide(reply.Body) is not { } next)
        {
            LookLater(reply);
            return null;
        }

        return next ? AtOnce() : null;
    }

    /// <summary>True: something is to be asked now; false: it is over; null: wait and look again.</summary>
    private bool? Decide(ReadOnlySpan<byte> standing)
    {
        if (Json.Is(standing, "state"u8, "admitted"u8))
        {
            if (!WasAdmitted) storm.OnAdmitted();
            WasAdmitted = true;
            step = Step.Claim;
            return true;
        }

        if (Json.Is(standing, "state"u8, "sold_out"u8)) End(Ending.SoldOut);
        else if (Json.Is(standing, "state"u8, "ended"u8)) End(Ending.Ended);
        else if (Json.Is(standing, "state"u8, "expired"u8))
        {
            storm.Figures.Note("Admission lapsed before it was used");
            step = Step.Join;
            return true;
        }
        else return null;
        return false;
    }

    private Buyer? OnClaimed(in Reply reply)
    {
        switch (reply.Status)
        {
            case 202:
                step = Step.Outcome;
                if (Json.Is(reply.Body, "status"u8, "waiting_list"u8)) Waited = true;
                if (Json.Text(reply.Body, "orderId"u8) is { } order)
                {
                    OrderId = Guid.Parse(order);
                    storm.OnPlaced();
                }

                storm.Schedule(this, BetweenOutcomes);
                return null;
            case 409 when Json.Is(reply.Body, "type"u8, "/problems/sold-out"u8) || Json.Is(reply.Body, "type"u8, "/problems/sale-over"u8):
                return End(Ending.SoldOut);
            case 409 when Json.Is(reply.Body, "type"u8, "/problems/not-admitted"u8):
                storm.Figures.Note("Claim by an admitted buyer refused as not admitted");
                step = Step.Look;
                LookLater(reply);
                return null;
            default:
                return Again(reply);
        }
    }

    private Buyer? OnOutcome(in Reply reply)
    {
        if (reply.Status == 200)
        {
            if (Json.Text(reply.Body, "orderId"u8) is { } order) OrderId = Guid.Parse(order);
            if (Json.Is(reply.Body, "status"u8, "paid"u8)) return End(Ending.Paid);
            if (Json.Is(reply.Body, "status"u8, "released"u8)) return End(Ending.Released);
            if (Json.Is(reply.Body, "status"u8, "missed"u8)) return End(Ending.Missed);
            storm.Schedule(this, BetweenOutcomes);
            return null;
        }

        return Again(reply);
    }

    private Buyer? OnRenewed(in Reply reply)
    {
        if (!account.Renew(reply)) return Again(reply);
        step = before;
        return AtOnce();
    }

    private Buyer? End(Ending how)
    {
        Ending = how;
        EndedAt = storm.Figures.Now;
        storm.OnEnded(this);
        return null;
    }

    private Buyer? AtOnce()
    {
        storm.Schedule(this, TimeSpan.Zero);
        return null;
    }

    private Buyer? Again(in Reply reply)
    {
        if (reply.Status == 401 && step is not (Step.Renew or Step.Look))
        {
            (before, step) = (step, Step.Renew);   // five minutes are over
            return AtOnce();
        }

        if (reply.Status is >= 400 and < 500 and not 429) storm.OnOddAnswer(Kind, reply);
        storm.Schedule(this, reply.RetryAfter ?? AfterTrouble);
        return null;
    }

    private void LookLater(in Reply reply)
    {
        var seconds = Json.Number(reply.Body, "pollAfterSeconds"u8) ?? reply.RetryAfter?.TotalSeconds ?? 1;
        storm.Schedule(this, TimeSpan.FromSeconds(Math.Clamp(seconds, 0.1, 60)));
    }

    private void Watch() => new Window(this, storm).Open(
        request => request.Begin("GET "u8, storm.EventsPath).Field("\r\nQueue-Ticket: "u8, Ticket).Field("\r\nAccept: "u8, "text/event-stream"u8).End());

    /// <summary>What a watching buyer sees; when the stream breaks off, they look for themselves.</summary>
    private sealed class Window(Buyer buyer, Storm storm) : EventStream(storm.Url)
    {
        protected override void OnOpened(int status)
        {
            if (status != 200) storm.Figures.Note($"Watch {status}");
        }

        protected override bool OnData(ReadOnlySpan<byte> data)
        {
            storm.Figures.Record(Kind.Watch, Stopwatch.GetTimestamp());
            if (buyer.Decide(data) is not { } next) return true;
            if (next) storm.Schedule(buyer, TimeSpan.Zero);
            return false;
        }

        protected override void OnClosed()
        {
            storm.Figures.Note("Watch: ended without a final event");
            storm.Schedule(buyer, AfterTrouble);
        }
    }
}
