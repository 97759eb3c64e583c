using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.Catalog.Imports;

/// <summary>How a request's part of a file ended.</summary>
public enum RunEnd
{
    /// <summary>All whole rows of the body are stored.</summary>
    Stored,

    /// <summary>The import is not where this request believes it to be, most often since a later one goes on with it: what this one had not stored yet is the other's.</summary>
    TakenOver,
}

/// <summary>
/// Stores a body's rows as they come, some hundred in a transaction that also moves the import on. A body that breaks off, a process that
/// dies: what is stored and what the import says never differ.
/// </summary>
public sealed partial class ImportRun(NpgsqlDataSource database, ImportStore imports, ImportedListings listings, OutboxSignal outbox, ILogger<ImportRun> log)
{
    /// <summary>Many enough to share a commit, few enough that nobody waits long for a row of theirs.</summary>
    public const int RowsPerBatch = 200;

    /// <summary>A file of which that many rows are broken is not what it was meant to be.</summary>
    public const long MostFailed = 10_000;

    /// <summary>Of long rows fewer come together: so many bytes of the file.</summary>
    private const long BytesPerBatch = 1024 * 1024;

    /// <summary>No listing has that many variants: a file that pretends so is parted all the same, or it would fill the memory.</summary>
    private const int MostWithoutEnd = 4;
    private const int Tries = 5;
    private static readonly TimeSpan LongestStore = TimeSpan.FromSeconds(30);

    /// <param name="last">The body's end is the file's end.</param>
    public async Task<(RunEnd End, Import Import)> RunAsync(
        Import import, SellerId seller, string sellerName, CsvRows rows, ImportColumns columns, bool last, CancellationToken ct)
    {
        var batch = new List<CsvRow>(RowsPerBatch);
        var (stored, read, group) = (rows.Place, rows.Place, rows.Place);   // behind what is stored, behind the batch, before the last listing in it
        var groupBegins = 0;
        try
        {
            while (await rows.NextAsync(last, ct) is { } row)
            {
                // A listing and its variants are stored together, so that it is announced once and never without them.
                var begins = !columns.IsVariant(row);
                var filled = Math.Max(batch.Count / (double)RowsPerBatch, (read.Bytes - stored.Bytes) / (double)BytesPerBatch);
                if (filled >= (begins ? 1 : MostWithoutEnd) && !await FlushAsync(batch.Count, read, Import.Open))
                    return (RunEnd.TakenOver, import);
                if (import.Status != Import.Open)
                    return (RunEnd.Stored, import);

                if (begins)
                    (groupBegins, group) = (batch.Count, read);
                if (!row.IsEmpty)
                    batch.Add(row);
                read = rows.Place;
            }
        }
        catch (Exception broken) when (broken is IOException or OperationCanceledException)     // a request that is bad halfway (too long, too slow) is an IOException too
        {
            // The sender is gone or cut off. What came whole is stored, or a connection that breaks often would never get through a file.
            // But not a listing whose variants may still come: without them it may not even have a price.
            var (count, place) = columns.HasVariants && group.Bytes >= stored.Bytes ? (groupBegins, group) : (batch.Count, read);
            LogBroken(import.ImportId, place.Bytes, broken.Message);
            if (!await FlushAsync(count, place, Import.Open))
                return (RunEnd.TakenOver, import);
            throw;
        }

        read = rows.Place;                                      // also over the rest of a row that is too long
        var status = last ? Import.Completed : Import.Open;
        // Of a file that goes on, the last listing's variants may come with the next part, which therefore begins with it.
        var whole = !last && columns.HasVariants && groupBegins > 0;
        var done = whole ? await FlushAsync(groupBegins, group, status) : await FlushAsync(batch.Count, read, status);
        return (done ? RunEnd.Stored : RunEnd.TakenOver, import);

        async Task<bool> FlushAsync(int count, CsvPlace place, string statusThen)
        {
            // Not the request's token: a transaction that is under way when the sender leaves is worth finishing.
            using var limit = new CancellationTokenSource(LongestStore);
            var moved = await InsistAsync(() => StoreAsync(import, seller, sellerName, columns, rows.Delimiter, [.. batch.Take(count)], place, statusThen, limit.Token));
            batch.RemoveRange(0, count);
            (groupBegins, stored, import) = (0, place, moved ?? import);
            return moved is not null;
        }
    }

    // Another request of the same seller had its hands on the same listings or SKUs. One that is overtaken again and again is told to come back.
    private async Task<Import?> InsistAsync(Func<Task<Import?>> store)
    {
        for (var tried = 1; ; tried++)
        {
            try
            {
                return await store();
            }
            catch (Exception overtaken) when (overtaken is OvertakenException or PostgresException { SqlState: PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.UniqueViolation })
            {
                if (tried == Tries)
                    throw new TimeoutException("Other requests of this seller took the same listings or SKUs each time.", overtaken);
                LogOvertaken(overtaken.Message);
            }
            catch (OperationCanceledException slow)             // by no sender: it must not be taken for one who left
            {
                throw new TimeoutException("The database did not take an import's rows in time.", slow);
            }
        }
    }

    /// <summary>Null when another request has taken the import over.</summary>
    private async Task<Import?> StoreAsync(
        Import import, SellerId seller, string sellerName, ImportColumns columns, byte delimiter, IReadOnlyList<CsvRow> rows, CsvPlace place, string status, CancellationToken ct)
    {
        var read = new List<ImportedRow>(rows.Count);
        var errors = new List<RowError>();
        var failed = 0;
        foreach (var row in rows)
        {
            var (fields, wrong) = columns.Read(row);
            errors.AddRange(wrong);
            if (fields is not null)
                read.Add(fields);
            else
                failed++;
        }

        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        if (!await ImportStore.IsOursAsync(tx, import, ct))
            return null;

        var stored = read.Count > 0 ? await listings.StoreAsync(tx, seller, await NameAsync(tx, seller, ct) ?? sellerName, read, ct) : Stored.Nothing;
        errors.AddRange(stored.Errors);
        stored = stored with { Failed = stored.Failed + failed, Errors = [.. errors.OrderBy(error => error.Row)] };
        string? reason = null;
        if (import.Failed + stored.Failed > MostFailed)
            (status, reason) = (Import.GivenUp, $"More than {MostFailed} rows are broken.");

        var moved = await imports.AdvanceAsync(tx, import, columns, delimiter, place, stored, status, reason, ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        if (status != Import.Open)
            LogEnded(import.ImportId, seller.Value, status, moved.Created, moved.Updated, moved.Unchanged, moved.Failed);
        return moved;
    }

    // A shop may get another name while a long file comes in. Shared with other imports; the rename waits, and then finds these rows too.
    private static async Task<string?> NameAsync(NpgsqlTransaction tx, SellerId seller, CancellationToken ct)
    {
        await using var select = new NpgsqlCommand("SELECT name FROM sellers WHERE seller_id = $1 FOR SHARE", tx.Connection, tx) { Parameters = { new() { Value = seller.Value } } };
        return await select.ExecuteScalarAsync(ct) as string;
    }

    [LoggerMessage(LogLevel.Information, "Import {ImportId} of seller {SellerId} is {Status}: {Created} created, {Updated} updated, {Unchanged} unchanged, {Failed} failed")]
    private partial void LogEnded(Guid importId, Guid sellerId, string status, long created, long updated, long unchanged, long failed);

    [LoggerMessage(LogLevel.Information, "Rows of an import are stored once more: {Reason}")]
    private partial void LogOvertaken(string reason);

    [LoggerMessage(LogLevel.Information, "The body of import {ImportId} broke off; it goes on at byte {Offset} ({Reason})")]
    private partial void LogBroken(Guid importId, long offset, string reason);
}
