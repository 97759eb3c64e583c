using System.Net;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Gateway.Tests.Routes;

public sealed class WhenAServiceFails(GatewayFixture fixture) : IClassFixture<GatewayFixture>
{
    private const string Id = "0198a000-0000-7000-8000-000000000001";
    private const string Direct = """{"errorCode":"ERR_DIRECT_INVOKE","message":"failed to invoke, id: cart, err: dial tcp 10.0.0.4:50002"}""";
    private readonly GatewayUnderTest gateway = fixture.Gateway;

    [Theory]
    [InlineData("/api/v1/cart", 500, 503, "unavailable")]
    [InlineData("/api/v1/cart", 403, 503, "unavailable")]
    [InlineData("/api/v1/cart", 401, 503, "unavailable")]
    [InlineData("/api/v1/cart", 404, 404, "not-found")]
    [InlineData("/api/v1/products/" + Id, 500, 503, "unavailable")]
    [InlineData("/api/v1/products/" + Id, 404, 404, "not-found")]
    [InlineData("/api/v1/products/" + Id, 403, 503, "unavailable")]
    public async Task What_the_sidecar_says_about_it_does_not_leak(string path, int fromSidecar, int status, string slug)
    {
        gateway.Sidecar.Answer = Answering.Text(fromSidecar, "application/json", Direct);
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).FetchAsync(path);
        await response.ProblemAsync((HttpStatusCode)status, slug);
        var text = await response.TextAsync();
        Assert.DoesNotContain("ERR_", text, StringComparison.Ordinal);
        Assert.DoesNotContain("10.0.0.4", text, StringComparison.Ordinal);
        Assert.Equal(status == 503 ? "1" : null, response.Header("Retry-After"));
    }

    [Theory]
    [InlineData("/api/v1/cart")]
    [InlineData("/api/v1/products/" + Id)]
    public async Task An_unexpected_fault_of_the_service_is_a_bad_gateway(string path)
    {
        gateway.Sidecar.Answer = Answering.Text(500, "application/problem+json", """{"type":"/problems/internal-error","title":"Oh","status":500}""");
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).FetchAsync(path);
        await response.ProblemAsync(HttpStatusCode.BadGateway, "bad-gateway");
    }

    [Theory]
    [InlineData("/api/v1/cart", 409)]
    [InlineData("/api/v1/cart", 422)]
    [InlineData("/api/v1/cart", 503)]
    [InlineData("/api/v1/products", 422)]
    public async Task A_refusal_arrives_as_the_service_wrote_it(string path, int status)
    {
        var document = $$"""{"type":"/problems/total-changed","title":"Look again","status":{{status}},"expected":1}""";
        gateway.Sidecar.Answer = Answering.Text(status, "application/problem+json", document);
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).FetchAsync(path);
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal(document, await response.TextAsync());
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
    }

    [Theory]
    [InlineData("/api/v1/cart")]
    [InlineData("/api/v1/products")]
    public async Task Without_a_sidecar_nothing_is_available_and_the_door_says_so(string path)
    {
        await using var alone = await GatewayUnderTest.StartAsync(new Dictionary<string, string?> { ["DAPR_HTTP_ENDPOINT"] = $"http://127.0.0.1:{Ports.Free()}" });
        using var response = await alone.As(TestTokens.Buyer(Guid.NewGuid())).FetchAsync(path);
        await response.ProblemAsync(HttpStatusCode.ServiceUnavailable, "unavailable");
        Assert.Equal("1", response.Header("Retry-After"));
    }

    [Theory]
    [InlineData("/api/v1/cart")]
    [InlineData("/api/v1/products")]
    public async Task A_service_that_stays_silent_is_given_up(string path)
    {
        await using var impatient = await GatewayUnderTest.StartAsync(new Dictionary<string, string?>
        {
            ["Forwarding:Silence"] = "00:00:00.3",
            ["Cache:Timeout"] = "00:00:00.3",
        });
        var release = new TaskCompletionSource();
        impatient.Sidecar.Answer = _ => release.Task;
        using var response = await impatient.As(TestTokens.Buyer(Guid.NewGuid())).FetchAsync(path);
        await response.ProblemAsync(HttpStatusCode.GatewayTimeout, "gateway-timeout");
        release.SetResult();
    }
}
