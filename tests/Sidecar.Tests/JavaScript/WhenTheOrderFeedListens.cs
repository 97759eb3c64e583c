using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Local.Launcher;
using Marketplace.Local.Redis;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.JavaScript;

/// <summary>samples/order-feed-node as dapr.yaml starts it, two replicas of it behind two sidecars.</summary>
public sealed class WhenTheOrderFeedListens : IAsyncLifetime
{
    private const string Token = "feed-token";

    private readonly string redisFolder = Directory.CreateTempSubdirectory("sidecar-tests-redis-").FullName;
    private int[] ports = [];
    private readonly List<Process> replicas = [];
    private readonly List<string> written = [];
    private IDisposable garnet = null!;
    private SidecarsUnderTest sidecars = null!;

    private static string Sample => Path.Combine(SourceTree.Find().Root, "samples", "order-feed-node");

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        if (await NodePrograms.PrepareAsync(Sample) is { } reason) Assert.Skip(reason);
        ports = [Ports.Free(), Ports.Free()];
        var redis = Ports.Free();
        garnet = RedisCommand.Start(redis, redisFolder, "secret");
        sidecars = await SidecarsUnderTest.StartAsync($$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: pubsub}
            spec: {type: pubsub.in-memory, version: v1, metadata: []}
            ---
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: order-feed}
            spec:
              type: state.redis
              version: v1
              metadata: [{name: redisHost, value: "127.0.0.1:{{redis}}"}, {name: redisPassword, value: secret}]
            ---
            apiVersion: dapr.io/v1alpha1
            kind: Resiliency
            metadata: {name: messages}
            spec:
              policies:
                retries:
                  restart: {policy: constant, duration: 200ms, maxRetries: 100}
              targets:
                components:
                  pubsub:
                    inbound: {retry: restart}
            """,
            new AppUnderTest("order-feed", ports[0], AppToken: Token), new AppUnderTest("order-feed", ports[1], AppToken: Token), new AppUnderTest("ordering", AppToken: Token));
        foreach (var replica in (int[])[0, 1]) Start(replica);
        await sidecars.ReadyAsync();
        await Eventually.Async(async () => await TotalsAsync() is not null, "the feed answers");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var replica in replicas)
        {
            if (!replica.HasExited) replica.Kill(entireProcessTree: true);
            await replica.WaitForExitAsync();
            replica.Dispose();
        }

        if (TestContext.Current.TestState?.Result == TestResult.Failed)
            foreach (var line in written) TestContext.Current.TestOutputHelper?.WriteLine(line);
        if (sidecars is not null) await sidecars.DisposeAsync();
        garnet?.Dispose();
        Directory.Delete(redisFolder, recursive: true);
    }

    [Fact]
    public async Task Every_order_counts_once_over_redeliveries_and_a_killed_replica()
    {
        var events = Enumerable.Range(1, 40).SelectMany(Story).ToList();
        // Twice each, in no order, and in the middle of it one of the two replicas dies and comes back.
        var sending = Parallel.ForEachAsync(events.Concat(events).OrderBy(_ => Random.Shared.Next()), new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = Ct }, async (sent, ct) =>
        {
            using var dapr = sidecars.Client(2);
            await dapr.PublishEventAsync("pubsub", sent.Topic, (object)sent.Event, ct);
        });
        replicas[0].Kill(entireProcessTree: true);
        await replicas[0].WaitForExitAsync(Ct);
        Start(0);
        await sending;

        JsonElement? totals = null;
        await Eventually.Async(
            async () =>
            {
                totals = await TotalsAsync();
                return totals?.GetProperty("orders").GetProperty("created").GetInt32() == 40 && totals.Value.GetProperty("orders").GetProperty("cancelled").GetInt32() == 10
                    && totals.Value.GetProperty("orders").GetProperty("confirmed").GetInt32() == 40;
            },
            "everything is counted",
            TimeSpan.FromSeconds(60));
        await Eventually.Async(() => IsAliveAsync(ports[0]), "the killed replica is back");
        await Task.WhenAll(Enumerable.Range(0, 5).Select(n => RepeatAsync(events[n])));

        // Forty orders of 100·n pence, every fourth of them cancelled.
        var expected = Enumerable.Range(1, 40).Where(n => n % 4 != 0).Sum(n => 100L * n);
        totals = await TotalsAsync();
        var revenue = Assert.Single(totals!.Value.GetProperty("revenue").EnumerateArray());
        Assert.Equal((expected, "GBP"), (revenue.GetProperty("minor").GetInt64(), revenue.GetProperty("currency").GetString()));
        using var http = sidecars.Http(2);
        var recent = await http.GetFromJsonAsync<JsonElement>("/v1.0/invoke/order-feed/method/orders/recent", Ct);
        Assert.Equal(20, recent.GetProperty("items").GetArrayLength());
        Assert.Equal("cancelled", recent.GetProperty("items")[0].GetProperty("status").GetString());
    }

    [Fact]
    public async Task Only_the_sidecar_gets_in_and_a_stop_is_orderly()
    {
        using var outside = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{ports[0]}") };
        foreach (var path in (string[])["/totals", "/orders/recent", "/dapr/subscribe"])
        {
            using var refused = await outside.GetAsync(path, Ct);
            Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        }

        using var told = await outside.PostAsJsonAsync("/pubsub--order-confirmed--default", new { data = new { orderId = "forged" } }, Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, told.StatusCode);
        using var alive = await outside.GetAsync("/livez", Ct);
        Assert.Equal(HttpStatusCode.OK, alive.StatusCode);

        Signals.Send(replicas[0].Id, Signals.Terminate);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        await replicas[0].WaitForExitAsync(limit.Token);
        Assert.Equal(0, replicas[0].ExitCode);
    }

    [Fact]
    public async Task What_cannot_be_an_order_goes_to_the_dead_letters()
    {
        using var dapr = sidecars.Client(2);
        await dapr.PublishEventAsync("pubsub", OrderConfirmed.Topic, new { nothing = "of use" }, Ct);
        await Eventually.Async(
            () =>
            {
                lock (written) return written.Any(line => line.Contains("Given up", StringComparison.Ordinal) && line.Contains("of use", StringComparison.Ordinal));
            },
            "it is given up");
    }

    private static IEnumerable<(string Topic, DomainEvent Event)> Story(int number)
    {
        var (order, buyer, total, contact) = (Guid.CreateVersion7(), Guid.NewGuid(), Money.Gbp(100 * number), new OrderContact("ada@example.com", "Ada"));
        var at = new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero).AddMinutes(number);
        yield return (OrderCreated.Topic, new OrderCreated(order, buyer, total, []) { OccurredAt = at });
        yield return (OrderConfirmed.Topic, new OrderConfirmed(order, 1, buyer, Guid.NewGuid(), total, [], [], new PostalAddress("Ada", "1 Road", null, "London", "N1", "GB"), contact) { OccurredAt = at.AddSeconds(1) });
        if (number % 4 == 0) yield return (OrderCancelled.Topic, new OrderCancelled(order, 1, buyer, total, "changed my mind", Refunded: true, contact) { OccurredAt = at.AddSeconds(2) });
    }

    /// <summary>Hands an event to both replicas directly, as a broker would that lost an acknowledgement.</summary>
    private async Task RepeatAsync((string Topic, DomainEvent Event) sent)
    {
        foreach (var port in ports)
        {
            using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
            http.DefaultRequestHeaders.Add("dapr-api-token", Token);
            using var body = new StringContent(
                JsonSerializer.Serialize(new { id = sent.Event.EventId, specversion = "1.0", type = "com.dapr.event.sent", source = "ordering", data = (object)sent.Event }, JsonSerializerOptions.Web),
                Encoding.UTF8,
                "application/cloudevents+json");
            using var answer = await http.PostAsync($"/pubsub--{sent.Topic.Replace('.', '-').Replace('_', '-')}--default", body, Ct);
            Assert.Equal("SUCCESS", (await answer.Content.ReadFromJsonAsync<JsonElement>(Ct)).GetProperty("status").GetString());
        }
    }

    private static async Task<bool> IsAliveAsync(int port)
    {
        using var http = new HttpClient();
        try
        {
            using var answer = await http.GetAsync(new Uri($"http://127.0.0.1:{port}/livez"), Ct);
            return answer.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private async Task<JsonElement?> TotalsAsync()
    {
        using var http = sidecars.Http(2);
        using var answer = await http.GetAsync("/v1.0/invoke/order-feed/method/totals", Ct);
        return answer.IsSuccessStatusCode ? await answer.Content.ReadFromJsonAsync<JsonElement>(Ct) : null;
    }

    private void Start(int replica)
    {
        var process = Process.Start(new ProcessStartInfo("sh", ["start.sh"])
        {
            WorkingDirectory = Sample,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment =
            {
                ["ORDER_FEED"] = "on",
                ["APP_PORT"] = ports[replica].ToString(CultureInfo.InvariantCulture),
                ["APP_API_TOKEN"] = Token,
                ["DAPR_HTTP_PORT"] = sidecars.HttpPort(replica).ToString(CultureInfo.InvariantCulture),
            },
        })!;
        process.OutputDataReceived += (_, line) => Remember(replica, line.Data);
        process.ErrorDataReceived += (_, line) => Remember(replica, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        if (replicas.Count > replica) replicas[replica] = process;
        else replicas.Add(process);
    }

    private void Remember(int replica, string? line)
    {
        if (line is null) return;
        lock (written) written.Add($"[{replica}] {line}");
    }
}
