using System.ComponentModel.DataAnnotations;
using Dapr;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.Catalog.Attributes;

public sealed class DocumentOptions
{
    /// <summary>How long a document that nothing points at is kept: longer than any request takes from writing it, or from reading the row that pointed at it.</summary>
    public TimeSpan KeepFree { get; init; } = TimeSpan.FromMinutes(10);

    public TimeSpan SweepEvery { get; init; } = TimeSpan.FromMinutes(1);

    [Range(1, 1000)]
    public int SweepAtOnce { get; init; } = 200;
}

/// <summary>
/// Removes the documents no listing points at: left by a crash between the two writes, by a lost race, or by a later change. The ledger's
/// rows stay locked while their documents are deleted: a second replica skips them, a writer who is about to point at one waits and then
/// finds it gone (<see cref="AttributeDocuments.MoveAsync"/>). A crash in here leaves the rows, and deleting again harms nothing.
/// </summary>
public sealed partial class DocumentSweep(
    NpgsqlDataSource database, AttributeDocuments documents, TimeProvider time, IOptions<DocumentOptions> options, ILogger<DocumentSweep> log) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.Value.SweepEvery, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    while (await SweepAsync(stoppingToken) == options.Value.SweepAtOnce)
                    {
                    }
                }
                catch (Exception away) when (away is NpgsqlException or DaprException)
                {
                    LogSkipped(away.Message);                   // the next round finds the same work
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            return;                                             // the host stops
        }
    }

    /// <summary>How many were removed.</summary>
    public async Task<int> SweepAsync(CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        var free = new List<Guid>();
        await using (var claim = new NpgsqlCommand(
            "SELECT document_id FROM attribute_documents WHERE free_since < $1 ORDER BY free_since LIMIT $2 FOR UPDATE SKIP LOCKED", connection, tx))
        {
            claim.Parameters.Add(new() { Value = time.GetUtcNow() - options.Value.KeepFree });
            claim.Parameters.Add(new() { Value = options.Value.SweepAtOnce });
            await using var reader = await claim.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct))
                free.Add(reader.GetGuid(0));
        }

        if (free.Count == 0)
            return 0;

        await documents.RemoveAsync(free, ct);
        await using var forget = new NpgsqlCommand("DELETE FROM attribute_documents WHERE document_id = ANY($1)", connection, tx) { Parameters = { new() { Value = free.ToArray() } } };
        await forget.ExecuteNonQueryAsync(ct);
        await tx.CommitAsync(ct);
        LogSwept(free.Count);
        return free.Count;
    }

    [LoggerMessage(LogLevel.Information, "{Count} attribute documents that no listing points at were removed")]
    private partial void LogSwept(int count);

    [LoggerMessage(LogLevel.Warning, "The sweep of attribute documents skipped a round: {Reason}")]
    private partial void LogSkipped(string reason);
}
