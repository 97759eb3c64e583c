using System.Net;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Gateway.Tests.Documents;

public sealed class MergedOpenApiTests
{
    private const string OfCart = """
        {"openapi":"3.1.1","info":{"title":"Cart","version":"v1"},
         "paths":{"/api/v1/cart":{"get":{"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Page"}}}}}},"patch":{}},
                  "/api/v1/cart/lines/{lineId}":{"put":{"responses":{}}},
                  "/internal/carts/{buyerId}":{"get":{}}},
         "components":{"schemas":{"Page":{"type":"object","properties":{"next":{"$ref":"#/components/schemas/Next"}}},"Next":{"type":"string"}}}}
        """;

    private const string OfCatalog = """
        {"openapi":"3.1.1","info":{"title":"Catalog","version":"v1"},
         "paths":{"/api/v1/products/":{"get":{"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Page"}}}}}}}},
         "components":{"schemas":{"Page":{"type":"array"}}}}
        """;

    [Fact]
    public async Task One_document_out_of_many_with_what_is_listed_and_who_is_missing()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        gateway.Sidecar.Answer = http => http.Request.Path.Value switch
        {
            "/v1.0/invoke/cart/method/openapi/v1.json" => Answering.Text(200, "application/json", OfCart)(http),
            "/v1.0/invoke/catalog/method/openapi/v1.json" => Answering.Text(200, "application/json", OfCatalog)(http),
            "/v1.0/invoke/search/method/openapi/v1.json" => Answering.Text(200, "application/json", "no json")(http),
            _ => Answering.Text(500, "application/json", """{"errorCode":"ERR_DIRECT_INVOKE"}""")(http),
        };

        using var response = await gateway.As(null).FetchAsync("/openapi/v1.json");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var document = JsonNode.Parse(await response.TextAsync())!;
        Assert.Equal(["/api/v1/products", "/api/v1/cart", "/api/v1/cart/lines/{lineId}", "/api/v1/flash-sales/{saleId}/queue", "/api/v1/flash-sales/{saleId}/queue/events"], document["paths"]!.AsObject().Select(path => path.Key));
        Assert.Null(document["paths"]!["/api/v1/cart"]!["patch"]);
        Assert.Equal("cart", document["paths"]!["/api/v1/cart"]!["get"]!["tags"]![0]!.GetValue<string>());
        Assert.NotNull(document["paths"]!["/api/v1/cart"]!["get"]!["security"]);
        Assert.Null(document["paths"]!["/api/v1/products"]!["get"]!["security"]);

        // Two services call a thing "Page": each keeps its own.
        Assert.Equal(["catalog.Page", "cart.Page", "cart.Next", "gateway.Standing"], document["components"]!["schemas"]!.AsObject().Select(schema => schema.Key));
        Assert.Equal("#/components/schemas/cart.Next", document["components"]!["schemas"]!["cart.Page"]!["properties"]!["next"]!["$ref"]!.GetValue<string>());
        Assert.Equal(
            "#/components/schemas/cart.Page",
            document["paths"]!["/api/v1/cart"]!["get"]!["responses"]!["200"]!["content"]!["application/json"]!["schema"]!["$ref"]!.GetValue<string>());

        Assert.Equal(
            ["identity", "media", "search", "inventory", "ordering", "payments", "fulfilment", "notifications", "flashsales"],
            document["info"]!["x-missing-services"]!.AsArray().Select(app => app!.GetValue<string>()));
        Assert.DoesNotContain("ERR_", await response.TextAsync(), StringComparison.Ordinal);

        // A second reader does not cost ten more calls.
        var calls = gateway.Sidecar.Arrived.Count;
        using var again = await gateway.As(null).FetchAsync("/openapi/v1.json");
        Assert.Equal(calls, gateway.Sidecar.Arrived.Count);
    }

    [Fact]
    public async Task The_page_that_shows_it_may_run_its_own_scripts_and_no_others()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var page = await gateway.As(null).FetchAsync("/scalar/");
        Assert.Equal(HttpStatusCode.OK, page.StatusCode);
        var html = await page.TextAsync();
        Assert.Contains("openapi/v1.json", html, StringComparison.Ordinal);
        Assert.DoesNotContain("src=\"http", html, StringComparison.Ordinal);
        Assert.Contains("script-src 'self' 'unsafe-inline'", page.Header("Content-Security-Policy"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Who_knows_only_the_address_is_led_to_it()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var root = await gateway.As(null).FetchAsync("/");
        Assert.Equal((HttpStatusCode.Found, "/scalar"), (root.StatusCode, root.Header("Location")));
        Assert.Empty(gateway.Sidecar.Arrived);
    }
}
