using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;

namespace Marketplace.Journeys;

/// <summary>Somebody with a token, or nobody in particular; every call goes through the gateway.</summary>
public sealed class Person(HttpClient gateway, JsonElement? session)
{
    private static readonly TimeSpan Early = TimeSpan.FromMinutes(1);
    private readonly SemaphoreSlim refreshing = new(1);
    private string? refreshToken = Text(session, "refreshToken");
    private DateTimeOffset expiresAt = Text(session, "expiresAt") is { } at ? DateTimeOffset.Parse(at, CultureInfo.InvariantCulture) : DateTimeOffset.MaxValue;

    /// <summary>What identity answered when this person came in.</summary>
    public JsonElement? Session => session;

    public string? Token { get; private set; } = session?.GetProperty("accessToken").GetString();

    public Guid Id { get; } = session?.GetProperty("accountId").GetGuid() ?? Guid.Empty;

    public string? Email { get; init; }

    public async Task<Reply> SendAsync(HttpMethod method, string path, object? body = null, string? idempotencyKey = null, params (string Name, string Value)[] headers)
    {
        await StaySignedInAsync();
        using var request = new HttpRequestMessage(method, gateway.BaseAddress!.GetLeftPart(UriPartial.Authority) + path);   // joined as text: "//internal" is a path here, not a host
        if (Token is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", Token);
        if (idempotencyKey is not null) request.Headers.Add("Idempotency-Key", idempotencyKey);
        foreach (var (name, value) in headers) request.Headers.TryAddWithoutValidation(name, value);
        if (body is HttpContent content) request.Content = content;
        else if (body is not null) request.Content = JsonContent.Create(body);
        using var response = await gateway.SendAsync(request);
        return new Reply(response, await response.Content.ReadAsStringAsync());
    }

    // Tokens live five minutes, the journeys together longer.
    private async Task StaySignedInAsync()
    {
        if (refreshToken is null || expiresAt - DateTimeOffset.UtcNow > Early) return;
        await refreshing.WaitAsync();
        try
        {
            if (expiresAt - DateTimeOffset.UtcNow > Early) return;
            using var response = await gateway.PostAsJsonAsync("/api/v1/sessions/refresh", new { refreshToken });
            var renewed = new Reply(response, await response.Content.ReadAsStringAsync()).Expect(HttpStatusCode.OK);
            (Token, refreshToken) = (renewed.String("accessToken"), renewed.String("refreshToken"));
            expiresAt = renewed.Json.GetProperty("expiresAt").GetDateTimeOffset();
        }
        finally
        {
            refreshing.Release();
        }
    }

    private static string? Text(JsonElement? session, string property) =>
        session is { } json && json.TryGetProperty(property, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    public Task<Reply> GetAsync(string path, params (string Name, string Value)[] headers) => SendAsync(HttpMethod.Get, path, null, null, headers);

    public Task<Reply> PostAsync(string path, object? body = null, string? idempotencyKey = null) => SendAsync(HttpMethod.Post, path, body, idempotencyKey);

    public Task<Reply> PutAsync(string path, object body, params (string Name, string Value)[] headers) => SendAsync(HttpMethod.Put, path, body, null, headers);

    public Task<Reply> DeleteAsync(string path, params (string Name, string Value)[] headers) => SendAsync(HttpMethod.Delete, path, null, null, headers);

    /// <summary>Puts exactly these lines in the cart and gives its total in pence.</summary>
    public async Task<long> FillCartAsync(params (Guid Product, int Quantity)[] lines)
    {
        var cart = (await PutAsync("/api/v1/cart", new { lines = lines.Select(line => new { productId = line.Product, quantity = line.Quantity }) })).Expect(HttpStatusCode.OK);
        return cart.Json.GetProperty("total").GetProperty("minor").GetInt64();
    }

    public Task<Reply> CheckoutAsync(long total, string paymentMethod = "pm_card_visa", string? key = null) =>
        PostAsync("/api/v1/checkout", Checkout(total, paymentMethod), key ?? Guid.NewGuid().ToString("N"));

    public object Checkout(long total, string? paymentMethod = "pm_card_visa") => new
    {
        expectedTotal = new { minor = total, currency = "GBP" },
        shipTo = new { name = "Ada Buyer", line1 = "1 Market Street", city = "London", postalCode = "N1 9GU", country = "GB" },
        contact = new { email = Email ?? $"{Id:N}@example.com", name = "Ada Buyer" },
        paymentMethod,
    };

    /// <summary>Fills the cart and checks out; gives the order id.</summary>
    public async Task<Guid> BuyAsync(string paymentMethod, params (Guid Product, int Quantity)[] lines)
    {
        var total = await FillCartAsync(lines);
        return (await CheckoutAsync(total, paymentMethod)).Expect(HttpStatusCode.Accepted).Id("orderId");
    }

    public Task<Reply> OrderAsync(Guid order) => GetAsync($"/api/v1/orders/{order}");
}
