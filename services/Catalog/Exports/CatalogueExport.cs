using System.Text;
using System.Text.Json;
using Marketplace.Catalog.Attributes;
using Marketplace.Catalog.Categories;
using Marketplace.Catalog.Imports;
using Marketplace.Catalog.Listings;
using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Catalog.Exports;

/// <summary>
/// A seller's catalogue as the file that an import takes: importing it again changes nothing. Oldest listing first, each followed by its
/// variants. Read page by page while it is sent: a listing is in it once and as it was when its page was read, not as of one moment for all.
/// </summary>
public sealed class CatalogueExport(NpgsqlDataSource database, ListingStore listings, CategoryStore categories, AttributeDocuments documents, TimeProvider time)
{
    private const int AtOnce = 200;

    /// <summary>So often the document store may be silent, each time for a second or two, before a file of which much may be sent is cut off.</summary>
    private const int MostSilences = 4;
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    public async Task WriteAsync(SellerId seller, Stream body, CancellationToken ct)
    {
        var (attributes, options) = await ColumnsAsync(seller, ct);
        await using var writer = new StreamWriter(body, new UTF8Encoding(false), 32 * 1024, leaveOpen: true);
        // The mark tells a spreadsheet what the bytes are.
        await writer.WriteAsync(("\uFEFF" + CsvText.Line([
            .. ImportColumns.Plain, .. attributes.Select(name => ImportColumns.AttributePrefix + name), .. options.Select(name => ImportColumns.OptionPrefix + name)])).AsMemory(), ct);
        await writer.FlushAsync(ct);

        (DateTimeOffset, Guid)? after = null;
        do
        {
            (var page, after) = await PageAsync(seller, after, ct);
            foreach (var (listing, imageUrl, values) in page)
            {
                foreach (var line in Lines(listing, imageUrl, values, attributes, options))
                    await writer.WriteAsync(line.AsMemory(), ct);
            }

            await writer.FlushAsync(ct);
        }
        while (after is not null);
    }

    private static IEnumerable<string> Lines(
        Listing listing, string? imageUrl, IReadOnlyDictionary<string, JsonElement>? values, IReadOnlyList<string> attributes, IReadOnlyList<string> options)
    {
        yield return CsvText.Line([
            listing.Sku,
            listing.Sku is null ? listing.ProductId.ToString() : "",
            "",
            listing.Title,
            listing.Description,
            listing.Brand,
            listing.Category,
            listing.Variants.Count == 0 ? ImportColumns.PriceOf(listing.Price.Minor) : "",
            listing.Price.Currency,
            listing.Status,
            imageUrl,
            .. attributes.Select(name => values?.TryGetValue(name, out var value) == true ? Text(value) : ""),
            .. options.Select(_ => "")]);
        foreach (var variant in listing.Variants)
        {
            yield return CsvText.Line([
                variant.Sku,
                "",
                listing.Sku ?? listing.ProductId.ToString(),
                "",
                "",
                "",
                "",
                ImportColumns.PriceOf(variant.Price.Minor),
                variant.Price.Currency,
                "",
                "",
                .. attributes.Select(_ => ""),
                .. options.Select(name => variant.Options.FirstOrDefault(option => option.Name == name)?.Value)]);
        }
    }

    private static string Text(JsonElement value) => value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText();

    /// <summary>What the seller's categories define and what the variants differ in: known before the first line is written.</summary>
    private async Task<(IReadOnlyList<string> Attributes, IReadOnlyList<string> Options)> ColumnsAsync(SellerId seller, CancellationToken ct)
    {
        var tree = await categories.TreeAsync(ct);
        await using var batch = database.CreateBatch();
        batch.BatchCommands.Add(new("SELECT DISTINCT category FROM listings WHERE seller_id = $1 AND deleted_at IS NULL") { Parameters = { new() { Value = seller.Value } } });
        batch.BatchCommands.Add(new("SELECT DISTINCT unnest(option_names) FROM listings WHERE seller_id = $1 AND deleted_at IS NULL AND option_names <> '{}'") { Parameters = { new() { Value = seller.Value } } });
        await using var reader = await batch.ExecuteReaderAsync(ct);
        var attributes = new SortedSet<string>(StringComparer.Ordinal);
        while (await reader.ReadAsync(ct))
            attributes.UnionWith(tree.Find(reader.GetString(0))?.Attributes.Select(definition => definition.Name) ?? []);
        await reader.NextResultAsync(ct);
        var options = new SortedSet<string>(StringComparer.Ordinal);
        while (await reader.ReadAsync(ct))
            options.Add(reader.GetString(0));
        return ([.. attributes], [.. options]);
    }

    private async Task<(List<Exported> Page, (DateTimeOffset, Guid)? Next)> PageAsync(SellerId seller, (DateTimeOffset ListedAt, Guid ProductId)? after, CancellationToken ct)
    {
        // A document can only be gone when its row was changed since it was read, and then the page is read again.
        for (var (attempt, silences) = (1, 0); ;)
        {
            var (rows, next) = await RowsAsync(seller, after, ct);
            if (await documents.ReadAsync([.. rows.Select(row => row.Listing.DocumentId).OfType<Guid>()], ct) is not { } found)
            {
                if (++silences > MostSilences)
                    throw new HttpRequestException("The document store does not answer: an export without attributes would take them away when it is imported.");
                await Task.Delay(Pause, time, ct);
                continue;
            }

            if (rows.All(row => row.Listing.DocumentId is not { } document || found.ContainsKey(document)))
                return ([.. rows.Select(row => row with { Values = row.Listing.DocumentId is { } document ? found[document] : null })], next);
            if (attempt++ == 3)
                throw new InvalidOperationException("Attributes that a listing points at are not there.");
        }
    }

    private async Task<(List<Exported> Rows, (DateTimeOffset, Guid)? Next)> RowsAsync(SellerId seller, (DateTimeOffset ListedAt, Guid ProductId)? after, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(System.Data.IsolationLevel.RepeatableRead, ct);
        await using var select = new NpgsqlCommand("""
            SELECT product_id, listed_at, image_url FROM listings
            WHERE seller_id = $1 AND deleted_at IS NULL AND ($2::timestamptz IS NULL OR (listed_at, product_id) > ($2, $3))
            ORDER BY listed_at, product_id LIMIT $4
            """, connection, tx)
        {
            Parameters =
            {
                new() { Value = seller.Value },
                new() { Value = (object?)after?.ListedAt ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz },
                new() { Value = (object?)after?.ProductId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid },
                new() { Value = AtOnce },
            },
        };
        var rows = new List<(Guid ProductId, DateTimeOffset ListedAt, string? ImageUrl)>(AtOnce);
        await using (var reader = await select.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct))
                rows.Add((reader.GetGuid(0), reader.GetFieldValue<DateTimeOffset>(1), reader.IsDBNull(2) ? null : reader.GetString(2)));
        }

        var found = await listings.LoadAsync(tx, [.. rows.Select(row => row.ProductId)], ct);
        return ([.. rows.Select(row => new Exported(found[row.ProductId].Listing, row.ImageUrl, null))], rows.Count == AtOnce ? (rows[^1].ListedAt.ToUniversalTime(), rows[^1].ProductId) : null);
    }

    /// <param name="ImageUrl">As the seller gave it, and not the cover of the listing's pictures.</param>
    private sealed record Exported(Listing Listing, string? ImageUrl, IReadOnlyDictionary<string, JsonElement>? Values);
}
