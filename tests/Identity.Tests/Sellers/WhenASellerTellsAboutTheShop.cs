using System.Net.Http.Json;
using Marketplace.Contracts;
using Marketplace.Identity.Sellers;
using Marketplace.Identity.Tokens;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Identity.Tests.Sellers;

public sealed class WhenASellerTellsAboutTheShop(IdentityFixture market) : IClassFixture<IdentityFixture>
{
    private const string Path = "/api/v1/seller/profile";

    [Fact]
    public async Task Everybody_reads_it_and_it_is_announced_once()
    {
        var (seller, id) = await OpenShopAsync();
        using var first = await seller.FetchAsync(Path);
        Assert.Equal("\"1\"", first.Headers.ETag!.ToString());

        using var changed = await PutAsync(seller, new { displayName = " Bruno's Better Lamps ", about = "Lamps since 1950.\r\nAll of them shine.", logoUrl = "https://example.com/logo.png" }, "\"1\"");
        Assert.Equal(HttpStatusCode.OK, changed.StatusCode);
        Assert.Equal("\"2\"", changed.Headers.ETag!.ToString());

        using var shown = await market.Anybody.FetchAsync($"/api/v1/sellers/{id}");
        var profile = await shown.ReadAsync<SellerProfile>();
        Assert.Equal("\"2\"", shown.Headers.ETag!.ToString());
        Assert.Equal(("Bruno's Better Lamps", "Lamps since 1950.\nAll of them shine.", "https://example.com/logo.png"), (profile.DisplayName, profile.About, profile.LogoUrl));
        Assert.True(DateTimeOffset.UtcNow - profile.Since < TimeSpan.FromMinutes(5), $"{profile.Since}");

        var announced = Assert.Single(await market.Identity.EventsAsync<SellerUpdated>(), told => told.SellerId == id);
        Assert.Equal((2L, profile.DisplayName, profile.About, profile.LogoUrl), (announced.Version, announced.DisplayName, announced.About, announced.LogoUrl));
    }

    [Fact]
    public async Task Saying_the_same_again_is_no_news()
    {
        var (seller, id) = await OpenShopAsync();
        var profile = new { displayName = "Bruno's Lamps", about = "They shine." };
        using var first = await PutAsync(seller, profile, "*");
        using var again = await PutAsync(seller, profile, "*");

        Assert.Equal(HttpStatusCode.OK, again.StatusCode);
        Assert.Equal("\"2\"", again.Headers.ETag!.ToString());
        Assert.Single(await market.Identity.EventsAsync<SellerUpdated>(), told => told.SellerId == id);
    }

    [Fact]
    public async Task Of_two_tabs_the_later_is_told_to_read_again()
    {
        var (seller, id) = await OpenShopAsync();
        using var missing = await seller.PutAsync(Path, new { displayName = "No version" });
        await missing.ProblemAsync(HttpStatusCode.PreconditionRequired, "precondition-required");

        var replies = await Task.WhenAll(Enumerable.Range(1, 4).Select(tab => PutAsync(seller, new { displayName = $"Tab {tab}" }, "\"1\"")));

        Assert.Single(replies, reply => reply.StatusCode == HttpStatusCode.OK);
        Assert.Equal(3, replies.Count(reply => reply.StatusCode == HttpStatusCode.PreconditionFailed));
        Assert.Single(await market.Identity.EventsAsync<SellerUpdated>(), told => told.SellerId == id);
    }

    [Theory]
    [InlineData("""{"displayName":"B"}""", "displayName")]
    [InlineData("""{"displayName":"Two\nlines"}""", "displayName")]
    [InlineData("""{"displayName":"Bruno","about":"a bell \u0007"}""", "about")]
    [InlineData("""{"displayName":"Bruno","logoUrl":"javascript:alert(1)"}""", "logoUrl")]
    [InlineData("""{"displayName":"Bruno","logoUrl":"//elsewhere.example/x.png"}""", "logoUrl")]
    [InlineData("""{"displayName":"Bruno","logoUrl":"/logo\u0000.png"}""", "logoUrl")]
    [InlineData("""{"displayName":"Bruno","logoUrl":"/logo\nof two lines.png"}""", "logoUrl")]
    public async Task What_cannot_be_shown_is_refused_by_field(string body, string field)
    {
        var (seller, id) = await OpenShopAsync();
        using var request = new HttpRequestMessage(HttpMethod.Put, Path) { Content = new StringContent(body, System.Text.Encoding.UTF8, "application/json") };
        request.Headers.TryAddWithoutValidation("If-Match", "*");
        using var reply = await seller.SendAsync(request, TestContext.Current.CancellationToken);

        var problem = await reply.ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
        Assert.True(problem.GetProperty("errors").TryGetProperty(field, out _), problem.ToString());
        Assert.DoesNotContain(await market.Identity.EventsAsync<SellerUpdated>(), told => told.SellerId == id);
    }

    [Fact]
    public async Task A_buyer_has_no_shop_to_tell_about()
    {
        var account = market.Identity.As((await market.OpenAccountAsync()).AccessToken);
        using var reply = await PutAsync(account, new { displayName = "Somebody's" }, "*");
        await reply.ProblemAsync(HttpStatusCode.Forbidden, "forbidden");
    }

    private async Task<(HttpClient Seller, Guid Id)> OpenShopAsync()
    {
        var account = await market.OpenAccountAsync();
        using var response = await market.Identity.As(account.AccessToken).PostAsync("/api/v1/sellers", new { displayName = "Bruno's Lamps" });
        var session = await response.ReadAsync<Session>();
        return (market.Identity.As(session.AccessToken), session.SellerId!.Value);
    }

    private static async Task<HttpResponseMessage> PutAsync(HttpClient seller, object body, string ifMatch)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, Path) { Content = JsonContent.Create(body) };
        request.Headers.TryAddWithoutValidation("If-Match", ifMatch);
        return await seller.SendAsync(request, TestContext.Current.CancellationToken);
    }
}
