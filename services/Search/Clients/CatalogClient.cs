using Marketplace.Contracts;

namespace Marketplace.Search.Clients;

public sealed class CatalogClient(HttpClient http)
{
    public sealed record Product(
        Guid ProductId, long Revision, Guid SellerId, string SellerName, string Title, string Description, string Brand, string Category, Money Price, string? ImageUrl, DateTimeOffset ListedAt,
        IReadOnlyList<string>? CategoryPath = null, IReadOnlyList<ListingAttribute>? Attributes = null);

    public sealed record Page(IReadOnlyList<Product> Items, string? Next);

    public async Task<Page> PageAsync(string? cursor, CancellationToken ct) =>
        await http.GetFromJsonAsync<Page>(new Uri($"api/v1/products?limit=100&cursor={cursor}", UriKind.Relative), ct)
        ?? throw new InvalidOperationException("The catalogue answered nothing where a page was expected.");
}
