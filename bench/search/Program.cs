using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Marketplace.Bench;
using Marketplace.Bench.Search;
using Marketplace.Contracts;
using Marketplace.Search.Engine;
using Marketplace.Search.Querying;
using Spectre.Console;

// Search at a hundred thousand products, or as many as wanted.
//   dotnet run -c Release --project bench/search -- [--products 100000] [--queries 3000] [--quick] [--reading]
// in process: rebuild, events, queries of several kinds, suggestions; hot answers are switched off but for the last row.
// --quick: small numbers, to see that it runs. --reading: only what is needed to ask.
//   … -- --gateway http://127.0.0.1:8080 [--operator-password …] [--products 100000] [--seconds 30] [--reading]
// in the running system: listed by a seller, found by events, rebuilt by the operator, searched through the gateway. See run.sh.
var quick = args.Contains("--quick");
var count = Number("--products", quick ? 5_000 : 100_000);
var asked = Number("--queries", quick ? 300 : 3_000);
AnsiConsole.Profile.Width = 140;
var many = new ManyProducts(seed: 4);
var products = many.Make(count);
string[] titles = [.. products.Where((_, number) => number % Math.Max(1, count / 50_000) == 0).Select(product => product.Title)];
var queries = many.Queries(titles, asked);
var beginnings = many.Beginnings(titles, asked);
if (Text("--gateway") is { } gateway)
{
    await ThroughTheMarketAsync(new Uri(gateway));
    return;
}

await using var bed = await Bed.StartAsync();
await using var hot = await Bed.StartAsync(hotQueries: 2_000);
var writing = NewTable($"writing, {count} products", "what", "seconds", "a second", "CPU seconds");
await WriteAsync("floor: one document's text analysed, nothing kept", count, () =>
{
    foreach (var product in products)
        ProductText.WordsOf($"{product.Title} {product.Description}");
    return Task.CompletedTask;
});
await WriteAsync("rebuild: a new index", count, () => ShowAsync("a new index", progress => bed.FillAsync(products, read => progress((double)read / count))));
if (!args.Contains("--reading"))
    await ChangeAsync();
AnsiConsole.Write(writing);

var reading = NewTable($"reading, {count} products, one after the other", "what", "median ms", "p95 ms", "p99 ms", "CPU: p99 ms", "CPU: mean ms");
foreach (var warm in queries.Take(asked / 5))
    await FindAsync(bed, warm);
await ReadAsync("words, by relevance", queries, words => FindAsync(bed, words));
await ReadAsync("words, again", queries, words => FindAsync(bed, words));
await ReadAsync("words, all facets", queries, words => FindAsync(bed, words, facets: [Facets.All]));
await ReadAsync("words, one shelf, cheapest first", queries, words => FindAsync(bed, words, new Filters([new Chosen(Facets.Category, ["kitchen"])]), Order.Cheapest));
await ReadAsync("one shelf in stock, newest first", queries, _ => FindAsync(bed, "", new Filters([new Chosen(Facets.Category, ["kitchen"])], InStock: true), Order.Newest));
await ReadAsync("everything, all facets", [.. queries.Take(asked / 10)], _ => FindAsync(bed, "", facets: [Facets.All]));
await ReadAsync("suggestions", beginnings, async typed => await bed.Engine.CompleteAsync(typed, 10, CancellationToken.None));
await ReadAsync("suggestions, again", beginnings, async typed => await bed.Engine.CompleteAsync(typed, 10, CancellationToken.None));
await ReadAsync("suggestions, hot ones from memory", beginnings, async typed => await bed.Suggestions.OfAsync(typed, CancellationToken.None));
await hot.FillAsync(products.Take(1_000));
await ReadAsync("floor: an answer kept in memory", [.. queries.Select(_ => queries[0])], words => FindAsync(hot, words));
await ReadAsync("floor: half a millisecond of counting", queries, _ => CountAsync());
AnsiConsole.Write(reading);
GC.Collect();
AnsiConsole.WriteLine($"heap {GC.GetTotalMemory(forceFullCollection: true) / 1024 / 1024} MB, working set {Environment.WorkingSet / 1024 / 1024} MB, index on disk {Directory.GetFiles(bed.Folder, "*", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length) / 1024 / 1024} MB");

string? Text(string option) => args.SkipWhile(arg => arg != option).ElementAtOrDefault(1);

int Number(string option, int otherwise) => int.Parse(Text(option) ?? $"{otherwise}", CultureInfo.InvariantCulture);

static Table NewTable(string title, params string[] columns)
{
    var table = new Table().Title(title).RoundedBorder();
    foreach (var column in columns)
        table.AddColumn(new TableColumn(column).RightAligned());
    table.Columns[0].LeftAligned();
    return table;
}

static Task ShowAsync(string what, Func<Action<double>, Task> work) => AnsiConsole.Progress().HideCompleted(true).StartAsync(async shown =>
{
    var bar = shown.AddTask(what);
    await work(part => bar.Value = 100 * part);
});

// As long as a search may take: what the machine's other work does to it.
static Task CountAsync()
{
    var until = ThreadCpu.Milliseconds + 0.5;
    while (ThreadCpu.Milliseconds < until)
        Thread.SpinWait(20);
    return Task.CompletedTask;
}

async Task ThroughTheMarketAsync(Uri address)
{
    using var market = new Market(address, Text("--operator-password") ?? "operator-password-1");
    if (!args.Contains("--reading"))
    {
        var written = NewTable($"writing through the running system, {count} products", "what", "seconds", "a second");
        IndexedListing[] all = [.. products];
        var (listed, found) = (0.0, 0.0);
        await ShowAsync("listed and found", async progress => (listed, found) = await market.ListAsync(all, progress));
        written.AddRow("listed by their seller, 500 at a time", $"{listed:0.0}", $"{count / listed:0}");
        written.AddRow("found by shoppers, through events, from the first request", $"{found:0.0}", $"{count / found:0}");
        var (seconds, read, removed) = await market.RebuildAsync();
        written.AddRow($"rebuilt by one command: {read} read, {removed} removed", $"{seconds:0.0}", $"{read / seconds:0}");
        AnsiConsole.Write(written);
    }

    var time = TimeSpan.FromSeconds(Number("--seconds", quick ? 3 : 30));
    var total = await market.TotalAsync();
    var table = NewTable($"through the gateway, {total} products, each answer a page of 20", "what", "median ms", "p95 ms", "p99 ms", "a second");
    // One in two asks what nobody asked before; the others what many ask: the n-th most wanted about 1/n as often as the first.
    var random = new Random(4);
    var distinct = new Queue<string>(many.Queries(titles, 400_000));
    var wanted = many.Queries(titles, 2_000);
    string Distinct(int _) { lock (distinct) return $"search?q={Uri.EscapeDataString(distinct.Dequeue())}"; }
    string Shoppers(int number) { lock (distinct) return random.Next(2) == 0 ? Distinct(number) : $"search?q={Uri.EscapeDataString(wanted[(int)(wanted.Count * Math.Pow(random.NextDouble(), 4))])}"; }
    var typing = new Queue<string>(many.Beginnings(titles, 200_000));
    string Typing(int _) { lock (typing) return $"suggestions?q={Uri.EscapeDataString(typing.Dequeue())}"; }

    await using var floor = await Market.FloorAsync(await market.BytesAsync(Distinct(0)));
    using var bare = new Market(new Uri(floor.Urls.First()), "");
    await market.SaturatedAsync(Shoppers, 16, TimeSpan.FromSeconds(quick ? 1 : 5));     // compiled before it is measured
    await bare.SaturatedAsync(Shoppers, 16, TimeSpan.FromSeconds(1));
    Row("floor: a bare endpoint with the same bytes, 50 a second", await bare.PacedAsync(_ => "search", 50, time / 3));
    Row("all distinct, 50 a second", await market.PacedAsync(Distinct, 50, time));
    Row("as shoppers ask, 50 a second", await market.PacedAsync(Shoppers, 50, time));
    Row("suggestions, all typed by others, 50 a second", await market.PacedAsync(Typing, 50, time / 3));
    Row("floor: a bare endpoint with the same bytes, 32 askers", await bare.SaturatedAsync(_ => "search", 32, time / 3));
    Row("all distinct, 32 askers", await market.SaturatedAsync(Distinct, 32, time / 2));
    Row("as shoppers ask, 32 askers", await market.SaturatedAsync(Shoppers, 32, time / 2));
    Row("suggestions, 32 askers", await market.SaturatedAsync(Typing, 32, time / 3));
    AnsiConsole.Write(table);

    void Row(string what, Market.Answers answers) => table.AddRow(what, $"{answers.Median:0.0}", $"{answers.P95:0.0}", $"{answers.P99:0.0}", $"{answers.PerSecond:0}");
}


static async Task FindAsync(Bed bed, string words, Filters? filters = null, Order order = Order.Relevance, string[]? facets = null) =>
    await bed.Search.FindAsync(new Wish(words, filters ?? Filters.None, order, 20, facets ?? [], Highlight: false), null, CancellationToken.None);

async Task ChangeAsync()
{
    await WriteAsync("rebuild: over the old one", count, () => bed.FillAsync(products));
    await WriteAsync("stock of all, 500 levels an event, 32 events at a time", count, () => Parallel.ForEachAsync(
        products.Chunk(500), new ParallelOptions { MaxDegreeOfParallelism = 32 },
        async (some, ct) => await bed.Engine.ApplyAsync([new IndexChange.Stock([.. some.Select(product => new StockLevel(product.ProductId, product.ProductId.GetHashCode() & 15, 1))])], ct)));
    var events = Math.Min(count, 20_000);
    await WriteAsync("changes of one product each, 64 at a time", events, () => Parallel.ForEachAsync(
        products.Take(events), new ParallelOptions { MaxDegreeOfParallelism = 64 },
        async (product, ct) => await bed.Engine.ApplyAsync([new IndexChange.Upsert(product with { Revision = 2 })], ct)));
}

async Task WriteAsync(string what, int number, Func<Task> work)
{
    var (clock, cpu) = (Stopwatch.StartNew(), Process.GetCurrentProcess().TotalProcessorTime);
    await work();
    writing.AddRow(what, $"{clock.Elapsed.TotalSeconds:0.0}", $"{number / clock.Elapsed.TotalSeconds:0}", $"{(Process.GetCurrentProcess().TotalProcessorTime - cpu).TotalSeconds:0.0}");
}

async Task ReadAsync(string what, IReadOnlyList<string> inputs, Func<string, Task> ask)
{
    // What is asked is answered on the thread that asks: its own time on a processor leaves out what other work took from it.
    var (took, used) = (new double[inputs.Count], new double[inputs.Count]);
    var cpu = Process.GetCurrentProcess().TotalProcessorTime;
    for (var i = 0; i < inputs.Count; i++)
    {
        var (clock, before) = (Stopwatch.GetTimestamp(), ThreadCpu.Milliseconds);
        await ask(inputs[i]);
        (took[i], used[i]) = (Stopwatch.GetElapsedTime(clock).TotalMilliseconds, ThreadCpu.Milliseconds - before);
    }

    var each = (Process.GetCurrentProcess().TotalProcessorTime - cpu).TotalMilliseconds / inputs.Count;
    Array.Sort(took);
    Array.Sort(used);
    reading.AddRow(what, $"{took[took.Length / 2]:0.00}", $"{took[took.Length * 95 / 100]:0.00}", $"{took[took.Length * 99 / 100]:0.00}", $"{used[used.Length * 99 / 100]:0.00}", $"{each:0.00}");
}

internal static partial class ThreadCpu
{
    private const int OfThisThread = 3;

    /// <summary>How long this thread has had a processor. Linux.</summary>
    internal static double Milliseconds => GetTime(OfThisThread, out var time) == 0 ? time.Seconds * 1e3 + time.Nanoseconds / 1e6 : throw new PlatformNotSupportedException("The time a thread used is read as Linux tells it.");

    [DllImport("libc", EntryPoint = "clock_gettime")]
    private static extern int GetTime(int clock, out Timespec time);

    [StructLayout(LayoutKind.Sequential)]
    private readonly record struct Timespec(long Seconds, long Nanoseconds);
}
