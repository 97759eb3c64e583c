using Marketplace.Contracts;
using Marketplace.Identity.Accounts;
using Marketplace.Identity.Tokens;
using Xunit;

namespace Marketplace.Identity.Tests.Accounts;

public sealed class WhenAnAccountIsOpened(IdentityFixture market) : IClassFixture<IdentityFixture>
{
    [Fact]
    public async Task Its_owner_is_signed_in_and_it_is_announced_once()
    {
        var email = IdentityFixture.NewEmail();
        var session = await market.OpenAccountAsync(email);
        Assert.Equal(["buyer"], session.Roles);
        Assert.NotNull(session.RefreshToken);

        using var me = await market.Identity.As(session.AccessToken).FetchAsync("/api/v1/me");
        var who = await me.ReadAsync<Me>();
        Assert.Equal((session.AccountId, email, "Ada Lovelace"), (who.AccountId, who.Email, who.Name));

        var announced = (await market.Identity.EventsAsync<UserRegistered>()).Single(user => user.AccountId == session.AccountId);
        Assert.Equal((email, "Ada Lovelace"), (announced.Email, announced.Name));
    }

    [Fact]
    public async Task A_second_one_with_the_same_address_is_refused_however_it_is_typed()
    {
        var email = IdentityFixture.NewEmail();
        var first = await market.OpenAccountAsync(email);
        using var second = await market.Anybody.PostAsync("/api/v1/accounts", new { email = $" {email.ToUpperInvariant()}", password = "another password", name = "Eve" });
        await second.ProblemAsync(HttpStatusCode.Conflict, "email-taken");

        Assert.Equal(1L, await market.Identity.ScalarAsync<long>("SELECT count(*) FROM accounts WHERE email = $1", email));
        Assert.Single(await market.Identity.EventsAsync<UserRegistered>(), user => user.AccountId == first.AccountId);
    }

    [Fact]
    public async Task Twenty_at_once_with_one_address_make_one_account()
    {
        var email = IdentityFixture.NewEmail();
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ =>
            market.Anybody.PostAsync("/api/v1/accounts", new { email, password = "correct horse battery", name = "Ada" })));
        Assert.Single(answers, answer => answer.StatusCode == HttpStatusCode.Created);
        Assert.Equal(19, answers.Count(answer => answer.StatusCode == HttpStatusCode.Conflict));
    }

    [Theory]
    [InlineData("email", "no address", "correct horse battery", "Ada")]
    [InlineData("password", "ada@example.com", "short", "Ada")]
    [InlineData("name", "ada@example.com", "correct horse battery", "")]
    [InlineData("name", "ada@example.com", "correct horse battery", "Ada\u0000Eve")]
    [InlineData("name", "ada@example.com", "correct horse battery", "   ")]
    public async Task A_wrong_field_is_named_and_nothing_is_stored(string field, string email, string password, string name)
    {
        var before = await market.Identity.ScalarAsync<long>("SELECT count(*) FROM accounts");
        using var refused = await market.Anybody.PostAsync("/api/v1/accounts", new { email, password, name });
        var problem = await refused.ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
        Assert.True(problem.GetProperty("errors").TryGetProperty(field, out _), problem.ToString());
        Assert.Equal(before, await market.Identity.ScalarAsync<long>("SELECT count(*) FROM accounts"));
    }

    [Fact]
    public async Task A_missing_field_is_a_problem_too()
    {
        using var refused = await market.Anybody.PostAsync("/api/v1/accounts", new { email = "ada@example.com" });
        await refused.ProblemAsync(HttpStatusCode.BadRequest, "malformed-json");
    }

    [Fact]
    public async Task The_operator_exists_from_the_start_and_is_not_announced()
    {
        Session? session = null;
        await TestKit.Eventually.Async(
            async () =>
            {
                using var response = await market.SignInAsync(OperatorAccount.Email, IdentityFixture.OperatorPassword);
                session = response.IsSuccessStatusCode ? await response.ReadAsync<Session>() : null;
                return session is not null;
            },
            "the operator can sign in");
        Assert.Equal(["buyer", "operator"], session!.Roles);
        Assert.DoesNotContain(await market.Identity.EventsAsync<UserRegistered>(), user => user.Email == OperatorAccount.Email);
    }
}
