using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Search.Engine;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Spectre.Console;

namespace Marketplace.Bench.Search;

/// <summary>The same catalogue in the running system: listed by a seller, found by events, rebuilt by the operator, searched through the gateway.</summary>
internal sealed class Market(Uri gateway, string operatorPassword) : IDisposable
{
    private const int ListedAtOnce = 500;
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(10);
    private readonly HttpClient http = new(new SocketsHttpHandler { MaxConnectionsPerServer = 256, PooledConnectionLifetime = Timeout.InfiniteTimeSpan }) { BaseAddress = new Uri(gateway, "/api/v1/"), Timeout = TimeSpan.FromSeconds(60) };
    private string token = "";

    public async Task<int> TotalAsync() => (await http.GetFromJsonAsync<JsonElement>("search?limit=1")).GetProperty("total").GetInt32();

    /// <returns>Seconds until the last was taken on, and until searches showed all.</returns>
    public async Task<(double Listed, double Found)> ListAsync(IReadOnlyList<IndexedListing> products, Action<double> progress)
    {
        var before = await TotalAsync();
        var email = $"seller-{Guid.NewGuid():N}@example.com";
        await SignInAsync("accounts", new { email, password = "correct horse battery", name = "Bench" });
        await SignInAsync("sellers", new { displayName = "Bench" });
        var (clock, done) = (Stopwatch.StartNew(), 0);
        using var renewing = new PeriodicTimer(TimeSpan.FromMinutes(2));
        var signedIn = RenewAsync();
        await Parallel.ForEachAsync(products.Chunk(ListedAtOnce), new ParallelOptions { MaxDegreeOfParallelism = 4 }, async (some, ct) =>
        {
            using var reply = await SendAsync(HttpMethod.Post, "products/bulk", new
            {
                products = some.Select(product => new { product.Title, product.Description, product.Brand, product.Category, product.Price }),
            });
            if (!reply.IsSuccessStatusCode)
                throw new InvalidOperationException($"The catalogue answered {reply.StatusCode}: {await reply.Content.ReadAsStringAsync(ct)}");
            progress(0.5 * Interlocked.Add(ref done, some.Length) / products.Count);
        });
        renewing.Dispose();
        await signedIn;
        var listed = clock.Elapsed.TotalSeconds;
        while (await TotalAsync() - before is var found && found < products.Count)
        {
            progress(0.5 + 0.5 * found / products.Count);
            if (clock.Elapsed > Longest)
                throw new TimeoutException($"Of {products.Count} listings searches show {found} after {Longest}.");
            await Task.Delay(100);
        }

        progress(1);
        return (listed, clock.Elapsed.TotalSeconds);

        async Task RenewAsync()
        {
            while (await renewing.WaitForNextTickAsync())
                await SignInAsync("sessions", new { email, password = "correct horse battery" });
        }
    }

    /// <summary>One command of the operator; answers what the service says of it at its end.</summary>
    public async Task<(double Seconds, int Read, int Removed)> RebuildAsync()
    {
        await SignInAsync("sessions", new { email = "operator@marketplace.local", password = operatorPassword });
        using (var started = await SendAsync(HttpMethod.Post, "operations/search/rebuild", null))
            started.EnsureSuccessStatusCode();
        while (true)
        {
            using var reply = await SendAsync(HttpMethod.Get, "operations/search/rebuild", null);
            var status = await reply.Content.ReadFromJsonAsync<JsonElement>();
            if (status.GetProperty("state").GetString() is var state && state != "running")
            {
                return state == "done"
                    ? ((status.GetProperty("endedAt").GetDateTimeOffset() - status.GetProperty("startedAt").GetDateTimeOffset()).TotalSeconds, status.GetProperty("read").GetInt32(), status.GetProperty("removed").GetInt32())
                    : throw new InvalidOperationException($"The rebuild ended as {status}");
            }

            await Task.Delay(200);
        }
    }

    /// <summary>Asks so many times a second, whether answers come or not.</summary>
    public async Task<Answers> PacedAsync(Func<int, string> path, int perSecond, TimeSpan time)
    {
        var asking = new List<Task<double>>();
        var clock = Stopwatch.StartNew();
        for (var number = 0; clock.Elapsed < time; number++)
        {
            var due = TimeSpan.FromSeconds((double)number / perSecond);
            if (due > clock.Elapsed)
                await Task.Delay(due - clock.Elapsed);
            asking.Add(AskAsync(path(number)));
        }

        return Answers.Of(await Task.WhenAll(asking), clock.Elapsed);
    }

    /// <summary>So many who ask again as soon as they have their answer.</summary>
    public async Task<Answers> SaturatedAsync(Func<int, string> path, int askers, TimeSpan time)
    {
        var (number, clock) = (-1, Stopwatch.StartNew());
        var took = await Task.WhenAll(Enumerable.Range(0, askers).Select(_ => Task.Run(async () =>
        {
            var mine = new List<double>();
            while (clock.Elapsed < time)
                mine.Add(await AskAsync(path(Interlocked.Increment(ref number))));
            return mine;
        })));
        return Answers.Of([.. took.SelectMany(mine => mine)], clock.Elapsed);
    }

    /// <summary>An endpoint of nothing but Kestrel that answers these bytes: as fast as any could be on this machine, asked by this program.</summary>
    public static async Task<WebApplication> FloorAsync(byte[] answer)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        app.Run(async context =>
        {
            context.Response.ContentType = "application/json";
            context.Response.ContentLength = answer.Length;
            await context.Response.Body.WriteAsync(answer);
        });
        await app.StartAsync();
        return app;
    }

    public async Task<byte[]> BytesAsync(string path) => await http.GetByteArrayAsync(path);

    public void Dispose() => http.Dispose();

    private async Task<double> AskAsync(string path)
    {
        var clock = Stopwatch.GetTimestamp();
        using var reply = await http.GetAsync(path);
        await reply.Content.CopyToAsync(Stream.Null);
        return reply.StatusCode == HttpStatusCode.OK ? Stopwatch.GetElapsedTime(clock).TotalMilliseconds : throw new InvalidOperationException($"{path} was answered with {reply.StatusCode}.");
    }

    private async Task SignInAsync(string path, object who)
    {
        using var reply = await SendAsync(HttpMethod.Post, path, who);
        if (!reply.IsSuccessStatusCode)
            throw new InvalidOperationException($"{path} was answered with {reply.StatusCode}: {await reply.Content.ReadAsStringAsync()}");
        token = (await reply.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("accessToken").GetString()!;
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, object? body)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : JsonContent.Create(body) };
        if (token.Length > 0 && path is not ("accounts" or "sessions"))
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return await http.SendAsync(request);
    }

    internal sealed record Answers(int Count, double PerSecond, double Median, double P95, double P99)
    {
        public static Answers Of(double[] took, TimeSpan time)
        {
            Array.Sort(took);
            return new Answers(took.Length, took.Length / time.TotalSeconds, took[took.Length / 2], took[took.Length * 95 / 100], took[took.Length * 99 / 100]);
        }
    }
}
