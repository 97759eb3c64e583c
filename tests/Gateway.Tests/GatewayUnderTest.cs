using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Marketplace.TestKit;
using Marketplace.WaitingRoom;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Marketplace.Gateway.Tests;

/// <summary>The real gateway on a real socket (paths are taken apart by Kestrel, not by a test server) before a sidecar that takes notes.</summary>
public sealed class GatewayUnderTest : WebApplicationFactory<Program>
{
    private const string TicketKey = "a2V5IHRoYXQgc2lnbnMgcXVldWUgdGlja2V0cyBpbiB0ZXN0cyE=";

    private readonly Dictionary<string, string?> settings;
    private readonly FakeTimeProvider? clock;

    private GatewayUnderTest(FakeSidecar sidecar, Dictionary<string, string?> settings, FakeTimeProvider? clock)
    {
        (Sidecar, this.settings, this.clock) = (sidecar, settings, clock);
        UseKestrel();   // a port given here would be set while Program may be starting the server already
    }

    /// <summary>What the gateway verifies tickets with.</summary>
    public static TicketKeys Tickets { get; } = TicketKeys.Parse(TicketKey);

    public FakeSidecar Sidecar { get; }

    public Uri Address { get; private set; } = null!;

    public static async Task<GatewayUnderTest> StartAsync(
        IReadOnlyDictionary<string, string?>? settings = null, FakeTimeProvider? clock = null)
    {
        var sidecar = await FakeSidecar.StartAsync();
        var all = new Dictionary<string, string?>
        {
            ["DAPR_HTTP_ENDPOINT"] = sidecar.Address,
            ["Auth:Jwks"] = TestTokens.Jwks,
            ["QueueTickets:Keys"] = TicketKey,
            ["Health:Sidecar"] = "false",
        };
        foreach (var (key, value) in settings ?? new Dictionary<string, string?>())
            all[key] = value;
        var gateway = new GatewayUnderTest(sidecar, all, clock);
        gateway.StartServer();
        gateway.Address = gateway.ClientOptions.BaseAddress;
        return gateway;
    }

    public HttpClient As(string? token)
    {
        var client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false }) { BaseAddress = Address };
        if (token is not null)
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return client;
    }

    /// <summary>A request byte for byte, as no decent client would send it. Gives the status, and 0 when the connection was closed without one.</summary>
    public async Task<(int Status, string Text)> RawAsync(string target, string method = "GET", params string[] headers)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(Address.Host, Address.Port, TestContext.Current.CancellationToken);
        await using var stream = socket.GetStream();
        var head = new StringBuilder().Append(method).Append(' ').Append(target).Append(" HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n");
        foreach (var header in headers)
            head.Append(header).Append("\r\n");
        await stream.WriteAsync(Encoding.Latin1.GetBytes(head.Append("\r\n").ToString()), TestContext.Current.CancellationToken);
        using var reader = new StreamReader(stream, Encoding.UTF8);
        var text = await reader.ReadToEndAsync(TestContext.Current.CancellationToken);
        return (text.Length > 12 ? int.Parse(text.AsSpan(9, 3), System.Globalization.CultureInfo.InvariantCulture) : 0, text);
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await Sidecar.DisposeAsync();
    }

    protected override void ConfigureWebHost(IWebHostBuilder builder)
    {
        foreach (var (key, value) in settings)
            builder.UseSetting(key, value);
        builder.UseUrls("http://127.0.0.1:0");
        builder.ConfigureLogging(logging => logging.SetMinimumLevel(LogLevel.Error));
        builder.ConfigureTestServices(services =>
        {
            if (clock is not null)
                services.AddSingleton<TimeProvider>(clock);
        });
    }
}

internal static class HttpWords
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static async Task<HttpResponseMessage> FetchAsync(this HttpClient http, string path, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(path, UriKind.Relative));
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        return await http.SendAsync(request, HttpCompletionOption.ResponseContentRead, Ct);
    }

    public static Task<HttpResponseMessage> SendAsync(this HttpClient http, string method, string path, HttpContent? content = null) =>
        http.SendAsync(new HttpRequestMessage(new HttpMethod(method), new Uri(path, UriKind.Relative)) { Content = content }, Ct);

    public static Task<HttpResponseMessage> PostJsonAsync(this HttpClient http, string path, object body) =>
        http.PostAsync(new Uri(path, UriKind.Relative), JsonContent.Create(body), Ct);

    public static Task<string> TextAsync(this HttpResponseMessage response) => response.Content.ReadAsStringAsync(Ct);

    public static string? Header(this HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out var values) || response.Content.Headers.TryGetValues(name, out values) ? string.Join(", ", values) : null;

    public static async Task<JsonElement> ProblemAsync(this HttpResponseMessage response, HttpStatusCode status, string slug)
    {
        var text = await response.TextAsync();
        Assert.True(status == response.StatusCode, $"{(int)response.StatusCode}: {text}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        var problem = JsonDocument.Parse(text).RootElement;
        Assert.Equal($"/problems/{slug}", problem.GetProperty("type").GetString());
        Assert.True(response.Headers.CacheControl is { NoStore: true, Private: true }, "a problem is nobody else's");
        return problem;
    }
}
