using System.Net;
using Xunit;

namespace Marketplace.Sidecar.Tests.Invocation;

public sealed class WhenTokensAreSet
{
    [Fact]
    public async Task Only_health_is_open_without_the_api_token()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync("", new AppUnderTest("shop", ApiToken: "key"));
        using var http = sidecars.Http();

        using (var closed = await http.GetAsync("/v1.0/metadata"))
        {
            Assert.Equal(HttpStatusCode.Unauthorized, closed.StatusCode);
            Assert.Equal("invalid api token", await closed.Content.ReadAsStringAsync());
        }

        using (var health = await http.GetAsync("/v1.0/healthz"))
            Assert.Equal(HttpStatusCode.NoContent, health.StatusCode);

        http.DefaultRequestHeaders.Add("dapr-api-token", "key");
        using var open = await http.GetAsync("/v1.0/metadata");
        Assert.Equal(HttpStatusCode.OK, open.StatusCode);
        Assert.Contains("\"id\":\"shop\"", await open.Content.ReadAsStringAsync());
    }
}
