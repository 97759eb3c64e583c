using System.Net.Http.Json;
using Marketplace.Contracts;

namespace Marketplace.Cart.Clients;

/// <summary>What a product costs now. A product that is not listed is absent from the answer.</summary>
public sealed record ProductPrice(Guid ProductId, Guid SellerId, string Title, Money Price);

public sealed class CatalogClient(HttpClient http)
{
    public async Task<IReadOnlyDictionary<Guid, ProductPrice>> PricesAsync(IReadOnlyCollection<Guid> productIds, CancellationToken ct)
    {
        if (productIds.Count == 0)
            return new Dictionary<Guid, ProductPrice>();

        using var response = await http.PostAsJsonAsync("internal/prices", new { ProductIds = productIds }, ct);
        response.EnsureSuccessStatusCode();
        var answer = await response.Content.ReadFromJsonAsync<Prices>(ct);
        return answer!.Products.ToDictionary(product => product.ProductId);
    }

    private sealed record Prices(IReadOnlyList<ProductPrice> Products);
}
