using System.Diagnostics;
using System.Text.Json.Nodes;
using Marketplace.Identity.Tokens;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Identity.Tests.Tokens;

public sealed class WhenSomebodySignsIn(IdentityFixture market) : IClassFixture<IdentityFixture>
{
    private const string Password = "correct horse battery";

    [Fact]
    public async Task The_right_password_starts_a_session()
    {
        var email = IdentityFixture.NewEmail();
        var account = await market.OpenAccountAsync(email, Password);
        using var response = await market.SignInAsync(email.ToUpperInvariant(), Password);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var session = await response.ReadAsync<Session>();
        Assert.Equal(account.AccountId, session.AccountId);
        Assert.InRange(session.ExpiresAt - DateTimeOffset.UtcNow, TimeSpan.FromMinutes(4), TimeSpan.FromMinutes(5.1));
    }

    [Fact]
    public async Task An_unknown_address_and_a_wrong_password_get_the_same_answer()
    {
        var email = IdentityFixture.NewEmail();
        await market.OpenAccountAsync(email, Password);
        var wrong = await AnswerAsync(email, "not the password");
        var unknown = await AnswerAsync(IdentityFixture.NewEmail(), "not the password");
        var nonsense = await AnswerAsync("no address at all", "not the password");
        Assert.Equal(wrong, unknown);
        Assert.Equal(wrong, nonsense);

        async Task<string> AnswerAsync(string who, string password)
        {
            using var response = await market.SignInAsync(who, password);
            await response.ProblemAsync(HttpStatusCode.Unauthorized, "bad-credentials");
            var problem = JsonNode.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!.AsObject();
            problem.Remove("traceId");
            return problem.ToJsonString();
        }
    }

    [Fact]
    public async Task An_unknown_address_costs_as_much_work_as_a_wrong_password()
    {
        var settings = IdentityFixture.Settings;
        settings["Passwords:Iterations"] = "150000";
        await using var identity = await ServiceUnderTest<Program>.StartAsync("identity", settings: settings);
        var http = identity.As(null);
        var email = IdentityFixture.NewEmail();
        using var opened = await http.PostAsync("/api/v1/accounts", new { email, password = Password, name = "Ada" });
        Assert.Equal(HttpStatusCode.Created, opened.StatusCode);

        var known = await FastestAsync(email);
        var unknown = await FastestAsync(IdentityFixture.NewEmail());

        // Without the work the answer would come in a hundredth of the time.
        Assert.True(unknown > known / 3, $"known {known.TotalMilliseconds} ms, unknown {unknown.TotalMilliseconds} ms");

        async Task<TimeSpan> FastestAsync(string who)
        {
            var fastest = TimeSpan.MaxValue;
            for (var i = 0; i < 3; i++)
            {
                var clock = Stopwatch.StartNew();
                using var response = await http.PostAsync("/api/v1/sessions", new { email = who, password = "not the password" });
                Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
                fastest = clock.Elapsed < fastest ? clock.Elapsed : fastest;
            }
            return fastest;
        }
    }

    [Fact]
    public async Task A_password_kept_with_too_few_iterations_is_renewed()
    {
        var email = IdentityFixture.NewEmail();
        await market.OpenAccountAsync(email, Password);
        var settings = IdentityFixture.Settings;
        settings["Passwords:Iterations"] = "2000";
        await using var stricter = await ServiceUnderTest<Program>.StartAsync("identity", settings: settings, connectionString: market.Identity.ConnectionString);
        using var response = await stricter.As(null).PostAsync("/api/v1/sessions", new { email, password = Password });
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);

        Assert.StartsWith("pbkdf2-sha256$2000$", await market.Identity.ScalarAsync<string>("SELECT password_hash FROM accounts WHERE email = $1", email), StringComparison.Ordinal);
        using var again = await market.SignInAsync(email, Password);
        Assert.Equal(HttpStatusCode.OK, again.StatusCode);
    }

    [Fact]
    public async Task Guessing_is_slowed_down_per_account_and_says_when_to_come_back()
    {
        var settings = IdentityFixture.Settings;
        settings["SignInLimits:PerEmail"] = "3";
        await using var identity = await ServiceUnderTest<Program>.StartAsync("identity", settings: settings);
        var http = identity.As(null);
        for (var i = 0; i < 3; i++)
        {
            using var wrong = await http.PostAsync("/api/v1/sessions", new { email = "ada@example.com", password = "guess" });
            Assert.Equal(HttpStatusCode.Unauthorized, wrong.StatusCode);
        }

        using var held = await http.PostAsync("/api/v1/sessions", new { email = "ADA@example.com", password = "guess" });
        await held.ProblemAsync(HttpStatusCode.TooManyRequests, "too-many-requests");
        Assert.NotNull(held.Headers.RetryAfter);

        using var other = await http.PostAsync("/api/v1/sessions", new { email = "bruno@example.com", password = "guess" });
        Assert.Equal(HttpStatusCode.Unauthorized, other.StatusCode);
    }

    [Fact]
    public async Task The_client_s_own_word_about_its_address_counts_only_from_the_gateway()
    {
        var settings = IdentityFixture.Settings;
        settings["SignInLimits:PerAddress"] = "3";
        await using var identity = await ServiceUnderTest<Program>.StartAsync("identity", settings: settings);

        // Not through the gateway: however many addresses are claimed, it is one.
        var claimed = new List<HttpStatusCode>();
        for (var i = 0; i < 5; i++)
            claimed.Add(await TryAsync(identity.As(null), $"203.0.113.{i}"));
        Assert.Equal(2, claimed.Count(status => status == HttpStatusCode.TooManyRequests));

        for (var i = 0; i < 5; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, await TryAsync(identity.AsNeighbour("gateway"), $"203.0.113.{i}"));
        for (var i = 0; i < 2; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, await TryAsync(identity.AsNeighbour("gateway"), "203.0.113.1, 127.0.0.1"));
        Assert.Equal(HttpStatusCode.TooManyRequests, await TryAsync(identity.AsNeighbour("gateway"), "203.0.113.1, 127.0.0.1"));

        static async Task<HttpStatusCode> TryAsync(HttpClient http, string forwardedFor)
        {
            http.DefaultRequestHeaders.TryAddWithoutValidation("X-Forwarded-For", forwardedFor);
            using var response = await http.PostAsync("/api/v1/sessions", new { email = IdentityFixture.NewEmail(), password = "guess" });
            return response.StatusCode;
        }
    }

    [Fact]
    public async Task A_guest_gets_a_token_for_a_day_and_leaves_no_trace()
    {
        var before = await market.Identity.ScalarAsync<long>("SELECT count(*) FROM accounts");
        using var response = await market.Anybody.PostAsync("/api/v1/guests");
        Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        var guest = await response.ReadAsync<Session>();
        Assert.Equal(["guest"], guest.Roles);
        Assert.Null(guest.RefreshToken);
        Assert.InRange(guest.ExpiresAt - DateTimeOffset.UtcNow, TimeSpan.FromHours(23.9), TimeSpan.FromHours(24.1));
        Assert.Equal(before, await market.Identity.ScalarAsync<long>("SELECT count(*) FROM accounts"));

        using var me = await market.Identity.As(guest.AccessToken).FetchAsync("/api/v1/me");
        Assert.Equal(HttpStatusCode.OK, me.StatusCode);
        using var addresses = await market.Identity.As(guest.AccessToken).FetchAsync("/api/v1/me/addresses");
        await addresses.ProblemAsync(HttpStatusCode.Forbidden, "forbidden");
    }

    [Theory]
    [InlineData(null)]
    [InlineData("no token")]
    public async Task Without_a_token_nobody_is_anybody(string? token)
    {
        using var me = await market.Identity.As(token).FetchAsync("/api/v1/me");
        await me.ProblemAsync(HttpStatusCode.Unauthorized, "unauthorized");
    }

    [Fact]
    public async Task A_token_signed_by_another_key_is_refused()
    {
        var session = await market.OpenAccountAsync();
        using var me = await market.Identity.As(TestTokens.Buyer(session.AccountId)).FetchAsync("/api/v1/me");
        await me.ProblemAsync(HttpStatusCode.Unauthorized, "unauthorized");
    }
}
