using System.Data;
using Marketplace.FlashSales.Clients;
using Npgsql;

namespace Marketplace.FlashSales.Sales;

/// <summary>
/// A sale's books, exactly, as of one moment: what was sold to whom, and whether our rows, their counters and inventory agree. Quantities are
/// units; <paramref name="Findings"/> says in words what is not as it must be, and is empty when all is.
/// </summary>
/// <param name="Claimed">Units that somebody has, paid or not yet; with <paramref name="Remaining"/> they make <paramref name="Units"/>.</param>
/// <param name="Released">Units that were somebody's and came back.</param>
/// <param name="Missed">Units' worth of people who stood on the waiting list in vain.</param>
/// <param name="Waiting">Units' worth of people who still stand there.</param>
/// <param name="DistinctCustomers">Different accounts that paid.</param>
/// <param name="DistinctUnits">Different unit numbers that they have.</param>
/// <param name="Duplicates">Customers with two claims at once, and units with two holders: none.</param>
/// <param name="Settled">Nothing is under way any more: no claim is open, and inventory has what it should.</param>
/// <param name="Inventory">Null when it gave no answer.</param>
public sealed record SaleAudit(
    Guid SaleId, DateTimeOffset ServerTime, string Status, string? EndReason, int Units, int Paid, int Claimed, int Released, int Missed, int Waiting, int Remaining,
    long Joined, int DistinctCustomers, int DistinctUnits, int Duplicates, AuditedOrders Orders, AllotmentFigures? Inventory, bool Settled, IReadOnlyList<string> Findings);

/// <summary>Each claim that was ever somebody's has one order.</summary>
/// <param name="Open">Not paid for yet.</param>
public sealed record AuditedOrders(int Total, int Paid, int Open, int Released);

/// <summary>What the tables say, all of one moment.</summary>
public sealed record AuditFigures(
    Sale Sale, SaleCounts Counted, int CountedWaiting, int Paid, int Open, int Released, int Missed, int Waiting, int PaidOrders, int OpenOrders, int ReleasedOrders,
    int DistinctCustomers, int DistinctUnits, int UnitsHeld, int TwiceHeld, int UnitsOutOfRange, int UnitsOfNobody, int ClaimsWithOtherUnits, int CustomersTwice,
    int OverLimit, int SameOrders, int WithoutPlace, long Joined, bool AllotmentIsAsked)
{
    public int Claimed => Paid + Open;

    /// <summary>Inventory must have been read before the tables: what it has only goes down when claims already did.</summary>
    public SaleAudit Audit(AllotmentFigures? inventory, DateTimeOffset now)
    {
        var over = Sale.Status is SaleStatus.Ended or SaleStatus.Cancelled;
        var atRest = over && Open == 0 && Waiting == 0 && !AllotmentIsAsked;
        var findings = new List<string>();
        Check(Claimed <= Sale.Units, $"{Claimed} units are claimed of a sale of {Sale.Units}.");
        Check(UnitsHeld == Claimed, $"{UnitsHeld} numbered units have a holder, for {Claimed} claimed units.");
        Check(UnitsOutOfRange == 0, $"{UnitsOutOfRange} units have numbers that the sale does not have.");
        Check(TwiceHeld == 0, $"{TwiceHeld} units have two holders.");
        Check(UnitsOfNobody == 0, $"{UnitsOfNobody} units belong to claims that came to nothing.");
        Check(ClaimsWithOtherUnits == 0, $"{ClaimsWithOtherUnits} claims have other than as many units as they were given.");
        Check(CustomersTwice == 0, $"{CustomersTwice} customers have two claims at once.");
        Check(OverLimit == 0, $"{OverLimit} customers have more than {Sale.LimitPerCustomer} units.");
        Check(SameOrders == 0, $"{SameOrders} orders belong to two claims.");
        Check(WithoutPlace == 0, $"{WithoutPlace} claims are of people who never stood in the queue.");
        Check(Counted.Claimed == Claimed && Counted.Paid == Paid && CountedWaiting == Waiting,
            $"The counters say {Counted.Claimed} claimed, {Counted.Paid} paid, {CountedWaiting} waiting; the claims say {Claimed}, {Paid}, {Waiting}.");
        if (inventory is null)
            findings.Add("Inventory gave no answer: whether it agrees is not known.");
        else
        {
            Check(inventory.Units >= Claimed, $"Inventory keeps {inventory.Units} units for {Claimed} that are claimed.");
            Check(!Sale.IsRunning(now) || inventory.Units >= Sale.Units, $"Inventory keeps {inventory.Units} units for a sale of {Sale.Units} that is on.");
            Check(!atRest || (inventory.Units == Paid && inventory.Taken == Paid && inventory.Committed == Paid),
                $"All is over and {Paid} units are paid for, but inventory keeps {inventory.Units} for the sale, {inventory.Taken} of them for orders, and {inventory.Committed} left the house.");
        }

        return new SaleAudit(
            Sale.SaleId, now, Sale.Status, Sale.EndReason, Sale.Units, Paid, Claimed, Released, Missed, Waiting, Sale.Units - Claimed, Joined, DistinctCustomers, DistinctUnits,
            CustomersTwice + TwiceHeld, new AuditedOrders(PaidOrders + OpenOrders + ReleasedOrders, PaidOrders, OpenOrders, ReleasedOrders), inventory,
            atRest, findings);

        void Check(bool holds, string finding)
        {
            if (!holds)
                findings.Add(finding);
        }
    }
}

/// <summary>Reads everything about a sale at one moment. It goes through all of a sale's claims: for operators, after the fact.</summary>
public sealed class SaleAuditStore(NpgsqlDataSource database)
{
    public async Task<AuditFigures?> ReadAsync(Guid saleId, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(IsolationLevel.RepeatableRead, ct);     // one snapshot for all that is compared
        await using var read = new NpgsqlCommand($"""
            WITH mine AS MATERIALIZED (
                SELECT claim_id, buyer_id, quantity, state, order_id, (SELECT count(*) FROM claim_units u WHERE u.claim_id = c.claim_id)::integer AS units
                FROM claims c WHERE c.sale_id = $1
            ), held AS MATERIALIZED (
                SELECT u.unit_no, m.state FROM claim_units u LEFT JOIN mine m USING (claim_id) WHERE u.sale_id = $1
            ), customers AS MATERIALIZED (
                SELECT buyer_id, count(*) FILTER (WHERE state IN ('waiting', 'claimed', 'paid')) AS live,
                       coalesce(sum(quantity) FILTER (WHERE state IN ('claimed', 'paid')), 0) AS units
                FROM mine GROUP BY buyer_id
            )
            SELECT {SaleSql.Columns}, s.allotment_version <> s.allotted_version OR s.allotment_due_at IS NOT NULL,
                   (SELECT coalesce(sum(taken), 0)::integer FROM claim_counts WHERE sale_id = $1),
                   (SELECT coalesce(sum(paid), 0)::integer FROM claim_counts WHERE sale_id = $1),
                   (SELECT coalesce(sum(waiting), 0)::integer FROM claim_counts WHERE sale_id = $1),
                   m.paid, m.open, m.released, m.missed, m.waiting, m.paid_orders, m.open_orders, m.released_orders, m.distinct_customers, m.other_units, m.same_orders,
                   h.distinct_paid, h.held, h.twice, h.out_of_range, h.of_nobody,
                   (SELECT count(*) FROM customers WHERE live > 1)::integer, (SELECT count(*) FROM customers WHERE units > s.limit_per_customer)::integer,
                   (SELECT count(*) FROM customers c WHERE NOT EXISTS (SELECT FROM places p WHERE p.sale_id = $1 AND p.buyer_id = c.buyer_id))::integer,
                   (SELECT count(*) FROM places WHERE sale_id = $1)
            FROM sales s
            CROSS JOIN LATERAL (
                SELECT coalesce(sum(quantity) FILTER (WHERE state = 'paid'), 0)::integer AS paid, coalesce(sum(quantity) FILTER (WHERE state = 'claimed'), 0)::integer AS open,
                       coalesce(sum(quantity) FILTER (WHERE state = 'released'), 0)::integer AS released, coalesce(sum(quantity) FILTER (WHERE state = 'missed'), 0)::integer AS missed,
                       coalesce(sum(quantity) FILTER (WHERE state = 'waiting'), 0)::integer AS waiting,
                       count(DISTINCT order_id) FILTER (WHERE state = 'paid')::integer AS paid_orders, count(DISTINCT order_id) FILTER (WHERE state = 'claimed')::integer AS open_orders,
                       count(DISTINCT order_id) FILTER (WHERE state = 'released')::integer AS released_orders,
                       count(DISTINCT buyer_id) FILTER (WHERE state = 'paid')::integer AS distinct_customers,
                       count(*) FILTER (WHERE units <> CASE WHEN state IN ('claimed', 'paid') THEN quantity ELSE 0 END)::integer AS other_units,
                       (count(order_id) - count(DISTINCT order_id))::integer AS same_orders
                FROM mine) m
            CROSS JOIN LATERAL (
                SELECT count(DISTINCT unit_no) FILTER (WHERE state = 'paid')::integer AS distinct_paid, count(*)::integer AS held, (count(*) - count(DISTINCT unit_no))::integer AS twice,
                       count(*) FILTER (WHERE unit_no NOT BETWEEN 1 AND s.units)::integer AS out_of_range,
                       count(*) FILTER (WHERE state IS NULL OR state NOT IN ('claimed', 'paid'))::integer AS of_nobody
                FROM held) h
            WHERE s.sale_id = $1 AND s.status IN ('scheduled', 'cancelled', 'ended')
            """, connection, tx) { Parameters = { new() { Value = saleId } } };
        await using var row = await read.ExecuteReaderAsync(ct);
        if (!await row.ReadAsync(ct))
            return null;

        const int First = SaleSql.ColumnCount;
        int At(int column) => row.GetInt32(First + column);
        return new AuditFigures(
            SaleSql.Read(row), new SaleCounts(At(1), At(2)), At(3), Paid: At(4), Open: At(5), Released: At(6), Missed: At(7), Waiting: At(8),
            PaidOrders: At(9), OpenOrders: At(10), ReleasedOrders: At(11), DistinctCustomers: At(12), DistinctUnits: At(15), UnitsHeld: At(16), TwiceHeld: At(17),
            UnitsOutOfRange: At(18), UnitsOfNobody: At(19), ClaimsWithOtherUnits: At(13), CustomersTwice: At(20), OverLimit: At(21), SameOrders: At(14), WithoutPlace: At(22),
            Joined: row.GetInt64(First + 23), AllotmentIsAsked: row.GetBoolean(First));
    }
}
