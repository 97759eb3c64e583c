namespace Marketplace.Inventory.Clients;

public sealed class CatalogClient(HttpClient http)
{
    /// <summary>The seller of each product that is listed; unknown and deleted ones are absent.</summary>
    public async Task<IReadOnlyDictionary<Guid, Guid>> SellersOfAsync(IReadOnlyCollection<Guid> productIds, CancellationToken ct)
    {
        using var response = await http.PostAsJsonAsync(new Uri("internal/prices", UriKind.Relative), new { productIds }, ct);
        response.EnsureSuccessStatusCode();
        var reply = await response.Content.ReadFromJsonAsync<Prices>(ct) ?? throw new HttpRequestException("The catalogue answered nothing.");
        return reply.Products.ToDictionary(product => product.ProductId, product => product.SellerId);
    }

    private sealed record Prices(IReadOnlyList<Listed> Products);

    private sealed record Listed(Guid ProductId, Guid SellerId);
}
