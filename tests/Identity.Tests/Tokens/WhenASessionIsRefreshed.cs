using System.Buffers.Text;
using System.Security.Cryptography;
using Marketplace.Identity.Tokens;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Marketplace.Identity.Tests.Tokens;

public sealed class WhenASessionIsRefreshed(IdentityFixture market) : IClassFixture<IdentityFixture>
{
    [Fact]
    public async Task It_goes_on_with_another_token_each_time()
    {
        var session = await market.OpenAccountAsync();
        var next = await ContinueAsync(session.RefreshToken!);
        var third = await ContinueAsync(next.RefreshToken!);
        Assert.Equal(session.AccountId, third.AccountId);
        Assert.Equal(3, new[] { session.RefreshToken, next.RefreshToken, third.RefreshToken }.Distinct().Count());
    }

    [Fact]
    public async Task A_token_used_twice_ends_the_whole_session()
    {
        var stolen = await market.OpenAccountAsync();
        var continued = await ContinueAsync(stolen.RefreshToken!);

        using var thief = await market.RefreshAsync(stolen.RefreshToken!);
        await thief.ProblemAsync(HttpStatusCode.Unauthorized, "session-ended");
        using var owner = await market.RefreshAsync(continued.RefreshToken!);
        await owner.ProblemAsync(HttpStatusCode.Unauthorized, "session-ended");
    }

    [Fact]
    public async Task Of_two_at_once_with_one_token_one_goes_on_at_most_and_the_session_ends()
    {
        var session = await market.OpenAccountAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => market.RefreshAsync(session.RefreshToken!)));
        var winner = await Assert.Single(answers, answer => answer.StatusCode == HttpStatusCode.OK).ReadAsync<Session>();
        using var after = await market.RefreshAsync(winner.RefreshToken!);
        Assert.Equal(HttpStatusCode.Unauthorized, after.StatusCode);
    }

    [Fact]
    public async Task Another_session_of_the_same_account_goes_on()
    {
        var email = IdentityFixture.NewEmail();
        var phone = await market.OpenAccountAsync(email, "correct horse battery");
        using var signedIn = await market.SignInAsync(email, "correct horse battery");
        var laptop = await signedIn.ReadAsync<Session>();

        await ContinueAsync(phone.RefreshToken!);
        using var reused = await market.RefreshAsync(phone.RefreshToken!);
        Assert.Equal(HttpStatusCode.Unauthorized, reused.StatusCode);
        await ContinueAsync(laptop.RefreshToken!);
    }

    [Fact]
    public async Task Signing_out_ends_this_session_only()
    {
        var email = IdentityFixture.NewEmail();
        var phone = await market.OpenAccountAsync(email, "correct horse battery");
        using var signedIn = await market.SignInAsync(email, "correct horse battery");
        var laptop = await signedIn.ReadAsync<Session>();

        using var signedOut = await market.Identity.As(phone.AccessToken).RemoveAsync("/api/v1/sessions");
        Assert.Equal(HttpStatusCode.NoContent, signedOut.StatusCode);
        using var over = await market.RefreshAsync(phone.RefreshToken!);
        Assert.Equal(HttpStatusCode.Unauthorized, over.StatusCode);
        await ContinueAsync(laptop.RefreshToken!);
    }

    [Theory]
    [InlineData("")]
    [InlineData("not base64url!")]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    public async Task An_invented_token_continues_nothing(string token)
    {
        using var response = await market.RefreshAsync(token);
        Assert.Contains(response.StatusCode, new[] { HttpStatusCode.Unauthorized, HttpStatusCode.UnprocessableEntity });
    }

    [Fact]
    public async Task The_table_holds_no_token_that_could_be_used()
    {
        var session = await market.OpenAccountAsync();
        var token = Base64Url.DecodeFromChars(session.RefreshToken);
        Assert.Equal(0L, await market.Identity.ScalarAsync<long>("SELECT count(*) FROM refresh_tokens WHERE token_hash = $1", token));
        Assert.Equal(1L, await market.Identity.ScalarAsync<long>("SELECT count(*) FROM refresh_tokens WHERE token_hash = $1", SHA256.HashData(token)));
    }

    [Fact]
    public async Task A_session_that_was_left_for_a_month_is_over_and_is_cleared_away()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var identity = await ServiceUnderTest<Program>.StartAsync(
            "identity", settings: IdentityFixture.Settings, replace: services => services.AddSingleton<TimeProvider>(clock));
        var http = identity.As(null);
        using var opened = await http.PostAsync("/api/v1/accounts", new { email = "ada@example.com", password = "correct horse battery", name = "Ada" });
        var session = await opened.ReadAsync<Session>();

        clock.Advance(TimeSpan.FromDays(31));
        using var late = await http.PostAsync("/api/v1/sessions/refresh", new { session.RefreshToken });
        await late.ProblemAsync(HttpStatusCode.Unauthorized, "session-ended");

        using var again = await http.PostAsync("/api/v1/sessions", new { email = "ada@example.com", password = "correct horse battery" });
        Assert.Equal(HttpStatusCode.OK, again.StatusCode);
        Assert.Equal(1L, await identity.ScalarAsync<long>("SELECT count(*) FROM sessions"));
        Assert.Equal(1L, await identity.ScalarAsync<long>("SELECT count(*) FROM refresh_tokens"));
    }

    private async Task<Session> ContinueAsync(string refreshToken)
    {
        using var response = await market.RefreshAsync(refreshToken);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return await response.ReadAsync<Session>();
    }
}
