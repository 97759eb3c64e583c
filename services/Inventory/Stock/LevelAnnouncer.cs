using System.ComponentModel.DataAnnotations;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.Inventory.Stock;

/// <summary>
/// Tells the world what can be sold, at most once per product and window. Writers only leave a note of which products they touched:
/// the levels are read when the note is, so a hundred sales of a product in a window are one line of one event.
/// </summary>
public sealed partial class LevelAnnouncer(
    NpgsqlDataSource database, TimeProvider time, IOptions<StockOptions> options, ILogger<LevelAnnouncer> log) : BackgroundService
{
    private const int LevelsPerEvent = 500;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.Value.AnnounceEvery, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                while (await AnnounceAsync(stoppingToken)) { }   // until a window's worth of notes is worked off
            }
            catch (Exception failure) when (failure is not OperationCanceledException)
            {
                LogFailed(failure);   // the notes are still there
            }
        }
    }

    /// <summary>True when there may be more.</summary>
    public async Task<bool> AnnounceAsync(CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);

        // One statement, one snapshot: whoever's note is seen here, their change of stock is too. The sum of row versions only grows,
        // and of two snapshots the later has the larger one wherever a level differs.
        await using var take = new NpgsqlCommand("""
            WITH taken AS (
                DELETE FROM touches WHERE touch_id IN (SELECT touch_id FROM touches ORDER BY touch_id LIMIT $1 FOR UPDATE SKIP LOCKED)
                RETURNING products
            )
            SELECT s.product_id, sum(s.stock - s.reserved)::integer, sum(s.version)::bigint, (SELECT count(*) FROM taken)
            FROM stock_levels s
            WHERE s.product_id IN (SELECT unnest(products) FROM taken)
            GROUP BY s.product_id
            """, connection, tx) { Parameters = { new() { Value = options.Value.NotesAtOnce } } };
        var levels = new List<StockLevel>();
        var notes = 0L;
        await using (var reader = await take.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct))
            {
                levels.Add(new StockLevel(reader.GetGuid(0), reader.GetInt32(1), reader.GetInt64(2)));
                notes = reader.GetInt64(3);
            }
        }

        if (levels.Count > 0)
        {
            await Outbox.AddAsync(tx, [.. levels.Chunk(LevelsPerEvent).Select(chunk => new InventoryUpdated(chunk)).Select(told => ((DomainEvent)told, told.EventId))], ct);
            await tx.CommitAsync(ct);
        }

        return notes >= options.Value.NotesAtOnce;
    }

    [LoggerMessage(LogLevel.Error, "Announcing stock levels failed")]
    private partial void LogFailed(Exception failure);
}

public sealed class StockOptions
{
    /// <summary>The window within which a product's changes become one.</summary>
    public TimeSpan AnnounceEvery { get; init; } = TimeSpan.FromMilliseconds(200);

    [Range(1, 10_000)]
    public int NotesAtOnce { get; init; } = 500;
}
