using System.Diagnostics;
using Marketplace.Payments.Charges;
using Marketplace.TestKit;

namespace Marketplace.Payments.Tests;

/// <summary>A replica in a process of its own, on the till's database and provider.</summary>
public sealed class PaymentsProcess : IAsyncDisposable
{
    private readonly Process process;
    private readonly HttpClient http;

    private PaymentsProcess(Process process, Uri address)
    {
        this.process = process;
        http = new HttpClient { BaseAddress = address };
        http.DefaultRequestHeaders.Add("dapr-api-token", ServiceUnderTest<Program>.AppToken);
    }

    public static async Task<PaymentsProcess> StartAsync(Till till, params (string Name, string Value)[] settings)
    {
        var address = new Uri($"http://127.0.0.1:{Ports.Free()}");
        var start = new ProcessStartInfo("dotnet", [typeof(Program).Assembly.Location]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in Till.SettingsFor(till.ProviderAddress, settings))
            start.Environment[name.Replace(":", "__", StringComparison.Ordinal)] = value;
        start.Environment["ConnectionStrings__payments"] = till.Payments.ConnectionString;
        start.Environment["ASPNETCORE_URLS"] = address.ToString();
        start.Environment["APP_API_TOKEN"] = ServiceUnderTest<Program>.AppToken;
        start.Environment["Outbox__Publish"] = "false";
        start.Environment["Health__Sidecar"] = "false";
        start.Environment.Remove("APP_PORT");
        var process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        var payments = new PaymentsProcess(process, address);
        await Eventually.Async(payments.LivesAsync, "the process answers", TimeSpan.FromSeconds(30));
        return payments;
    }

    public Task<ChargeReply> ChargeAsync(A.Charge charge) => Till.ChargeAsync(http, charge);

    public async Task SignalAsync(string signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", $"{process.Id}"]);
        await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, kill.ExitCode);
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
            process.Kill();
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
