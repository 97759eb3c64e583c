using System.Text.Json;
using Marketplace.WaitingRoom;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Marketplace.Gateway.Tests.FlashSales;

/// <summary>One sale, as the service of flash sales tells the gateway of it; a test changes it and waits until the gateway has heard.</summary>
internal sealed class Drop : IAsyncDisposable
{
    public const string Admissions = "/v1.0/invoke/flashsales/method/internal/flash-sales/admissions";

    private volatile Func<HttpContext, Task>? away;

    private Drop(GatewayUnderTest gateway, FakeTimeProvider clock)
    {
        (Gateway, Clock) = (gateway, clock);
        Sale = new Admission(
            Guid.CreateVersion7(), SalePhase.Open, Now.AddSeconds(-10), Now.AddHours(1), new byte[StartDraw.SeedSize], 0,
            Now, Head: 100, Rate: 10, Room: 1_000, ExpiredBelow: 20, AdmissionSeconds: 120, Remaining: 100);
        gateway.Sidecar.Answer = http => http.Request.Path == Admissions
            ? away is { } gone ? gone(http) : http.Response.WriteAsJsonAsync(new AdmissionsReply(ServiceTime ?? Now, Sale is { } sale ? [sale] : []), JsonSerializerOptions.Web)
            : (Forwarded ?? (passed => passed.Response.WriteAsJsonAsync(new { ok = true })))(http);
    }

    public GatewayUnderTest Gateway { get; }

    public FakeTimeProvider Clock { get; }

    public Admission Sale { get; set; }

    /// <summary>The service's clock where it differs from the gateway's.</summary>
    public DateTimeOffset? ServiceTime { get; set; }

    public Func<HttpContext, Task>? Forwarded { get; set; }

    public DateTimeOffset Now => Clock.GetUtcNow();

    public string Queue => $"/api/v1/flash-sales/{Sale.SaleId}/queue";

    public string Claims => $"/api/v1/flash-sales/{Sale.SaleId}/claims";

    public IReadOnlyList<Arrived> Passed => [.. Gateway.Sidecar.Arrived.Where(arrived => arrived.Target != Admissions)];

    public int Asked => Gateway.Sidecar.Arrived.Count(arrived => arrived.Target == Admissions);

    public static async Task<Drop> StartAsync(IReadOnlyDictionary<string, string?>? settings = null)
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        return new(await GatewayUnderTest.StartAsync(settings, clock), clock);
    }

    public void IsAway(Func<HttpContext, Task> answer) => away = answer;

    public void IsBack() => away = null;

    /// <param name="rank">Where the draw of nobody and a late number put it: rank and number are the same.</param>
    public Ticket At(long rank, Guid? buyer = null, Guid? sale = null) => new(sale ?? Sale.SaleId, buyer ?? Guid.NewGuid(), Late: true, rank, Now.AddHours(2));

    public static string Signed(Ticket ticket) => GatewayUnderTest.Tickets.Sign(ticket);

    public async Task<JsonElement> PollAsync(Ticket? ticket)
    {
        using var response = await AskAsync(ticket is null ? null : Signed(ticket));
        var text = await response.TextAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        var standing = JsonDocument.Parse(text).RootElement;
        Assert.Equal(standing.GetProperty("pollAfterSeconds").GetInt32().ToString(System.Globalization.CultureInfo.InvariantCulture), response.Header("Retry-After"));
        return standing;
    }

    public Task<HttpResponseMessage> AskAsync(string? ticket, string? token = null) =>
        Gateway.As(token).FetchAsync(Queue, ticket is null ? [] : [("Queue-Ticket", ticket)]);

    public async Task<HttpResponseMessage> ClaimAsync(string? ticket, Guid buyer, int quantity = 1)
    {
        using var client = Gateway.As(TestKit.TestTokens.Buyer(buyer));
        if (ticket is not null)
            client.DefaultRequestHeaders.Add("Queue-Ticket", ticket);
        return await client.PostJsonAsync(Claims, new { quantity });
    }

    public ValueTask DisposeAsync() => Gateway.DisposeAsync();
}
