using System.Text.Json;

namespace Marketplace.Local.Shop;

/// <summary>What the catalogue files its listings under.</summary>
public static class Categories
{
    public static async Task<IReadOnlyList<string>> ReadAsync(ShopClient shop, CancellationToken ct)
    {
        using var answer = await shop.GetAsync("api/v1/categories", null, ct);
        var list = answer.RootElement.ValueKind == JsonValueKind.Array ? answer.RootElement
            : answer.RootElement.TryGetProperty("items", out var items) ? items : answer.RootElement.GetProperty("categories");
        return [.. list.EnumerateArray().Select(item => item.ValueKind == JsonValueKind.String ? item.GetString()! : item.GetProperty("category").GetString()!)];
    }
}
