using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Marketplace.Bench.Reads;

namespace Marketplace.Bench.FlashSale;

/// <summary>What the machine does without us: one counter in Redis, one answer by a bare Kestrel.</summary>
internal static class Floors
{
    /// <summary>DECRs a second by redis-benchmark with 50 connections and no pipeline, on a redis-server of its own that keeps nothing; null where it is not installed.</summary>
    public static async Task<double?> RedisDecrAsync(int requests)
    {
        var port = FreePort();
        try
        {
            using var server = Process.Start(new ProcessStartInfo("redis-server", ["--port", $"{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]) { RedirectStandardOutput = true })!;
            try
            {
                _ = server.StandardOutput.ReadToEndAsync();
                await AnswersAsync(port);
                var best = 0.0;
                for (var round = 0; round < 3; round++)
                {
                    using var bench = Process.Start(new ProcessStartInfo("redis-benchmark", ["-p", $"{port}", "-P", "1", "-n", $"{requests}", "--csv", "DECR", "units"]) { RedirectStandardOutput = true })!;
                    var text = await bench.StandardOutput.ReadToEndAsync();
                    await bench.WaitForExitAsync();
                    var line = text.Split('\n').First(line => line.StartsWith("\"DECR", StringComparison.Ordinal));
                    best = Math.Max(best, double.Parse(line.Split(',')[1].Trim('"'), CultureInfo.InvariantCulture));
                }

                return best;
            }
            finally
            {
                server.Kill();
                await server.WaitForExitAsync();
            }
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }

    /// <summary>Polls by wrk as fast as they are answered, one ticket: through the gateway, and a bare Kestrel that gives the same bytes; null where there is no wrk.</summary>
    public static async Task<(Load Bare, Load Gateway)?> PollsAsync(Uri gateway, int gatewayPid, string path, string ticket, TimeSpan time)
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(gateway, path));
        request.Headers.Add("Queue-Ticket", ticket);
        using var reply = await http.SendAsync(request);
        reply.EnsureSuccessStatusCode();

        var folder = Directory.CreateTempSubdirectory("flash-sale-floor-").FullName;
        var (body, header, script) = (Path.Combine(folder, "body"), Path.Combine(folder, "header"), Path.Combine(folder, "ticket.lua"));
        await File.WriteAllBytesAsync(body, await reply.Content.ReadAsByteArrayAsync());
        await File.WriteAllLinesAsync(header, reply.Headers.NonValidated.Concat(reply.Content.Headers.NonValidated).Where(field => field.Key != "Transfer-Encoding").Select(field => $"{field.Key}: {field.Value}"));
        await File.WriteAllTextAsync(script, $"wrk.headers[\"Queue-Ticket\"] = \"{ticket}\"\n");
        var port = FreePort();
        var start = new ProcessStartInfo("setsid", ["dotnet", typeof(Wrk).Assembly.Location, "floor", $"{port}", body, header]);
        foreach (var (name, value) in new[] { ("DOTNET_gcServer", "0"), ("DOTNET_gcConcurrent", "0"), ("DOTNET_GCConserveMemory", "3"), ("DOTNET_TieredPGO", "0") })
            start.Environment[name] = value;
        using var floor = Process.Start(start)!;
        try
        {
            await AnswersAsync(port);
            var (bare, ours) = ($"http://127.0.0.1:{port}/all", new Uri(gateway, path).ToString());
            await Wrk.RunAsync(bare, TimeSpan.FromSeconds(2), floor.Id, script);
            await Wrk.RunAsync(ours, TimeSpan.FromSeconds(2), gatewayPid, script);
            return (await Wrk.RunAsync(bare, time, floor.Id, script), await Wrk.RunAsync(ours, time, gatewayPid, script));
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
        finally
        {
            floor.Kill();
            Directory.Delete(folder, recursive: true);
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static async Task AnswersAsync(int port)
    {
        for (var tried = 0; ; tried++)
        {
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync(IPAddress.Loopback, port);
                return;
            }
            catch (SocketException) when (tried < 100)
            {
                await Task.Delay(100);
            }
        }
    }
}
