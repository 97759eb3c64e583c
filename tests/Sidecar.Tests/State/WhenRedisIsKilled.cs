using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Dapr;
using Dapr.Client;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.State;

/// <summary>The verb redis as a process of its own, killed with writes in flight.</summary>
public sealed class WhenRedisIsKilled
{
    [Fact]
    public async Task Every_write_that_was_acknowledged_is_there_when_it_is_back()
    {
        var folder = Directory.CreateTempSubdirectory("sidecar-tests-redis-").FullName;
        var port = Ports.Free();
        var redis = await StartAsync(port, folder);
        await using var sidecars = await SidecarsUnderTest.StartAsync($$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: store}
            spec:
              type: state.redis
              version: v1
              metadata: [{name: redisHost, value: "127.0.0.1:{{port}}"}]
            """, new AppUnderTest("shop"));
        using var dapr = sidecars.Client();
        var acknowledged = new int[8];
        var writers = Enumerable.Range(0, 8).Select(writer => WriteAsync(dapr, writer, acknowledged)).ToArray();
        await Eventually.Async(() => acknowledged.All(count => count > 20), "all writers are at work", TimeSpan.FromSeconds(60));

        redis.Kill();
        await redis.WaitForExitAsync();
        var before = acknowledged.ToArray();
        redis = await StartAsync(port, folder);
        await Task.WhenAll(writers);

        for (var writer = 0; writer < 8; writer++)
        {
            var index = writer;
            var read = -1;
            await Eventually.Async(async () =>
            {
                try
                {
                    read = await dapr.GetStateAsync<int>("store", $"writer-{index}");
                    return true;
                }
                catch (DaprException)
                {
                    return false;
                }
            }, "the connection is back", TimeSpan.FromSeconds(60));

            // The write in flight may have been kept or not.
            Assert.InRange(read, acknowledged[writer], acknowledged[writer] + 1);
            Assert.True(read >= before[writer]);
        }

        // Scripts are known to the new server again, too.
        await dapr.SaveStateAsync("store", "after", 1);
        Assert.Equal(1, await dapr.GetStateAsync<int>("store", "after"));
        redis.Kill();
        await redis.WaitForExitAsync();
        Directory.Delete(folder, recursive: true);
    }

    /// <summary>Counts up until the first write that fails.</summary>
    private static async Task WriteAsync(DaprClient dapr, int writer, int[] acknowledged)
    {
        for (var count = 1; ; count++)
        {
            try
            {
                await dapr.SaveStateAsync("store", $"writer-{writer}", count);
                acknowledged[writer] = count;
            }
            catch (DaprException)
            {
                return;
            }
        }
    }

    private static async Task<Process> StartAsync(int port, string folder)
    {
        var program = typeof(Marketplace.Local.Redis.RedisCommand).Assembly.Location;
        var process = Process.Start(new ProcessStartInfo("dotnet", [program, "redis", "--port", $"{port}", "--data", folder]) { RedirectStandardOutput = true })!;
        await Eventually.Async(async () =>
        {
            using var socket = new TcpClient();
            try
            {
                await socket.ConnectAsync(IPAddress.Loopback, port);
                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        }, "Garnet listens", TimeSpan.FromSeconds(60));
        return process;
    }
}
