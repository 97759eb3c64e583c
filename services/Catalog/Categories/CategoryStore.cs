using System.Collections.Frozen;
using Npgsql;

namespace Marketplace.Catalog.Categories;

public sealed record Category([property: System.Text.Json.Serialization.JsonPropertyName("category")] string Code, string Name);

public sealed class CategoryStore(NpgsqlDataSource database)
{
    // Categories come and go with migrations, that is, with a new version of this service: read once, and again when one is unknown.
    private volatile FrozenSet<string> known = [];

    public async Task<IReadOnlyList<Category>> AllAsync(CancellationToken ct)
    {
        await using var select = database.CreateCommand("SELECT category, name FROM categories ORDER BY place");
        await using var reader = await select.ExecuteReaderAsync(ct);
        var categories = new List<Category>();
        while (await reader.ReadAsync(ct))
            categories.Add(new Category(reader.GetString(0), reader.GetString(1)));
        known = categories.Select(category => category.Code).ToFrozenSet(StringComparer.Ordinal);
        return categories;
    }

    public async ValueTask<bool> ExistsAsync(string category, CancellationToken ct)
    {
        if (known.Contains(category))
            return true;
        await AllAsync(ct);
        return known.Contains(category);
    }
}
