using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace Marketplace.Hosting.Tests;

/// <summary>Tokens, the app token, and a problem document for everything that goes wrong.</summary>
public sealed class WhenSomebodyAsks(WhenSomebodyAsks.OneApp one) : IClassFixture<WhenSomebodyAsks.OneApp>
{
    private static readonly Guid Ada = Guid.CreateVersion7();
    private readonly SampleApp app = one.App;

    [Fact]
    public async Task A_valid_token_says_who_it_is()
    {
        using var client = app.As(TestTokens.Buyer(Ada));

        var me = await client.GetStringAsync("/lamps/me");
        var again = await client.GetStringAsync("/lamps/me");     // from memory this time

        Assert.Equal($$"""{"id":"{{Ada}}","guest":false,"email":"ada@example.com"}""", me);
        Assert.Equal(me, again);
    }

    public static TheoryData<string, string?> BadTokens()
    {
        using var anotherKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var valid = TestTokens.Buyer(Ada);
        var parts = valid.Split('.');
        var promoted = Convert.ToBase64String(Encoding.UTF8.GetBytes(
            Encoding.UTF8.GetString(FromBase64Url(parts[1])).Replace("\"buyer\"", "\"operator\"", StringComparison.Ordinal))).TrimEnd('=').Replace('+', '-').Replace('/', '_');
        return new()
        {
            { "missing", null },
            { "no token at all", "nonsense" },
            { "three parts of nothing", "a.b.c" },
            { "expired", TestTokens.Issue(Ada, ["buyer"], expiresIn: TimeSpan.FromMinutes(-1)) },
            { "signed by another key under our key's name", TestTokens.Issue(Ada, ["buyer"], key: anotherKey) },
            { "signed by another key under its own name", TestTokens.Issue(Ada, ["buyer"], key: anotherKey, keyId: "theirs") },
            { "claims changed after signing", $"{parts[0]}.{promoted}.{parts[2]}" },
            { "not signed", TestTokens.Issue(Ada, ["buyer"], algorithm: "none") },
            { "public key used as a shared secret", Hs256(parts[1]) },
            { "for another audience", TestTokens.Issue(Ada, ["buyer"], new() { ["aud"] = "elsewhere" }) },
            { "from another issuer", TestTokens.Issue(Ada, ["buyer"], new() { ["iss"] = "elsewhere" }) },
            { "without an end", TestTokens.Issue(Ada, ["buyer"], new() { ["exp"] = null }) },
            { "for nobody", TestTokens.Issue(Ada, ["buyer"], new() { ["sub"] = "me" }) },
        };
    }

    [Theory, MemberData(nameof(BadTokens))]
    public async Task Any_other_token_is_nobody(string which, string? token)
    {
        using var client = app.As(token);

        var reply = await client.GetAsync("/lamps/me");

        Assert.True(reply.StatusCode == HttpStatusCode.Unauthorized, $"{which}: {reply.StatusCode}");
        Assert.StartsWith("Bearer", reply.Headers.WwwAuthenticate.ToString(), StringComparison.Ordinal);
        await AssertProblemAsync(reply, 401, "/problems/unauthorized");
    }

    [Fact]
    public async Task Who_comes_back_after_a_crowd_is_who_they_were_and_a_changed_token_is_still_nobody()
    {
        var tokens = app.Services.GetRequiredService<TokenReader>();
        var ada = TestTokens.Buyer(Ada);
        Assert.NotNull(await tokens.ReadAsync(ada, TestContext.Current.CancellationToken));

        for (var other = 0; other < 12_000; other++)              // more than are remembered by name
            Assert.NotNull(await tokens.ReadAsync(TestTokens.Buyer(Guid.CreateVersion7()), TestContext.Current.CancellationToken));

        var back = await tokens.ReadAsync(ada, TestContext.Current.CancellationToken);
        Assert.Equal((Ada.ToString(), "Ada", true), (back!.FindFirst("sub")!.Value, back.Identity!.Name, back.IsInRole("buyer")));
        Assert.Null(await tokens.ReadAsync(ada[..^4] + (ada.EndsWith("AAAA", StringComparison.Ordinal) ? "BBBB" : "AAAA"), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_token_remembered_as_valid_still_expires()
    {
        var time = new Microsoft.Extensions.Time.Testing.FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var aged = await SampleApp.StartAsync(services: services =>
            Microsoft.Extensions.DependencyInjection.ServiceCollectionServiceExtensions.AddSingleton<TimeProvider>(services, time));
        using var client = aged.As(TestTokens.Buyer(Ada));
        (await client.GetAsync("/lamps/me")).EnsureSuccessStatusCode();

        time.Advance(TimeSpan.FromMinutes(6));

        Assert.Equal(HttpStatusCode.Unauthorized, (await client.GetAsync("/lamps/me")).StatusCode);
    }

    [Fact]
    public async Task Keys_are_fetched_from_identity_through_the_sidecar_once_and_again_for_an_unknown_key_only_after_a_while()
    {
        await using var sidecar = await FakeNeighbour.StartAsync();
        sidecar.On(HttpMethod.Get, "/v1.0/invoke/identity/method/.well-known/jwks.json", JsonDocument.Parse(TestTokens.Jwks).RootElement);
        await using var other = await SampleApp.StartAsync(settings: new() { ["Auth:Jwks"] = "", ["DAPR_HTTP_ENDPOINT"] = sidecar.Address.ToString() });
        using var unknown = ECDsa.Create(ECCurve.NamedCurves.nistP256);

        Assert.Equal(HttpStatusCode.OK, (await other.As(TestTokens.Buyer(Ada)).GetAsync("/lamps/me")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await other.As(TestTokens.Guest(Ada)).GetAsync("/lamps/me")).StatusCode);
        for (var i = 0; i < 3; i++)
            Assert.Equal(HttpStatusCode.Unauthorized, (await other.As(TestTokens.Issue(Ada, ["buyer"], key: unknown, keyId: "theirs")).GetAsync("/lamps/me")).StatusCode);

        Assert.Single(sidecar.Calls);
    }

    [Fact]
    public async Task Without_identity_a_token_cannot_be_judged_and_that_is_not_the_shoppers_fault()
    {
        await using var other = await SampleApp.StartAsync(settings: new() { ["Auth:Jwks"] = "", ["DAPR_HTTP_ENDPOINT"] = $"http://127.0.0.1:{Ports.Free()}" });

        var reply = await other.As(TestTokens.Buyer(Ada)).GetAsync("/lamps/me");
        var open = await other.As(TestTokens.Buyer(Ada)).PostAsync("/turns", SampleApp.Json("""{"times":1,"reason":"x"}"""));

        await AssertProblemAsync(reply, 503, "/problems/unavailable");
        Assert.Equal(HttpStatusCode.OK, open.StatusCode);
    }

    [Fact]
    public async Task Policies_tell_guests_accounts_sellers_and_operators_apart()
    {
        var sellerId = Guid.CreateVersion7();
        var tokens = new Dictionary<string, string>
        {
            ["guest"] = TestTokens.Guest(Ada),
            ["buyer"] = TestTokens.Buyer(Ada),
            ["seller"] = TestTokens.Seller(Ada, sellerId),
            ["operator"] = TestTokens.Operator(),
            ["seller without an id"] = TestTokens.Issue(Ada, ["buyer", "seller"]),
        };
        async Task<string> WhoMayAsync(string path)
        {
            var allowed = new List<string>();
            foreach (var (name, token) in tokens)
            {
                using var client = app.As(token);
                var reply = await client.GetAsync(path);
                if (reply.IsSuccessStatusCode)
                    allowed.Add(name);
                else
                    await AssertProblemAsync(reply, 403, "/problems/forbidden");
            }

            return string.Join(", ", allowed);
        }

        Assert.Equal("guest, buyer, seller, seller without an id", await WhoMayAsync("/buyer"));
        Assert.Equal("buyer, seller, operator, seller without an id", await WhoMayAsync("/account"));
        Assert.Equal("seller", await WhoMayAsync("/seller"));
        Assert.Equal("operator", await WhoMayAsync("/operator"));
        Assert.Equal($"\"{sellerId}\"", await app.As(tokens["seller"]).GetStringAsync("/seller"));
    }

    [Fact]
    public async Task Inner_routes_need_the_app_token_and_stay_out_of_the_document()
    {
        await AssertProblemAsync(await app.As(null).GetAsync("/internal/lamps"), 401, "/problems/unauthorized");
        await AssertProblemAsync(await app.As(TestTokens.Operator()).GetAsync("/internal/lamps"), 401, "/problems/unauthorized");
        await AssertProblemAsync(await app.As(TestTokens.Operator()).PostAsync("/events/lamp-lit", SampleApp.Json("{}")), 401, "/problems/unauthorized");
        Assert.Equal("lamps", await app.AsSidecar().GetStringAsync("/internal/lamps"));

        var document = await app.As(null).GetStringAsync("/openapi/v1.json");
        Assert.Contains("/lamps/me", document, StringComparison.Ordinal);
        Assert.DoesNotContain("/internal", document, StringComparison.Ordinal);
        Assert.DoesNotContain("/events", document, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_a_library_maps_for_the_sidecar_is_closed_to_others_and_its_health_is_not()
    {
        await AssertProblemAsync(await app.As(null).GetAsync("/library/lamps"), 401, "/problems/unauthorized");
        await AssertProblemAsync(await app.As(TestTokens.Operator()).GetAsync("/library/lamps"), 401, "/problems/unauthorized");
        Assert.Equal("lamps", await app.AsSidecar().GetStringAsync("/library/lamps"));
        Assert.Equal("well", await app.As(null).GetStringAsync("/library/health"));
        Assert.DoesNotContain("/library/lamps", await app.As(null).GetStringAsync("/openapi/v1.json"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_inner_route_for_some_callers_refuses_the_others()
    {
        using var ordering = app.AsSidecar();
        ordering.DefaultRequestHeaders.Add("dapr-caller-app-id", "ordering");
        using var cart = app.AsSidecar();
        cart.DefaultRequestHeaders.Add("dapr-caller-app-id", "cart");

        Assert.Equal("keys", await ordering.GetStringAsync("/internal/keys"));
        await AssertProblemAsync(await cart.GetAsync("/internal/keys"), 403, "/problems/forbidden");
        await AssertProblemAsync(await app.AsSidecar().GetAsync("/internal/keys"), 403, "/problems/forbidden");
    }

    [Fact]
    public async Task Without_a_configured_app_token_inner_routes_are_closed()
    {
        await using var other = await SampleApp.StartAsync(settings: new() { ["APP_API_TOKEN"] = "" });
        using var client = other.As(null);
        client.DefaultRequestHeaders.TryAddWithoutValidation("dapr-api-token", "");

        Assert.Equal(HttpStatusCode.Unauthorized, (await client.GetAsync("/internal/lamps")).StatusCode);
    }

    [Theory]
    [InlineData(401), InlineData(403), InlineData(404), InlineData(409), InlineData(412), InlineData(413), InlineData(415), InlineData(429), InlineData(500), InlineData(503)]
    public async Task A_status_alone_gets_its_document(int status) =>
        await AssertProblemAsync(await app.As(null).GetAsync($"/status/{status}"), status, null);

    [Fact]
    public async Task An_unknown_address_and_a_wrong_method_get_theirs()
    {
        await AssertProblemAsync(await app.As(null).GetAsync("/nowhere"), 404, "/problems/not-found");
        await AssertProblemAsync(await app.As(null).DeleteAsync("/turns"), 405, "/problems/method-not-allowed");
    }

    [Fact]
    public async Task A_body_of_another_type_gets_415() =>
        await AssertProblemAsync(await app.As(null).PostAsync("/turns", new StringContent("times=1", Encoding.UTF8, "application/x-www-form-urlencoded")), 415, "/problems/unsupported-media-type");

    [Theory]
    [InlineData("nonsense"), InlineData("utf-7"), InlineData("\"nonsense\"")]
    public async Task A_charset_that_nobody_knows_gets_415(string charset)
    {
        using var body = SampleApp.Json("""{"times":1,"reason":"x"}""");
        body.Headers.Remove("Content-Type");
        body.Headers.TryAddWithoutValidation("Content-Type", $"application/json; charset={charset}");

        await AssertProblemAsync(await app.As(null).PostAsync("/turns", body), 415, "/problems/unsupported-media-type");
    }

    [Theory]
    [InlineData("count=many", "count", "a whole number"), InlineData("lit=perhaps", "lit", "true or false"), InlineData("lamp=1&lamp=x", "lamp", "an id"), InlineData("price=%22%0A", "price", "a number")]
    public async Task A_parameter_of_the_wrong_form_is_named_and_no_type_of_ours(string query, string name, string wanted)
    {
        var problem = await AssertProblemAsync(await app.As(null).GetAsync($"/search?{query}"), 400, "/problems/bad-request");

        Assert.Equal((name, $"Must be {wanted}."), (problem.GetProperty("field").GetString(), problem.GetProperty("errors").GetProperty(name)[0].GetString()));
        Assert.DoesNotContain("Nullable", problem.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_body_of_ten_megabytes_gets_413() =>
        await AssertProblemAsync(await app.As(null).PostAsync("/turns", SampleApp.Json($$"""{"times":1,"reason":"{{new string('x', 10_000_000)}}"}""")), 413, "/problems/body-too-large");

    [Fact]
    public async Task A_fault_gets_500_and_tells_nothing_of_it()
    {
        var reply = await app.As(null).GetAsync("/broken");

        await AssertProblemAsync(reply, 500, "/problems/internal-error");
        Assert.DoesNotContain("secret", await reply.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_text_that_cannot_be_stored_gets_400_and_does_not_spoil_the_connection_for_the_next()
    {
        for (var good = 0; good < 4; good++)
            Assert.Equal("text", await app.As(null).GetStringAsync("/kept?text=text"));

        await AssertProblemAsync(await app.As(null).GetAsync("/kept?text=a%00b"), 400, "/problems/bad-request");   // the fifth use, at which the statement is prepared

        Assert.Equal("text", await app.As(null).GetStringAsync("/kept?text=text"));
    }

    [Fact]
    public async Task A_neighbour_that_is_away_gets_503_and_when_to_come_back()
    {
        var reply = await app.As(null).GetAsync("/away");

        await AssertProblemAsync(reply, 503, "/problems/unavailable");
        Assert.Equal("1", reply.Headers.RetryAfter!.ToString());
        Assert.DoesNotContain("10.0.0.7", await reply.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Malformed_json_gets_400_and_the_position()
    {
        var reply = await app.As(null).PostAsync("/turns", SampleApp.Json("{\"times\": 1,\n \"reason\": oops}"));

        var problem = await AssertProblemAsync(reply, 400, "/problems/malformed-json");
        Assert.Equal((2, 12), (problem.GetProperty("line").GetInt32(), problem.GetProperty("position").GetInt32()));
    }

    [Fact]
    public async Task A_value_of_the_wrong_type_gets_400_and_the_field()
    {
        var reply = await app.As(null).PostAsync("/turns", SampleApp.Json("""{"times":"often","reason":"x"}"""));

        Assert.Equal("times", (await AssertProblemAsync(reply, 400, "/problems/malformed-json")).GetProperty("field").GetString());
    }

    [Theory]
    [InlineData("""{"times":1}""", "reason"), InlineData("""{"times":1,"reason":null}""", "reason"), InlineData("{}", "reason"), InlineData("null", "$")]
    public async Task What_cannot_be_missing_is_named(string body, string field)
    {
        var reply = await app.As(null).PostAsync("/turns", SampleApp.Json(body));

        var problem = await AssertProblemAsync(reply, 400, null);
        Assert.True(field == "$" || problem.GetProperty("errors").TryGetProperty(field, out _), problem.ToString());
    }

    [Theory]
    [InlineData(""), InlineData("null")]
    public async Task A_body_that_is_not_there_is_said_in_words_for_who_sent_it(string body)
    {
        var reply = await app.As(null).PostAsync("/turns", SampleApp.Json(body));

        Assert.Equal("There is no body; this address expects JSON.", (await AssertProblemAsync(reply, 400, "/problems/bad-request")).GetProperty("detail").GetString());
    }

    [Fact]
    public async Task Failed_attributes_get_422_with_every_field_as_it_is_called_on_the_wire()
    {
        var reply = await app.As(null).PostAsync("/turns", SampleApp.Json("""{"times":100,"reason":"x","knob":{"colour":""}}"""));

        var problem = await AssertProblemAsync(reply, 422, "/problems/validation");
        Assert.Equal(["knob.colour", "times"], problem.GetProperty("errors").EnumerateObject().Select(field => field.Name).Order());
    }

    [Fact]
    public async Task A_client_that_accepts_only_html_still_gets_the_document()
    {
        using var client = app.As(null);
        client.DefaultRequestHeaders.Accept.Add(new MediaTypeWithQualityHeaderValue("text/html"));

        await AssertProblemAsync(await client.PostAsync("/turns", SampleApp.Json("""{"times":0,"reason":"x"}""")), 422, "/problems/validation");
        await AssertProblemAsync(await client.GetAsync("/nowhere"), 404, "/problems/not-found");
    }

    [Fact]
    public async Task Readiness_names_what_is_missing_and_liveness_does_not_care()
    {
        await using var lonely = await SampleApp.StartAsync(settings: new() { ["Health:Sidecar"] = "true", ["DAPR_HTTP_ENDPOINT"] = $"http://127.0.0.1:{Ports.Free()}" });

        Assert.Equal(HttpStatusCode.OK, (await lonely.As(null).GetAsync("/livez")).StatusCode);
        var problem = await AssertProblemAsync(await lonely.As(null).GetAsync("/readyz"), 503, "/problems/not-ready");
        Assert.Equal(("ok", "no answer"), (problem.GetProperty("checks").GetProperty("database").GetString(), problem.GetProperty("checks").GetProperty("sidecar").GetString()));
        Assert.Equal(HttpStatusCode.OK, (await app.As(null).GetAsync("/readyz")).StatusCode);
    }

    private static async Task<JsonElement> AssertProblemAsync(HttpResponseMessage reply, int status, string? type)
    {
        var text = await reply.Content.ReadAsStringAsync();
        Assert.True((int)reply.StatusCode == status, $"{(int)reply.StatusCode} instead of {status}: {text}");
        Assert.Equal("application/problem+json", reply.Content.Headers.ContentType?.MediaType);
        var problem = JsonDocument.Parse(text).RootElement;
        Assert.Equal(status, problem.GetProperty("status").GetInt32());
        Assert.StartsWith("/problems/", problem.GetProperty("type").GetString(), StringComparison.Ordinal);
        Assert.False(string.IsNullOrEmpty(problem.GetProperty("title").GetString()));
        Assert.False(string.IsNullOrEmpty(problem.GetProperty("traceId").GetString()));
        if (type is not null)
            Assert.Equal(type, problem.GetProperty("type").GetString());
        return problem;
    }

    /// <summary>Nothing here changes it, so one will do.</summary>
    public sealed class OneApp : IAsyncLifetime
    {
        public SampleApp App { get; private set; } = null!;

        public async ValueTask InitializeAsync() => App = await SampleApp.StartAsync();

        public ValueTask DisposeAsync() => App.DisposeAsync();
    }

    private static string Hs256(string payload)
    {
        static string Part(byte[] bytes) => Convert.ToBase64String(bytes).TrimEnd('=').Replace('+', '-').Replace('/', '_');
        var signed = $"{Part(Encoding.UTF8.GetBytes("""{"alg":"HS256","typ":"JWT","kid":"test-key"}"""))}.{payload}";
        return $"{signed}.{Part(HMACSHA256.HashData(Encoding.UTF8.GetBytes(TestTokens.Jwks), Encoding.UTF8.GetBytes(signed)))}";
    }

    private static byte[] FromBase64Url(string text) =>
        Convert.FromBase64String(text.Replace('-', '+').Replace('_', '/').PadRight((text.Length + 3) / 4 * 4, '='));
}
