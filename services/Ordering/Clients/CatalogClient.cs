using Marketplace.Contracts;

namespace Marketplace.Ordering.Clients;

public sealed class CatalogClient(HttpClient http)
{
    /// <summary>What the products cost now, in one call. Unknown and deleted ones are absent.</summary>
    public async Task<IReadOnlyDictionary<Guid, ListedProduct>> PricesAsync(IReadOnlyCollection<Guid> productIds, CancellationToken ct)
    {
        using var response = await http.PostAsJsonAsync(new Uri("internal/prices", UriKind.Relative), new { productIds }, ct);
        response.EnsureSuccessStatusCode();
        var reply = await response.Content.ReadFromJsonAsync<Prices>(ct) ?? throw new HttpRequestException("The catalogue answered nothing.");
        return reply.Products.ToDictionary(product => product.ProductId);
    }

    private sealed record Prices(IReadOnlyList<ListedProduct> Products);
}

public sealed record ListedProduct(Guid ProductId, Guid SellerId, string Title, Money Price);
