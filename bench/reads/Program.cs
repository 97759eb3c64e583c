using System.Diagnostics;
using System.Globalization;
using Marketplace.Bench;
using Marketplace.Bench.Reads;
using Spectre.Console;

// Product pages through the gateway of the launched system, beside a bare Kestrel that returns the same bytes. Needs wrk and PostgreSQL.
// dotnet run -c Release --project bench/reads -- [--products 10000] [--seconds 8] [--rounds 3] [--quick]
if (args is ["floor", var floorPort, var bodyFile, var headerFile])
{
    await Floor.RunAsync(floorPort, bodyFile, headerFile);
    return;
}

var quick = args.Contains("--quick");
var count = Number("--products", quick ? 1_000 : 10_000);
var time = TimeSpan.FromSeconds(Number("--seconds", quick ? 2 : 8));
var rounds = Number("--rounds", quick ? 1 : 3);
AnsiConsole.Profile.Width = 140;

await using var shop = await Shop.OpenAsync();
var ids = await shop.FillAsync(count + 600);
var unread = ids[count..];                                     // kept out of the mix, which reads nearly all there is
ids = ids[..count];
var hot = $"/api/v1/products/{ids[0]}";
var page = await shop.Http.GetAsync(hot);
var folder = Directory.CreateTempSubdirectory("reads-floor-").FullName;
var (body, header, names) = (Path.Combine(folder, "body"), Path.Combine(folder, "header"), Path.Combine(folder, "ids"));
await File.WriteAllBytesAsync(body, await page.Content.ReadAsByteArrayAsync());
await File.WriteAllLinesAsync(header, page.Headers.NonValidated.Concat(page.Content.Headers.NonValidated).Select(field => $"{field.Key}: {field.Value}"));
await File.WriteAllLinesAsync(names, ids.Select(id => id.ToString()));

int floorAt;
using (var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0))
{
    listener.Start();
    floorAt = ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
}

// With the settings of the runtime that dapr.yaml gives to every service, and in a session of its own as the launcher's processes are: Linux shares
// out processors by session, and one that shares with its load generator answers a third more while the machine does other things.
var floorStart = new ProcessStartInfo("setsid", ["dotnet", typeof(Wrk).Assembly.Location, "floor", $"{floorAt}", body, header]);
foreach (var (name, value) in new[] { ("DOTNET_gcServer", "0"), ("DOTNET_gcConcurrent", "0"), ("DOTNET_GCConserveMemory", "3"), ("DOTNET_TieredPGO", "0") })
    floorStart.Environment[name] = value;
using var floor = Process.Start(floorStart)!;
try
{
    var gateway = (Url: shop.System.GatewayUrl, Pid: shop.PidOf("gateway"));
    await WarmAsync($"http://127.0.0.1:{floorAt}/all", floor.Id);
    await WarmAsync($"http://127.0.0.1:{floorAt}/body", floor.Id);
    await WarmAsync(gateway.Url + hot, gateway.Pid);
    var (bare, same, hits, mix) = (new List<Load>(), new List<Load>(), new List<Load>(), new List<Load>());
    for (var round = 1; round <= rounds; round++)
    {
        // One after the other in each round, so that what else the machine does falls on all of them.
        bare.Add(await Wrk.RunAsync($"http://127.0.0.1:{floorAt}/body", time, floor.Id));
        hits.Add(await Wrk.RunAsync(gateway.Url + hot, time, gateway.Pid));
        same.Add(await Wrk.RunAsync($"http://127.0.0.1:{floorAt}/all", time, floor.Id));
        mix.Add(await Wrk.RunAsync(gateway.Url, time, gateway.Pid, Path.Combine(AppContext.BaseDirectory, "zipf.lua"), names, $"{round}"));
    }

    var best = bare.Max(load => load.Rate);
    var table = new Table().Title($"product pages of {new FileInfo(body).Length} bytes, wrk -t2 -c64, {rounds} × {time.TotalSeconds} s, the best round of each").RoundedBorder();
    foreach (var column in (string[])["what", "a second", "of the floor", "median ms", "p99 ms", "CPU ms each"])
        table.AddColumn(new TableColumn(column).RightAligned());
    table.Columns[0].LeftAligned();
    Row("floor: bare Kestrel, the same body", bare);
    Row("floor: bare Kestrel, the same body and header fields", same);
    Row("one hot page through the gateway", hits);
    Row($"{count} pages by Zipf through the gateway", mix);
    AnsiConsole.Write(table);

    void Row(string what, List<Load> loads)
    {
        var load = loads.MaxBy(one => one.Rate)!;
        table.AddRow(what, N(load.Rate, 0), $"{load.Rate / best:P0}", N(load.MedianMs, 2), N(load.P99Ms, 2), N(load.CpuMs, 4) + (load.Errors > 0 ? $" ({load.Errors} errors)" : ""));
    }

    // One connection, one after the other.
    var cold = unread[..(quick ? 100 : 500)];
    var latency = new Table().Title("one at a time").RoundedBorder();
    foreach (var column in (string[])["what", "median ms", "p95 ms", "p99 ms"])
        latency.AddColumn(new TableColumn(column).RightAligned());
    latency.Columns[0].LeftAligned();
    await OneByOneAsync("read by nobody before: gateway, catalogue, state store, database", cold);
    await Task.Delay(TimeSpan.FromSeconds(1.5));
    await OneByOneAsync("from the state store: gateway, catalogue", cold);
    await OneByOneAsync("from the gateway's memory", [.. Enumerable.Repeat(ids[0], cold.Count)]);
    AnsiConsole.Write(latency);

    async Task OneByOneAsync(string what, List<Guid> wanted)
    {
        var times = new List<double>();
        foreach (var id in wanted)
        {
            var began = Stopwatch.GetTimestamp();
            using var reply = await shop.Http.GetAsync($"/api/v1/products/{id}");
            await reply.Content.ReadAsByteArrayAsync();
            times.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
        }

        times.Sort();
        latency.AddRow(what, N(times[times.Count / 2], 2), N(times[(int)(times.Count * 0.95)], 2), N(times[(int)(times.Count * 0.99)], 2));
    }

    // Stampedes, each on a page that nobody has read: straight at the catalogue there would be no gateway to gather them.
    var rushes = unread[500..(quick ? 506 : 520)];
    using var catalog = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 400 }) { BaseAddress = new Uri($"http://127.0.0.1:{shop.System.Parts.First(part => part.Name == "catalog").Port}") };
    foreach (var (what, door, rushed) in new[] { ("through the gateway", shop.Http, rushes[..(rushes.Count / 2)]), ("at the catalogue", catalog, rushes[(rushes.Count / 2)..]) })
    {
        await Task.Delay(TimeSpan.FromSeconds(11));      // a connection at rest tells the statistics after ten
        var before = await shop.ReadsAsync();
        var times = new List<double>();
        foreach (var id in rushed)
        {
            var began = Stopwatch.GetTimestamp();
            await Task.WhenAll(Enumerable.Range(0, 400).Select(async _ =>
            {
                using var reply = await door.GetAsync($"/api/v1/products/{id}");
                reply.EnsureSuccessStatusCode();
            }));
            times.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
        }

        await Task.Delay(TimeSpan.FromSeconds(11));      // a connection at rest tells the statistics after ten
        AnsiConsole.WriteLine($"400 at once on a page that nobody has read, {what}: all answered in {N(times.Order().ElementAt(times.Count / 2), 0)} ms (median), {N(1.0 * (await shop.ReadsAsync() - before) / rushed.Count, 1)} reads of the database each");
    }
}
finally
{
    floor.Kill();
    Directory.Delete(folder, recursive: true);
}

int Number(string option, int otherwise) => int.Parse(args.SkipWhile(arg => arg != option).ElementAtOrDefault(1) ?? $"{otherwise}", CultureInfo.InvariantCulture);

static string N(double value, int digits) => value.ToString($"N{digits}", CultureInfo.InvariantCulture);

static async Task WarmAsync(string url, int pid)
{
    using var http = new HttpClient();
    for (var tried = 0; ; tried++)
    {
        try
        {
            using var reply = await http.GetAsync(url);
            break;
        }
        catch (HttpRequestException) when (tried < 100)
        {
            await Task.Delay(100);
        }
    }

    await Wrk.RunAsync(url, TimeSpan.FromSeconds(4), pid);      // compiled by now
}
