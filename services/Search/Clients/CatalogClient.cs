using Marketplace.Contracts;

namespace Marketplace.Search.Clients;

public sealed class CatalogClient(HttpClient http)
{
    /// <param name="Items">Listings as their events would say them now.</param>
    public sealed record Page(IReadOnlyList<ProductUpserted> Items, Guid? Next);

    public async Task<Page> PageAsync(Guid? after, CancellationToken ct)
    {
        using var reply = await http.PostAsJsonAsync(new Uri("internal/listings/pages", UriKind.Relative), new { after }, ct);
        reply.EnsureSuccessStatusCode();
        return await reply.Content.ReadFromJsonAsync<Page>(ct) ?? throw new InvalidOperationException("The catalogue answered nothing where a page was expected.");
    }
}
