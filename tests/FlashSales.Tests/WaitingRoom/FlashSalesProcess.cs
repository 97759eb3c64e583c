using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using Marketplace.FlashSales.Sales;
using Marketplace.FlashSales.WaitingRoom;
using Marketplace.TestKit;

namespace Marketplace.FlashSales.Tests.WaitingRoom;

/// <summary>A replica in a process of its own, on another one's database, to be killed.</summary>
internal sealed class FlashSalesProcess : IAsyncDisposable
{
    private readonly Process process;
    private readonly HttpClient http;

    private FlashSalesProcess(Process process, Uri address) => (this.process, http) = (process, new HttpClient { BaseAddress = address });

    public static async Task<FlashSalesProcess> StartAsync(FlashSalesFixture shop)
    {
        var address = new Uri($"http://127.0.0.1:{Ports.Free()}");
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "FlashSales.dll")]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in new Dictionary<string, string>
        {
            ["ASPNETCORE_URLS"] = address.ToString(),
            ["ConnectionStrings__flashsales"] = shop.Service.ConnectionString!,
            ["Auth__Jwks"] = TestTokens.Jwks,
            ["QueueTickets__Keys"] = FlashSalesFixture.TicketKey,
            ["APP_API_TOKEN"] = ServiceUnderTest<Program>.AppToken,
            ["Outbox__Publish"] = "false",
            ["Health__Sidecar"] = "false",
            ["Logging__LogLevel__Default"] = "Warning",
        })
            start.Environment[name] = value;
        start.Environment.Remove("APP_PORT");
        var process = Process.Start(start)!;
        process.OutputDataReceived += (_, line) => TestContext.Current.SendDiagnosticMessage($"{line.Data}");
        process.ErrorDataReceived += (_, line) => TestContext.Current.SendDiagnosticMessage($"{line.Data}");
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        var replica = new FlashSalesProcess(process, address);
        await Eventually.Async(replica.LivesAsync, "the process answers", TimeSpan.FromSeconds(60));
        return replica;
    }

    /// <summary>Null: it gave no answer.</summary>
    public async Task<QueueReply?> TryJoinAsync(Sale sale, Guid buyer, CancellationToken ct)
    {
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, $"/api/v1/flash-sales/{sale.SaleId}/queue");
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", TestTokens.Buyer(buyer));
            using var reply = await http.SendAsync(request, ct);
            Assert.Equal(HttpStatusCode.OK, reply.StatusCode);
            return await reply.Content.ReadFromJsonAsync<QueueReply>(ct);
        }
        catch (Exception gone) when (gone is HttpRequestException or IOException)
        {
            return null;
        }
    }

    /// <summary>As kill -9 does.</summary>
    public void Kill() => process.Kill();

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited) process.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
        http.Dispose();
    }

    private async Task<bool> LivesAsync()
    {
        Assert.False(process.HasExited, "The process ended while starting.");
        try
        {
            using var reply = await http.GetAsync("/livez");
            return reply.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }
}
