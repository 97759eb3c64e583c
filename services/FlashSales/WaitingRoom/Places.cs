using Marketplace.FlashSales.Sales;
using Marketplace.WaitingRoom;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.FlashSales.WaitingRoom;

/// <summary>The SQL of places, but for taking one: see <see cref="JoinStore"/>.</summary>
public sealed class Places(NpgsqlDataSource database, TimeProvider time)
{
    /// <summary>
    /// Whether each ticket still is its buyer's place in the queue: one read for all, answers in their order. A ticket was replaced when its buyer
    /// left or has joined anew since.
    /// </summary>
    public async Task<IReadOnlyList<TicketPlace>> CheckAsync(Guid saleId, IReadOnlyList<(Guid Buyer, Ticket Ticket)> tickets, CancellationToken ct)
    {
        await using var find = database.CreateCommand(
            "SELECT buyer_id, late, number, left_at IS NOT NULL FROM places WHERE sale_id = $1 AND buyer_id = ANY ($2)");
        find.Parameters.Add(new() { Value = saleId });
        find.Parameters.Add(new() { Value = tickets.Select(each => each.Buyer).Distinct().ToArray() });
        await using var row = await find.ExecuteReaderAsync(ct);
        var places = new Dictionary<Guid, Place>(tickets.Count);
        while (await row.ReadAsync(ct))
            places[row.GetGuid(0)] = new Place(row.GetBoolean(1), row.GetInt64(2), row.GetBoolean(3));

        return [.. tickets.Select(each =>
            each.Ticket.SaleId != saleId || each.Ticket.BuyerId != each.Buyer || !places.TryGetValue(each.Buyer, out var place) ? TicketPlace.Unknown
            : place.Is(each.Ticket) && !place.HasLeft ? TicketPlace.Current
            : TicketPlace.Replaced)];
    }

    /// <summary>
    /// These have their answer: they are no longer inside, and others may be let in for them. Idempotent; nobody loses a place by it. Only for a sale
    /// that was drawn.
    /// </summary>
    public Task FinishAsync(Sale sale, IEnumerable<Ticket> tickets, CancellationToken ct) =>
        FinishAsync(sale.SaleId, [.. tickets.Select(sale.RankOf).OfType<long>()], ct);

    /// <inheritdoc cref="FinishAsync(Sale, IEnumerable{Ticket}, CancellationToken)"/>
    /// <param name="ranks">As <see cref="Entry.Rank"/> says.</param>
    public async Task FinishAsync(Guid saleId, IReadOnlyCollection<long> ranks, CancellationToken ct)
    {
        if (ranks.Count == 0)
            return;
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { Done(saleId, ranks, gap: false) } };
        await batch.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Gives up a place, if there is one. Before the draw nothing is lost by it; afterwards coming back is at the back.</summary>
    /// <param name="admission">Of the sale.</param>
    public async Task LeaveAsync(Admission admission, Guid buyerId, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var leave = new NpgsqlCommand("""
            UPDATE places SET left_at = $3 WHERE sale_id = $1 AND buyer_id = $2 AND left_at IS NULL
            RETURNING late, number
            """, connection, tx)
        { Parameters = { new() { Value = admission.SaleId }, new() { Value = buyerId }, new() { Value = time.GetUtcNow() } } };
        Ticket? left = null;
        await using (var row = await leave.ExecuteReaderAsync(ct))
        {
            if (await row.ReadAsync(ct))
                left = new Ticket(admission.SaleId, buyerId, row.GetBoolean(0), row.GetInt64(1), admission.EndsAt);
        }

        if (left is not null && admission.RankOf(left) is { } rank)
        {
            await using var done = new NpgsqlBatch(connection, tx) { BatchCommands = { Done(admission.SaleId, [rank], gap: rank >= admission.HeadAt(time.GetUtcNow())) } };
            await done.ExecuteNonQueryAsync(ct);
        }

        await tx.CommitAsync(ct);
    }

    /// <summary>In order of rank, so that two who tell of the same ones do not wait for each other in a circle.</summary>
    internal static NpgsqlBatchCommand Done(Guid saleId, IReadOnlyCollection<long> ranks, bool gap) => new("""
        INSERT INTO ranks_done (sale_id, rank, gap) SELECT $1, rank, $3 FROM unnest($2) AS r (rank) ON CONFLICT DO NOTHING
        """)
    {
        Parameters =
        {
            new() { Value = saleId },
            new() { Value = ranks.Distinct().Order().ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint },
            new() { Value = gap },
        },
    };
}

public enum TicketPlace
{
    Current,

    /// <summary>Its buyer left, or has another place by now.</summary>
    Replaced,

    /// <summary>There is no such place.</summary>
    Unknown,
}

/// <param name="Late">Taken after the draw.</param>
public readonly record struct Place(bool Late, long Number, bool HasLeft)
{
    public bool Is(Ticket ticket) => ticket.Late == Late && ticket.Number == Number;
}

public static class Ranks
{
    /// <summary>Null before the draw.</summary>
    public static long? RankOf(this Sale sale, Ticket ticket) => sale is { Seed: { } seed, Early: { } early } ? Of(seed, early, ticket.Late, ticket.Number) : null;

    /// <summary>Null for an early number that the draw did not know.</summary>
    public static long? Of(byte[] seed, long early, bool late, long number) =>
        late ? early + number : number < early ? StartDraw.RankOf(seed, early, number) : null;
}
