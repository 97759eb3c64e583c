using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Identity.Tokens;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Identity.Tests;

/// <summary>
/// Two replicas on one database. The second checks tokens with the keys that the first publishes, as every service does, so that the tests
/// use the tokens they are given.
/// </summary>
public sealed class IdentityFixture : IAsyncLifetime
{
    public const string OperatorPassword = "a password for the operator";

    public static Dictionary<string, string?> Settings => new()
    {
        ["Passwords:Iterations"] = "1000",
        ["SignInLimits:PerEmail"] = "100000",
        ["SignInLimits:PerAddress"] = "100000",
        ["Secrets:operator-password"] = OperatorPassword,
    };

    public ServiceUnderTest<Program> First { get; private set; } = null!;

    public ServiceUnderTest<Program> Identity { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        First = await ServiceUnderTest<Program>.StartAsync("identity", settings: Settings);
        using var anybody = First.As(null);
        var settings = Settings;
        settings["Auth:Jwks"] = await anybody.GetStringAsync(new Uri("/.well-known/jwks.json", UriKind.Relative));
        Identity = await ServiceUnderTest<Program>.StartAsync("identity", settings: settings, connectionString: First.ConnectionString);
    }

    public async ValueTask DisposeAsync()
    {
        await Identity.DisposeAsync();
        await First.DisposeAsync();
    }

    public HttpClient Anybody => Identity.As(null);

    public static string NewEmail() => $"ada-{Guid.NewGuid():N}@example.com";

    public async Task<Session> OpenAccountAsync(string? email = null, string password = "correct horse battery", string name = "Ada Lovelace")
    {
        using var response = await Anybody.PostAsync("/api/v1/accounts", new { email = email ?? NewEmail(), password, name });
        Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        return await response.ReadAsync<Session>();
    }

    public Task<HttpResponseMessage> SignInAsync(string email, string password) => Anybody.PostAsync("/api/v1/sessions", new { email, password });

    public Task<HttpResponseMessage> RefreshAsync(string refreshToken) => Anybody.PostAsync("/api/v1/sessions/refresh", new { refreshToken });
}

internal static class HttpWords
{
    public static Task<HttpResponseMessage> PostAsync(this HttpClient http, string path, object? body = null) =>
        http.PostAsync(new Uri(path, UriKind.Relative), body is null ? null : JsonContent.Create(body), TestContext.Current.CancellationToken);

    public static Task<HttpResponseMessage> PutAsync(this HttpClient http, string path, object body) =>
        http.PutAsync(new Uri(path, UriKind.Relative), JsonContent.Create(body), TestContext.Current.CancellationToken);

    public static Task<HttpResponseMessage> FetchAsync(this HttpClient http, string path) =>
        http.GetAsync(new Uri(path, UriKind.Relative), TestContext.Current.CancellationToken);

    public static Task<HttpResponseMessage> RemoveAsync(this HttpClient http, string path) =>
        http.DeleteAsync(new Uri(path, UriKind.Relative), TestContext.Current.CancellationToken);

    public static async Task<T> ReadAsync<T>(this HttpResponseMessage response) =>
        (await response.Content.ReadFromJsonAsync<T>(JsonSerializerOptions.Web, TestContext.Current.CancellationToken))!;

    /// <summary>The problem's slug, and that it is a problem document.</summary>
    public static async Task<JsonElement> ProblemAsync(this HttpResponseMessage response, HttpStatusCode status, string slug)
    {
        var text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(status == response.StatusCode, $"{(int)response.StatusCode}: {text}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        var problem = JsonDocument.Parse(text).RootElement;
        Assert.Equal($"/problems/{slug}", problem.GetProperty("type").GetString());
        return problem;
    }
}
