using Marketplace.Identity.Sellers;
using Marketplace.Identity.Tokens;
using Microsoft.IdentityModel.JsonWebTokens;
using Xunit;

namespace Marketplace.Identity.Tests.Sellers;

public sealed class WhenAnAccountBecomesASeller(IdentityFixture market) : IClassFixture<IdentityFixture>
{
    [Fact]
    public async Task Its_new_token_names_the_seller_and_everybody_sees_the_shop()
    {
        var account = await market.OpenAccountAsync();
        using var response = await market.Identity.As(account.AccessToken).PostAsync("/api/v1/sellers", new { displayName = "Bruno's Lamps" });
        Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        var seller = await response.ReadAsync<Session>();
        Assert.Equal(["buyer", "seller"], seller.Roles);
        Assert.Equal(seller.SellerId.ToString(), new JsonWebToken(seller.AccessToken).GetClaim("seller_id").Value);

        using var shop = await market.Anybody.FetchAsync($"/api/v1/sellers/{seller.SellerId}");
        var text = await shop.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.Equal("Bruno's Lamps", (await shop.ReadAsync<SellerProfile>()).DisplayName);
        Assert.DoesNotContain(account.AccountId.ToString(), text, StringComparison.Ordinal);

        using var refreshed = await market.RefreshAsync(account.RefreshToken!);
        Assert.Equal(seller.SellerId, (await refreshed.ReadAsync<Session>()).SellerId);
    }

    [Fact]
    public async Task Asking_again_gives_the_same_seller_and_another_name_is_refused()
    {
        var account = market.Identity.As((await market.OpenAccountAsync()).AccessToken);
        using var first = await account.PostAsync("/api/v1/sellers", new { displayName = "Bruno's Lamps" });
        using var again = await account.PostAsync("/api/v1/sellers", new { displayName = "Bruno's Lamps" });
        Assert.Equal((await first.ReadAsync<Session>()).SellerId, (await again.ReadAsync<Session>()).SellerId);

        using var other = await account.PostAsync("/api/v1/sellers", new { displayName = "Lamps of Bruno" });
        await other.ProblemAsync(HttpStatusCode.Conflict, "already-a-seller");
    }

    [Fact]
    public async Task A_guest_cannot()
    {
        using var visit = await market.Anybody.PostAsync("/api/v1/guests");
        var guest = await visit.ReadAsync<Session>();
        using var response = await market.Identity.As(guest.AccessToken).PostAsync("/api/v1/sellers", new { displayName = "Nobody's Lamps" });
        await response.ProblemAsync(HttpStatusCode.Forbidden, "forbidden");
    }

    [Fact]
    public async Task An_unknown_shop_is_not_found()
    {
        using var response = await market.Anybody.FetchAsync($"/api/v1/sellers/{Guid.NewGuid()}");
        await response.ProblemAsync(HttpStatusCode.NotFound, "not-found");
    }
}
