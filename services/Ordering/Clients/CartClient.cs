namespace Marketplace.Ordering.Clients;

public sealed class CartClient(HttpClient http)
{
    public async Task<BuyersCart> OfAsync(Guid buyerId, CancellationToken ct) =>
        await http.GetFromJsonAsync<BuyersCart>(new Uri($"internal/carts/{buyerId}", UriKind.Relative), ct)
        ?? throw new HttpRequestException("The cart service answered nothing.");
}

public sealed record BuyersCart(Guid CartId, IReadOnlyList<CartLine> Lines);

public sealed record CartLine(Guid ProductId, int Quantity);
