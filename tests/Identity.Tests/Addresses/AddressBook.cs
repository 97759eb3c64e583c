using Marketplace.Identity.Addresses;
using Xunit;

namespace Marketplace.Identity.Tests.Addresses;

public sealed class AddressBook(IdentityFixture market) : IClassFixture<IdentityFixture>
{
    private static object Home(string line1 = "12 St James's Square", string country = "GB", string name = "Ada Lovelace") =>
        new { name, line1, line2 = (string?)null, city = "London", postalCode = "SW1Y 4JH", country };

    [Fact]
    public async Task An_address_is_kept_changed_and_taken_out()
    {
        var ada = market.Identity.As((await market.OpenAccountAsync()).AccessToken);
        using var added = await ada.PostAsync("/api/v1/me/addresses", Home());
        Assert.Equal(HttpStatusCode.Created, added.StatusCode);
        var address = await added.ReadAsync<Address>();
        Assert.Equal($"/api/v1/me/addresses/{address.AddressId}", added.Headers.Location?.OriginalString);

        using var changed = await ada.PutAsync($"/api/v1/me/addresses/{address.AddressId}", Home("1 Ockham Park"));
        Assert.Equal("1 Ockham Park", (await changed.ReadAsync<Address>()).Line1);
        Assert.Equal(["1 Ockham Park"], await LinesAsync(ada));

        using var removed = await ada.RemoveAsync($"/api/v1/me/addresses/{address.AddressId}");
        Assert.Equal(HttpStatusCode.NoContent, removed.StatusCode);
        Assert.Empty(await LinesAsync(ada));
    }

    [Fact]
    public async Task A_flash_sale_looks_up_first_addresses_and_certain_ones_of_their_own_accounts()
    {
        var (ada, bruno, eve) = (await market.OpenAccountAsync(), await market.OpenAccountAsync(), await market.OpenAccountAsync());
        var adas = market.Identity.As(ada.AccessToken);
        using var one = await adas.PostAsync("/api/v1/me/addresses", Home());
        using var two = await adas.PostAsync("/api/v1/me/addresses", Home("1 Ockham Park"));
        using var brunos = await market.Identity.As(bruno.AccessToken).PostAsync("/api/v1/me/addresses", Home("3 Via Roma"));
        var (first, second, foreign) = (await one.ReadAsync<Address>(), await two.ReadAsync<Address>(), await brunos.ReadAsync<Address>());

        using var asked = await market.Identity.AsNeighbour("flashsales").PostAsync("/internal/addresses", new AddressLookup([
            new(ada.AccountId), new(bruno.AccountId), new(eve.AccountId), new(ada.AccountId, second.AddressId), new(ada.AccountId, foreign.AddressId), new(Guid.CreateVersion7())]));
        var found = (await asked.ReadAsync<AddressLookupReply>()).Addresses;

        Assert.Equal(
            new[] { (ada.AccountId, first.AddressId, "12 St James's Square"), (bruno.AccountId, foreign.AddressId, "3 Via Roma"), (ada.AccountId, second.AddressId, "1 Ockham Park") }.Order(),
            found.Select(address => (address.AccountId, address.AddressId, address.Line1)).Order());
    }

    [Fact]
    public async Task Nobody_but_a_flash_sale_looks_up_addresses()
    {
        var ada = await market.OpenAccountAsync();
        using var another = await market.Identity.AsNeighbour("catalog").PostAsync("/internal/addresses", new AddressLookup([new(ada.AccountId)]));
        using var shopper = await market.Identity.As(ada.AccessToken).PostAsync("/internal/addresses", new AddressLookup([new(ada.AccountId)]));
        using var many = await market.Identity.AsNeighbour("flashsales").PostAsync("/internal/addresses", new AddressLookup([.. Enumerable.Repeat(new WantedAddress(ada.AccountId), 501)]));
        Assert.Equal((HttpStatusCode.Forbidden, HttpStatusCode.UnprocessableEntity), (another.StatusCode, many.StatusCode));
        Assert.NotEqual(HttpStatusCode.OK, shopper.StatusCode);
    }

    [Fact]
    public async Task Somebody_else_s_address_is_not_found_on_any_action()
    {
        var ada = market.Identity.As((await market.OpenAccountAsync()).AccessToken);
        var eve = market.Identity.As((await market.OpenAccountAsync()).AccessToken);
        using var added = await ada.PostAsync("/api/v1/me/addresses", Home());
        var address = await added.ReadAsync<Address>();

        using var changed = await eve.PutAsync($"/api/v1/me/addresses/{address.AddressId}", Home("Eve's house"));
        await changed.ProblemAsync(HttpStatusCode.NotFound, "not-found");
        using var removed = await eve.RemoveAsync($"/api/v1/me/addresses/{address.AddressId}");
        await removed.ProblemAsync(HttpStatusCode.NotFound, "not-found");
        Assert.Empty(await LinesAsync(eve));
        Assert.Equal(["12 St James's Square"], await LinesAsync(ada));
    }

    [Theory]
    [InlineData("country", "12 St James's Square", "England", "Ada")]
    [InlineData("country", "12 St James's Square", "gb", "Ada")]
    [InlineData("line1", "", "GB", "Ada")]
    [InlineData("line1", "one\ntwo", "GB", "Ada")]
    [InlineData("name", "12 St James's Square", "GB", "A\0da")]
    public async Task A_wrong_field_is_named(string field, string line1, string country, string name)
    {
        var ada = market.Identity.As((await market.OpenAccountAsync()).AccessToken);
        using var refused = await ada.PostAsync("/api/v1/me/addresses", Home(line1, country, name));
        var problem = await refused.ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
        Assert.True(problem.GetProperty("errors").TryGetProperty(field, out _), problem.ToString());
        Assert.Empty(await LinesAsync(ada));
    }

    [Fact]
    public async Task An_account_keeps_a_bounded_number()
    {
        var ada = market.Identity.As((await market.OpenAccountAsync()).AccessToken);
        for (var i = 0; i < AddressStore.MostPerAccount; i++)
        {
            using var added = await ada.PostAsync("/api/v1/me/addresses", Home());
            Assert.Equal(HttpStatusCode.Created, added.StatusCode);
        }
        using var oneMore = await ada.PostAsync("/api/v1/me/addresses", Home());
        await oneMore.ProblemAsync(HttpStatusCode.UnprocessableEntity, "too-many-addresses");
    }

    private static async Task<IEnumerable<string>> LinesAsync(HttpClient who)
    {
        using var response = await who.FetchAsync("/api/v1/me/addresses");
        return (await response.ReadAsync<AddressPage>()).Items.Select(address => address.Line1);
    }
}
