using Npgsql;

namespace Marketplace.Catalog.Categories;

public sealed class CategoryStore(NpgsqlDataSource database, TimeProvider time)
{
    private static readonly TimeSpan BetweenReads = TimeSpan.FromSeconds(1);

    // Categories come and go with migrations, that is, with a new version of this service: read once, and again when one is unknown.
    private volatile CategoryTree tree = CategoryTree.Empty;
    private long readAt;

    public async ValueTask<CategoryTree> TreeAsync(CancellationToken ct) => tree.All.Count > 0 ? tree : await ReadAsync(ct);

    /// <summary>The tree in which this category is, if it is in any; who asks for nonsense all day makes one read a second.</summary>
    public async ValueTask<CategoryTree> TreeWithAsync(string category, CancellationToken ct)
    {
        var known = await TreeAsync(ct);
        return known.Find(category) is not null || time.GetElapsedTime(Volatile.Read(ref readAt)) < BetweenReads ? known : await ReadAsync(ct);
    }

    private async Task<CategoryTree> ReadAsync(CancellationToken ct)
    {
        await using var batch = database.CreateBatch();
        batch.BatchCommands.Add(new NpgsqlBatchCommand("SELECT category, name, parent FROM categories ORDER BY place"));
        batch.BatchCommands.Add(new NpgsqlBatchCommand("""
            SELECT category, name, label, type, unit, least, most, choices, required, facet FROM category_attributes ORDER BY category, place, name
            """));
        await using var reader = await batch.ExecuteReaderAsync(ct);
        var categories = new List<(string, string, string?)>();
        while (await reader.ReadAsync(ct))
            categories.Add((reader.GetString(0), reader.GetString(1), reader.IsDBNull(2) ? null : reader.GetString(2)));

        await reader.NextResultAsync(ct);
        var definitions = new List<(string Category, AttributeDefinition Definition)>();
        while (await reader.ReadAsync(ct))
        {
            definitions.Add((reader.GetString(0), new AttributeDefinition(
                reader.GetString(1), reader.GetString(2), reader.GetString(3),
                reader.IsDBNull(4) ? null : reader.GetString(4),
                reader.IsDBNull(5) ? null : reader.GetDecimal(5),
                reader.IsDBNull(6) ? null : reader.GetDecimal(6),
                reader.IsDBNull(7) ? null : reader.GetFieldValue<string[]>(7),
                reader.GetBoolean(8), reader.GetBoolean(9))));
        }

        Volatile.Write(ref readAt, time.GetTimestamp());
        return tree = CategoryTree.Of(categories, definitions.ToLookup(each => each.Category, each => each.Definition, StringComparer.Ordinal));
    }
}
