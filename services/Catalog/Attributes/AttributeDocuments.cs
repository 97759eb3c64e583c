using System.Text.Json;
using Dapr;
using Dapr.Client;
using Npgsql;

namespace Marketplace.Catalog.Attributes;

/// <summary>The attributes of one listing as of one change; written once, never changed.</summary>
public sealed record AttributeDocument(Guid ProductId, IReadOnlyDictionary<string, JsonElement> Attributes);

/// <summary>
/// Attributes in the state store. A change writes a new document under a fresh key before the transaction that makes the listing's row
/// point at it: whoever read the row finds the document of that row, whole, whatever happens meanwhile. The ledger knows every document
/// before it exists, so that one left over by a crash is found; see <see cref="DocumentSweep"/>.
/// </summary>
public sealed partial class AttributeDocuments(NpgsqlDataSource database, DaprClient dapr, TimeProvider time, ILogger<AttributeDocuments> log)
{
    public const string StoreName = "documents";
    private const int AtOnce = 100;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);
    private long awayUntil;

    public async Task<Guid> WriteAsync(Guid productId, IReadOnlyDictionary<string, JsonElement> attributes, CancellationToken ct) =>
        (await WriteAsync([new AttributeDocument(productId, attributes)], ct))[0];

    /// <summary>Stores them under fresh ids, in their order. Nothing points there yet.</summary>
    /// <exception cref="HttpRequestException">The document store is away: worth trying again.</exception>
    public async Task<IReadOnlyList<Guid>> WriteAsync(IReadOnlyList<AttributeDocument> documents, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        var ids = documents.Select(_ => Guid.CreateVersion7(now)).ToArray();
        await using var note = database.CreateCommand("""
            INSERT INTO attribute_documents (document_id, product_id, free_since) SELECT document_id, product_id, $3 FROM unnest($1, $2) AS row (document_id, product_id)
            """);
        note.Parameters.Add(new() { Value = ids });
        note.Parameters.Add(new() { Value = documents.Select(document => document.ProductId).ToArray() });
        note.Parameters.Add(new() { Value = now });
        await note.ExecuteNonQueryAsync(ct);

        try
        {
            foreach (var some in documents.Zip(ids).Chunk(AtOnce))
                await SaveAsync([.. some.Select(one => new SaveStateItem<AttributeDocument>(Key(one.Second), one.First, etag: ""))], ct);
        }
        catch (DaprException refused)
        {
            throw new HttpRequestException("The document store did not take the attributes.", refused);
        }

        return ids;
    }

    /// <summary>
    /// A refusal that comes quickly, as of a connection that died with the store's last restart, is not taken for an answer: the keys are
    /// nobody else's, and written twice they are what they are. No policy of the sidecar may say so for every write.
    /// </summary>
    private async Task SaveAsync(SaveStateItem<AttributeDocument>[] some, CancellationToken ct)
    {
        var began = time.GetTimestamp();
        try
        {
            await dapr.SaveBulkStateAsync(StoreName, some, ct);
        }
        catch (DaprException) when (time.GetElapsedTime(began) < Patience && !ct.IsCancellationRequested)
        {
            await dapr.SaveBulkStateAsync(StoreName, some, ct);
        }
    }

    /// <summary>
    /// In the transaction that points a listing at <paramref name="taken"/>: from now on it is in use, and <paramref name="left"/> is free,
    /// though readers who saw the row before may still come for it.
    /// </summary>
    public async Task MoveAsync(NpgsqlTransaction tx, IReadOnlyCollection<Guid> taken, IReadOnlyCollection<Guid> left, CancellationToken ct)
    {
        if (taken.Count > 0)
        {
            await using var take = new NpgsqlCommand("UPDATE attribute_documents SET free_since = NULL WHERE document_id = ANY($1)", tx.Connection, tx);
            take.Parameters.Add(new() { Value = taken.ToArray() });
            if (await take.ExecuteNonQueryAsync(ct) != taken.Count)
                throw new TimeoutException("A document was swept away before its listing came to point at it.");
        }

        if (left.Count > 0)
        {
            await using var leave = new NpgsqlCommand("UPDATE attribute_documents SET free_since = $2 WHERE document_id = ANY($1)", tx.Connection, tx);
            leave.Parameters.Add(new() { Value = left.ToArray() });
            leave.Parameters.Add(new() { Value = time.GetUtcNow() });
            await leave.ExecuteNonQueryAsync(ct);
        }
    }

    /// <summary>Those that are there, by id. Null when the store does not answer; then it is left alone for a second, so that reads stay quick.</summary>
    public async Task<IReadOnlyDictionary<Guid, IReadOnlyDictionary<string, JsonElement>>?> ReadAsync(IReadOnlyList<Guid> documents, CancellationToken ct)
    {
        var found = new Dictionary<Guid, IReadOnlyDictionary<string, JsonElement>>();
        if (documents.Count == 0)
            return found;
        if (time.GetTimestamp() < Volatile.Read(ref awayUntil))
            return null;

        using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
        patience.CancelAfter(Patience);
        try
        {
            if (documents.Count == 1)
            {
                if (await dapr.GetStateAsync<AttributeDocument?>(StoreName, Key(documents[0]), cancellationToken: patience.Token) is { } document)
                    found[documents[0]] = document.Attributes;
                return found;
            }

            foreach (var some in documents.Chunk(AtOnce))
            {
                var ids = some.ToDictionary(Key);
                foreach (var item in await dapr.GetBulkStateAsync<AttributeDocument?>(StoreName, [.. ids.Keys], parallelism: null, cancellationToken: patience.Token))
                {
                    if (item.Value is { } document)
                        found[ids[item.Key]] = document.Attributes;
                }
            }

            return found;
        }
        catch (Exception away) when (away is DaprException or OperationCanceledException && !ct.IsCancellationRequested)
        {
            Volatile.Write(ref awayUntil, time.GetTimestamp() + (long)(Pause.TotalSeconds * time.TimestampFrequency));
            LogAway(away.GetType().Name, away.Message);
            return null;
        }
    }

    internal async Task RemoveAsync(IReadOnlyList<Guid> documents, CancellationToken ct)
    {
        foreach (var some in documents.Chunk(AtOnce))
            await dapr.DeleteBulkStateAsync(StoreName, [.. some.Select(document => new BulkDeleteStateItem(Key(document), etag: ""))], ct);
    }

    private static string Key(Guid document) => $"attributes-{document:N}";

    [LoggerMessage(LogLevel.Warning, "Listings are shown without their attributes, the document store does not answer ({Kind}: {Reason})")]
    private partial void LogAway(string kind, string reason);
}
