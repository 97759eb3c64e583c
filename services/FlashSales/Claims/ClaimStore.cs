using Marketplace.Contracts;
using Marketplace.FlashSales.Sales;
using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.FlashSales.Claims;

/// <summary>The SQL of claims. A shard's plan is one batch without BEGIN: PostgreSQL runs it as one transaction, in one round trip.</summary>
public sealed class ClaimStore(NpgsqlDataSource database, OutboxSignal signal, SalesMeter meter, TimeProvider time)
{
    /// <summary>
    /// A shard as its rows say. Its counter is made with the first claim, which is after the start, when nothing of the sale can change any
    /// more. The version is read before the claims: should somebody write in between, the next plan fails on it and all is read again.
    /// </summary>
    public async Task<Loaded> LoadAsync(Guid saleId, int shard, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                new("""
                    INSERT INTO claim_counts (sale_id, shard, units, waiting_list)
                    SELECT sale_id, $2, (units - $2 + shards - 1) / shards, (waiting_list - $2 + shards - 1) / shards
                    FROM sales WHERE sale_id = $1 AND status = 'scheduled' AND starts_at <= $3 AND $2 < least(shards, units)
                    ON CONFLICT DO NOTHING
                    """) { Parameters = { new() { Value = saleId }, new() { Value = (short)shard }, new() { Value = time.GetUtcNow() } } },
                new($"""
                    SELECT {SaleSql.Columns}, c.version, c.units, c.waiting_list
                    FROM sales s LEFT JOIN claim_counts c ON c.sale_id = s.sale_id AND c.shard = $2
                    WHERE s.sale_id = $1
                    """) { Parameters = { new() { Value = saleId }, new() { Value = (short)shard } } },
                new($"""
                    SELECT {HeldColumns} FROM claims c
                    WHERE c.sale_id = $1 AND c.shard = $2 AND c.state IN ('waiting', 'claimed', 'paid')
                    """) { Parameters = { new() { Value = saleId }, new() { Value = (short)shard } } },
                new("SELECT rank FROM claims WHERE sale_id = $1 AND shard = $2 AND state IN ('released', 'missed')")
                {
                    Parameters = { new() { Value = saleId }, new() { Value = (short)shard } },
                },
            },
        };
        await using var rows = await batch.ExecuteReaderAsync(ct);
        if (!await rows.ReadAsync(ct)) return new Loaded(null, Outcome.Over);
        var sale = SaleSql.Read(rows);
        if (rows.IsDBNull(SaleSql.ColumnCount)) return new Loaded(null, sale.IsOver(time.GetUtcNow()) ? Outcome.Over : Outcome.NotStarted);
        var version = rows.GetInt64(SaleSql.ColumnCount);
        var terms = new ShardTerms(
            saleId, shard, ShardTerms.ShardsOf(sale), sale.ProductId, sale.SellerId, sale.Title, sale.Price, rows.GetInt32(SaleSql.ColumnCount + 1),
            rows.GetInt32(SaleSql.ColumnCount + 2), sale.StartsAt, sale.EndsAt, sale.Status == SaleStatus.Scheduled);

        await rows.NextResultAsync(ct);
        var held = new List<Held>();
        while (await rows.ReadAsync(ct)) held.Add(ReadHeld(rows));
        await rows.NextResultAsync(ct);
        var usedUp = new List<long>();
        while (await rows.ReadAsync(ct)) usedUp.Add(rows.GetInt64(0));
        return new Loaded(new ShardMemory(terms, version, held, usedUp), Outcome.Held);
    }

    /// <summary>What other shards of the sale know of these: the claim of a buyer, or that their place had one.</summary>
    public async Task<IReadOnlyDictionary<(Guid BuyerId, long Rank), Answer>> ElsewhereAsync(ShardTerms terms, IReadOnlyList<Wish> wishes, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"""
            SELECT {HeldColumns}, {PositionColumn}, w.rank
            FROM unnest($2::uuid[], $4::bigint[]) AS w (buyer_id, rank) JOIN claims c ON c.buyer_id = w.buyer_id
            WHERE c.sale_id = $1 AND c.shard <> $3 AND (c.state IN ('waiting', 'claimed', 'paid') OR c.rank = w.rank)
            ORDER BY c.state IN ('waiting', 'claimed', 'paid')
            """);
        find.Parameters.Add(new() { Value = terms.SaleId });
        find.Parameters.Add(new() { Value = wishes.Select(wish => wish.BuyerId).ToArray() });
        find.Parameters.Add(new() { Value = (short)terms.Shard });
        find.Parameters.Add(new() { Value = wishes.Select(wish => wish.Rank).ToArray() });
        await using var rows = await find.ExecuteReaderAsync(ct);
        var answers = new Dictionary<(Guid, long), Answer>();
        while (await rows.ReadAsync(ct))
        {
            var claim = ReadHeld(rows);
            answers[(claim.BuyerId, rows.GetInt64(HeldCount + 1))] = claim.State is ClaimState.Released or ClaimState.Missed ? new Answer(Outcome.UsedUp) : new Answer(claim, rows.GetInt32(HeldCount));
        }
        return answers;
    }

    /// <summary>The last claim each of these has in the sale, over or not.</summary>
    public async Task<IReadOnlyDictionary<(Guid SaleId, Guid BuyerId), LastClaim>> LastClaimsAsync(IReadOnlyCollection<(Guid SaleId, Guid BuyerId)> whose, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"""
            SELECT {HeldColumns}, {PositionColumn}, c.reason, c.sale_id, c.shard
            FROM unnest($1::uuid[], $2::uuid[]) AS w (sale_id, buyer_id) CROSS JOIN LATERAL (
                SELECT claim_id, sale_id, shard, buyer_id, quantity, state, reason, place, order_id, pay_until, from_waiting_list, rank
                FROM claims WHERE sale_id = w.sale_id AND buyer_id = w.buyer_id
                ORDER BY state IN ('waiting', 'claimed', 'paid') DESC, created_at DESC LIMIT 1) c
            """);
        find.Parameters.Add(new() { Value = whose.Select(one => one.SaleId).ToArray() });
        find.Parameters.Add(new() { Value = whose.Select(one => one.BuyerId).ToArray() });
        await using var rows = await find.ExecuteReaderAsync(ct);
        var standings = new Dictionary<(Guid, Guid), LastClaim>();
        while (await rows.ReadAsync(ct))
        {
            var claim = ReadHeld(rows);
            standings[(rows.GetGuid(HeldCount + 2), claim.BuyerId)] = new LastClaim(
                claim, rows.GetInt32(HeldCount), rows.IsDBNull(HeldCount + 1) ? null : rows.GetString(HeldCount + 1), rows.GetInt16(HeldCount + 3));
        }
        return standings;
    }

    /// <summary>Whose orders these are; those that are no order of a sale are absent.</summary>
    public async Task<IReadOnlyDictionary<Guid, Known>> ByOrderAsync(IReadOnlyCollection<Guid> orders, CancellationToken ct)
    {
        await using var find = database.CreateCommand("SELECT order_id, claim_id, sale_id, shard, state FROM claims WHERE order_id = ANY ($1)");
        find.Parameters.Add(new() { Value = orders.ToArray() });
        await using var rows = await find.ExecuteReaderAsync(ct);
        var known = new Dictionary<Guid, Known>();
        while (await rows.ReadAsync(ct))
            known[rows.GetGuid(0)] = new Known(rows.GetGuid(0), rows.GetGuid(1), rows.GetGuid(2), rows.GetInt16(3), rows.GetString(4));
        return known;
    }

    /// <summary>Where the orders of these go and what pays for them. Who left nothing is absent.</summary>
    public async Task<IReadOnlyDictionary<Guid, Checkout>> CheckoutsAsync(IReadOnlyCollection<Guid> buyers, CancellationToken ct)
    {
        await using var read = database.CreateCommand("""
            SELECT buyer_id, name, line1, line2, city, postal_code, country, contact_email, contact_name, payment_method::text
            FROM express_checkouts WHERE buyer_id = ANY ($1)
            """);
        read.Parameters.Add(new() { Value = buyers.ToArray() });
        await using var row = await read.ExecuteReaderAsync(ct);
        var checkouts = new Dictionary<Guid, Checkout>();
        while (await row.ReadAsync(ct))
            checkouts[row.GetGuid(0)] = new Checkout(
                new PostalAddress(row.GetString(1), row.GetString(2), row.IsDBNull(3) ? null : row.GetString(3), row.GetString(4), row.GetString(5), row.GetString(6)),
                new OrderContact(row.GetString(7), row.GetString(8)), row.IsDBNull(9) ? null : row.GetString(9));
        return checkouts;
    }

    /// <summary>
    /// All of the plan or nothing, with the events that tell of it. <see cref="PostgresException"/>, see <see cref="IsConflict"/>: somebody else
    /// decided meanwhile, or the sale is over.
    /// </summary>
    public async Task CommitAsync(ShardPlan plan, IReadOnlyDictionary<Guid, Checkout> checkouts, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection);
        batch.BatchCommands.Add(MoveOn(plan));
        if (plan.Moves.Count > 0)
        {
            batch.BatchCommands.Add(Apply(plan.Moves, now));
            if (plan.Moves.SelectMany(move => move.From.Units.Except(move.To.Units)).ToArray() is { Length: > 0 } returned)
                batch.BatchCommands.Add(new("DELETE FROM claim_units WHERE sale_id = $1 AND unit_no = ANY ($2)")
                {
                    Parameters = { new() { Value = plan.Terms.SaleId }, new() { Value = returned } },
                });
        }

        if (plan.New.Count > 0) batch.BatchCommands.Add(Insert(plan, now));
        var given = plan.New.Concat(plan.Moves.Where(move => move.From.Units.Count == 0).Select(move => move.To))
            .SelectMany(claim => claim.Units.Select(unit => (Unit: unit, claim.ClaimId))).ToArray();
        if (given.Length > 0)
            batch.BatchCommands.Add(new("INSERT INTO claim_units (sale_id, unit_no, claim_id) SELECT $1, unit_no, claim_id FROM unnest($2, $3) AS u (unit_no, claim_id)")
            {
                Parameters =
                {
                    new() { Value = plan.Terms.SaleId }, new() { Value = Array.ConvertAll(given, one => one.Unit) },
                    new() { Value = Array.ConvertAll(given, one => one.ClaimId) },
                },
            });
        if (EventsOf(plan, checkouts, now) is { Count: > 0 } events) batch.BatchCommands.Add(Outbox.Command(events));
        if (plan.TakenMore < 0) batch.BatchCommands.Add(SaleSql.LookAtAllotment(plan.Terms.SaleId, now));
        await batch.ExecuteNonQueryAsync(ct);
        signal.Notify();
    }

    /// <summary>Somebody else wrote for this shard or this buyer, or the sale ended: what was known is not so any more.</summary>
    public static bool IsConflict(PostgresException fault) =>
        fault.SqlState is PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure
        || fault.ConstraintName is "one_decider" or "one_claim_per_customer" or "one_holder_per_unit" or "never_oversold" or "nobody_waits_in_vain"
            or "claims_by_order" or "claims_pkey";

    /// <summary>
    /// Lets the first <paramref name="atMost"/> people of this shard's waiting list wait in another one, which has units. Both shards move on
    /// by a version, so that the other one reads its rows again.
    /// </summary>
    public async Task<int> HandOverAsync(ShardPlan plan, int toShard, int atMost, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using (var fences = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                MoveOn(plan),
                new("UPDATE claim_counts SET version = version + 1 WHERE sale_id = $1 AND shard = $2")
                {
                    Parameters = { new() { Value = plan.Terms.SaleId }, new() { Value = (short)toShard } },
                },
            },
        })
            await fences.ExecuteNonQueryAsync(ct);

        await using var move = new NpgsqlCommand("""
            WITH first AS (
                SELECT claim_id, place FROM claims WHERE sale_id = $1 AND shard = $2 AND state = 'waiting' ORDER BY place LIMIT $4
            ), moved AS (
                UPDATE claims c SET shard = $3, place = n.place
                FROM (SELECT claim_id, row_number() OVER (ORDER BY place) + coalesce(
                          (SELECT max(place) FROM claims WHERE sale_id = $1 AND shard = $3 AND state IN ('waiting', 'claimed', 'paid')), 0) AS place
                      FROM first) n
                WHERE c.claim_id = n.claim_id
                RETURNING c.quantity
            ), sums AS (
                SELECT count(*)::integer AS people, coalesce(sum(quantity), 0)::integer AS units FROM moved
            ), counted AS (
                UPDATE claim_counts c SET waiting = waiting + CASE WHEN c.shard = $3 THEN sums.units ELSE -sums.units END
                FROM sums WHERE c.sale_id = $1 AND c.shard IN ($2, $3)
            )
            SELECT people FROM sums
            """, connection, tx)
        {
            Parameters =
            {
                new() { Value = plan.Terms.SaleId }, new() { Value = (short)plan.Terms.Shard }, new() { Value = (short)toShard }, new() { Value = atMost },
            },
        };
        var moved = (int)(await move.ExecuteScalarAsync(ct))!;
        await tx.CommitAsync(ct);
        return moved;
    }

    /// <summary>The version of a shard; null before its first claim.</summary>
    public async Task<long?> VersionAsync(Guid saleId, int shard, CancellationToken ct)
    {
        await using var read = database.CreateCommand("SELECT version FROM claim_counts WHERE sale_id = $1 AND shard = $2");
        read.Parameters.Add(new() { Value = saleId });
        read.Parameters.Add(new() { Value = (short)shard });
        return await read.ExecuteScalarAsync(ct) as long?;
    }

    /// <summary>Once every unit of the sale is paid for it is over, and that is told once: who ends it tells it.</summary>
    public async Task<bool> EndIfSoldOutAsync(Guid saleId, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var read = new NpgsqlCommand($"""
            SELECT {SaleSql.Columns} FROM sales s
            WHERE s.sale_id = $1 AND s.status = 'scheduled' AND s.units = (SELECT sum(paid) FROM claim_counts WHERE sale_id = $1)
            """, connection, tx) { Parameters = { new() { Value = saleId } } };
        Sale? sale;
        await using (var row = await read.ExecuteReaderAsync(ct))
            sale = await row.ReadAsync(ct) ? SaleSql.Read(row) : null;
        if (sale is null || !await SaleSql.EndAsync(tx, saleId, SaleEnd.SoldOut, now, ct)) return false;

        await Outbox.AddAsync(tx, new FlashSaleSoldOut(saleId, sale.ProductId, sale.SellerId, sale.Title, sale.Units) { OccurredAt = now }, saleId, ct);
        await tx.CommitAsync(ct);
        signal.Notify();
        meter.Ended(SaleEnd.SoldOut);
        return true;
    }

    /// <summary>Claims whose time to be paid is over, for this replica to ask ordering about; another one skips them for a while.</summary>
    public async Task<IReadOnlyList<Known>> TakeDueAsync(int atMost, TimeSpan askAgainAfter, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var take = database.CreateCommand("""
            WITH due AS MATERIALIZED (
                SELECT claim_id FROM claims WHERE state = 'claimed' AND ask_at <= $1 ORDER BY ask_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)
            UPDATE claims c SET ask_at = $2 FROM due WHERE c.claim_id = due.claim_id
            RETURNING c.order_id, c.claim_id, c.sale_id, c.shard, c.state
            """);
        take.Parameters.Add(new() { Value = now });
        take.Parameters.Add(new() { Value = now + askAgainAfter });
        take.Parameters.Add(new() { Value = atMost });
        await using var rows = await take.ExecuteReaderAsync(ct);
        var due = new List<Known>();
        while (await rows.ReadAsync(ct)) due.Add(new Known(rows.GetGuid(0), rows.GetGuid(1), rows.GetGuid(2), rows.GetInt16(3), rows.GetString(4)));
        return due;
    }

    /// <summary>
    /// Shards that have something to do which no request will bring about: people who wait although their sale is over, or although it has
    /// free units; a sale that is paid for and not ended yet (a crash between the two).
    /// </summary>
    public async Task<IReadOnlyList<Loose>> LooseEndsAsync(CancellationToken ct)
    {
        await using var find = database.CreateCommand("""
            SELECT c.sale_id, c.shard, c.waiting > 0, c.units - c.taken, s.status <> 'scheduled' OR s.ends_at <= $1, s.end_reason,
                   s.status = 'scheduled' AND s.units = sum(c.paid) OVER (PARTITION BY c.sale_id)
            FROM sales s JOIN claim_counts c ON c.sale_id = s.sale_id
            WHERE s.status IN ('preparing', 'scheduled')
               OR c.waiting > 0
            ORDER BY c.sale_id, c.shard
            """);
        find.Parameters.Add(new() { Value = time.GetUtcNow() });
        await using var rows = await find.ExecuteReaderAsync(ct);
        var loose = new List<Loose>();
        while (await rows.ReadAsync(ct))
            loose.Add(new Loose(rows.GetGuid(0), rows.GetInt16(1), rows.GetBoolean(2), rows.GetInt32(3), rows.GetBoolean(4),
                rows.IsDBNull(5) ? null : rows.GetString(5), rows.GetBoolean(6)));
        return loose;
    }

    private const int HeldCount = 10;

    private const string HeldColumns = """
        c.claim_id, c.buyer_id, c.quantity, c.state, c.place, ARRAY(SELECT u.unit_no FROM claim_units u WHERE u.claim_id = c.claim_id),
        c.order_id, c.pay_until, c.from_waiting_list, c.rank
        """;

    private const string PositionColumn = """
        CASE WHEN c.state = 'waiting' THEN (
            SELECT count(*)::integer FROM claims o
            WHERE o.sale_id = c.sale_id AND o.shard = c.shard AND o.state = 'waiting' AND o.place <= c.place) ELSE 0 END
        """;

    private static Held ReadHeld(NpgsqlDataReader row) => new(
        row.GetGuid(0), row.GetGuid(1), row.GetInt64(9), row.GetInt16(2), row.GetString(3), row.GetInt64(4), row.GetFieldValue<int[]>(5),
        row.IsDBNull(6) ? null : row.GetGuid(6), row.IsDBNull(7) ? null : row.GetFieldValue<DateTimeOffset>(7), row.GetBoolean(8));

    // The fence. A version that is not the one we knew, or a sale that is no longer on, makes -1, which no row may hold.
    private static NpgsqlBatchCommand MoveOn(ShardPlan plan) => new(plan.NeedsOpenSale
        ? """
          WITH sale AS MATERIALIZED (SELECT sale_id FROM sales WHERE sale_id = $1 AND status = 'scheduled' FOR SHARE)
          UPDATE claim_counts SET taken = taken + $4, paid = paid + $5, waiting = waiting + $6,
                                  version = CASE WHEN version = $3 AND EXISTS (SELECT FROM sale) THEN version + 1 ELSE -1 END
          WHERE sale_id = $1 AND shard = $2
          """
        : """
          UPDATE claim_counts SET taken = taken + $4, paid = paid + $5, waiting = waiting + $6,
                                  version = CASE WHEN version = $3 THEN version + 1 ELSE -1 END
          WHERE sale_id = $1 AND shard = $2
          """)
    {
        Parameters =
        {
            new() { Value = plan.Terms.SaleId }, new() { Value = (short)plan.Terms.Shard }, new() { Value = plan.Version },
            new() { Value = plan.TakenMore }, new() { Value = plan.PaidMore }, new() { Value = plan.WaitingMore },
        },
    };

    private static NpgsqlBatchCommand Apply(List<Move> moves, DateTimeOffset now) => new("""
        UPDATE claims c SET state = m.state, reason = m.reason, order_id = m.order_id, pay_until = m.pay_until, ask_at = coalesce(c.ask_at, m.pay_until),
                            from_waiting_list = m.from_waiting_list, changed_at = $7
        FROM unnest($1, $2, $3, $4, $5, $6) AS m (claim_id, state, reason, order_id, pay_until, from_waiting_list)
        WHERE c.claim_id = m.claim_id
        """)
    {
        Parameters =
        {
            new() { Value = moves.Select(move => move.To.ClaimId).ToArray() },
            new() { Value = moves.Select(move => move.To.State).ToArray() },
            new() { Value = moves.Select(move => move.Reason).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
            new() { Value = moves.Select(move => move.To.OrderId).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid },
            new() { Value = moves.Select(move => move.To.PayUntil).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz },
            new() { Value = moves.Select(move => move.To.FromWaitingList).ToArray() },
            new() { Value = now },
        },
    };

    private static NpgsqlBatchCommand Insert(ShardPlan plan, DateTimeOffset now) => new("""
        INSERT INTO claims (claim_id, sale_id, shard, buyer_id, rank, quantity, state, order_id, place, pay_until, ask_at, created_at, changed_at)
        SELECT claim_id, $1, $2, buyer_id, rank, quantity, state, order_id, place, pay_until, pay_until, $3, $3
        FROM unnest($4, $5, $6, $7, $8, $9, $10, $11) AS n (claim_id, buyer_id, rank, quantity, state, order_id, place, pay_until)
        """)
    {
        Parameters =
        {
            new() { Value = plan.Terms.SaleId }, new() { Value = (short)plan.Terms.Shard }, new() { Value = now },
            new() { Value = plan.New.Select(claim => claim.ClaimId).ToArray() },
            new() { Value = plan.New.Select(claim => claim.BuyerId).ToArray() },
            new() { Value = plan.New.Select(claim => claim.Rank).ToArray() },
            new() { Value = plan.New.Select(claim => (short)claim.Quantity).ToArray() },
            new() { Value = plan.New.Select(claim => claim.State).ToArray() },
            new() { Value = plan.New.Select(claim => claim.OrderId).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid },
            new() { Value = plan.New.Select(claim => claim.Place).ToArray() },
            new() { Value = plan.New.Select(claim => claim.PayUntil).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz },
        },
    };

    private static List<(DomainEvent Event, Guid AggregateId)> EventsOf(ShardPlan plan, IReadOnlyDictionary<Guid, Checkout> checkouts, DateTimeOffset now)
    {
        var events = new List<(DomainEvent, Guid)>(plan.New.Count + plan.Moves.Count);
        foreach (var claim in plan.New)
            if (claim.State == ClaimState.Claimed) events.Add((Claimed(claim), claim.ClaimId));
        foreach (var (from, to, reason) in plan.Moves)
        {
            DomainEvent? told = to.State switch
            {
                ClaimState.Claimed => Claimed(to),
                ClaimState.Released when checkouts.TryGetValue(to.BuyerId, out var checkout) => new FlashSaleReleased(
                    plan.Terms.SaleId, to.ClaimId, from.OrderId!.Value, to.BuyerId, plan.Terms.Title, to.Quantity, reason!, checkout.Contact),
                ClaimState.Missed when reason is MissedReason.SoldOut or MissedReason.Ended && checkouts.TryGetValue(to.BuyerId, out var checkout) =>
                    new FlashSaleMissed(plan.Terms.SaleId, to.ClaimId, to.BuyerId, plan.Terms.Title, checkout.Contact),
                _ => null,
            };
            if (told is not null) events.Add((told with { OccurredAt = now }, to.ClaimId));
        }
        return events;

        FlashSaleClaimed Claimed(Held claim)
        {
            var checkout = checkouts[claim.BuyerId];            // without one nobody gets a unit
            return new FlashSaleClaimed(
                plan.Terms.SaleId, claim.ClaimId, claim.OrderId!.Value, claim.BuyerId,
                new OrderedLine(plan.Terms.ProductId, plan.Terms.SellerId, plan.Terms.Title, claim.Quantity, plan.Terms.Price),
                checkout.ShipTo, checkout.Contact, checkout.PaymentMethod, claim.FromWaitingList, claim.PayUntil!.Value)
            { OccurredAt = now };
        }
    }
}

/// <param name="Memory">Null: nothing can be claimed, as <paramref name="WhyNot"/> says.</param>
public sealed record Loaded(ShardMemory? Memory, Outcome WhyNot);

/// <summary>A buyer's last claim in a sale.</summary>
/// <param name="Position">On the waiting list, from 1.</param>
public sealed record LastClaim(Held Claim, int Position, string? Reason, int Shard);

/// <summary>A claim as far as news about its order need it.</summary>
public sealed record Known(Guid OrderId, Guid ClaimId, Guid SaleId, int Shard, string State);

/// <param name="Free">Units of the shard that nobody has.</param>
/// <param name="IsPaidUp">Every unit of the sale is paid for, and it is not over yet.</param>
public sealed record Loose(Guid SaleId, int Shard, bool HasWaiting, int Free, bool IsOver, string? EndReason, bool IsPaidUp);

/// <summary>Where it goes and what pays for it: what the buyer left before joining.</summary>
public sealed record Checkout(PostalAddress ShipTo, OrderContact Contact, string? PaymentMethod);
