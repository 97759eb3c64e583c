using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Catalog.Tests;

public sealed record Product(
    Guid ProductId, long Revision, Guid SellerId, string SellerName, string Title, string Description, string Brand, string Category, Money Price, string? ImageUrl, DateTimeOffset ListedAt,
    string Status = "published");

public sealed record ProductPage(IReadOnlyList<Product> Items, string? Next);

/// <summary>A catalogue and two sellers, Bruno and Clara, who must never touch each other's listings.</summary>
public sealed class CatalogFixture : IAsyncLifetime
{
    public Guid Bruno { get; } = Guid.CreateVersion7();

    public Guid Clara { get; } = Guid.CreateVersion7();

    public ServiceUnderTest<Program> Catalog { get; private set; } = null!;

    public HttpClient AsBruno => Catalog.As(TestTokens.Seller(Guid.CreateVersion7(), Bruno, "Bruno"));

    public HttpClient AsClara => Catalog.As(TestTokens.Seller(Guid.CreateVersion7(), Clara, "Clara"));

    public HttpClient AsNobody => Catalog.As(null);

    public async ValueTask InitializeAsync()
    {
        Catalog = await ServiceUnderTest<Program>.StartAsync("catalog", calls: ["identity"]);
        Catalog.Neighbour("identity")
            .On(HttpMethod.Get, $"/api/v1/sellers/{Bruno}", new { sellerId = Bruno, displayName = "Bruno's Lamps" })
            .On(HttpMethod.Get, $"/api/v1/sellers/{Clara}", new { sellerId = Clara, displayName = "Clara's Chairs" });
    }

    public ValueTask DisposeAsync() => Catalog.DisposeAsync();

    public static object Lamp(string title = "Brass lamp", long minor = 1299, string category = "lighting", Guid? productId = null) => new
    {
        title,
        description = "It shines.",
        brand = "Lumo",
        category,
        price = new { minor, currency = "GBP" },
        imageUrl = "https://example.com/lamp.jpg",
        productId,
    };

    public static async Task<Product> ListAsync(HttpClient seller, string title = "Brass lamp", long minor = 1299, string category = "lighting")
    {
        var reply = await seller.PostAsJsonAsync("/api/v1/products", Lamp(title, minor, category));
        Assert.Equal(HttpStatusCode.Created, reply.StatusCode);
        return (await reply.Content.ReadFromJsonAsync<Product>())!;
    }

    public static async Task<JsonElement> AssertProblemAsync(HttpResponseMessage reply, HttpStatusCode status, string? type = null)
    {
        var text = await reply.Content.ReadAsStringAsync();
        Assert.True(reply.StatusCode == status, $"{reply.StatusCode} instead of {status}: {text}");
        Assert.Equal("application/problem+json", reply.Content.Headers.ContentType?.MediaType);
        var problem = JsonDocument.Parse(text).RootElement;
        if (type is not null)
            Assert.Equal(type, problem.GetProperty("type").GetString());
        return problem;
    }
}
