using System.Diagnostics;
using System.Globalization;
using Marketplace.Bench;
using Marketplace.Bench.Search;
using Marketplace.Contracts;
using Marketplace.Search.Engine;
using Marketplace.Search.Querying;
using Spectre.Console;

// Search in process at a hundred thousand products: rebuild, events, queries of several kinds, suggestions; hot answers are switched off but for the last row.
// dotnet run -c Release --project bench/search -- [--products 100000] [--queries 3000] [--quick] [--reading]
// --quick: small numbers, to see that it runs. --reading: only what is needed to ask.
var quick = args.Contains("--quick");
var count = Number("--products", quick ? 5_000 : 100_000);
var asked = Number("--queries", quick ? 300 : 3_000);
AnsiConsole.Profile.Width = 140;
var many = new ManyProducts(seed: 4);
var products = many.Make(count);
var queries = many.Queries(products, asked);
var beginnings = many.Beginnings(products, asked);

await using var bed = await Bed.StartAsync();
await using var hot = await Bed.StartAsync(hotQueries: 2_000);
var writing = new Table().Title($"writing, {count} products").RoundedBorder();
foreach (var column in (string[])["what", "seconds", "a second", "CPU seconds"])
    writing.AddColumn(new TableColumn(column).RightAligned());
writing.Columns[0].LeftAligned();
await WriteAsync("floor: one document's text analysed, nothing kept", count, () =>
{
    foreach (var product in products)
        ProductText.WordsOf($"{product.Title} {product.Description}");
    return Task.CompletedTask;
});
await WriteAsync("rebuild: a new index", count, () => bed.FillAsync(products));
if (!args.Contains("--reading"))
    await ChangeAsync();
AnsiConsole.Write(writing);

var reading = new Table().Title($"reading, {count} products, one after the other").RoundedBorder();
foreach (var column in (string[])["what", "median ms", "p95 ms", "p99 ms", "CPU ms each"])
    reading.AddColumn(new TableColumn(column).RightAligned());
reading.Columns[0].LeftAligned();
foreach (var warm in queries.Take(asked / 5))
    await FindAsync(bed, warm);
await ReadAsync("words, by relevance", queries, words => FindAsync(bed, words));
await ReadAsync("words, again", queries, words => FindAsync(bed, words));
await ReadAsync("words, all facets", queries, words => FindAsync(bed, words, facets: [Facets.All]));
await ReadAsync("words, one shelf, cheapest first", queries, words => FindAsync(bed, words, new Filters([new Chosen(Facets.Category, ["kitchen"])]), Order.Cheapest));
await ReadAsync("one shelf in stock, newest first", queries, _ => FindAsync(bed, "", new Filters([new Chosen(Facets.Category, ["kitchen"])], InStock: true), Order.Newest));
await ReadAsync("everything, all facets", [.. queries.Take(asked / 10)], _ => FindAsync(bed, "", facets: [Facets.All]));
await ReadAsync("suggestions", beginnings, async typed => await bed.Engine.CompleteAsync(typed, 10, CancellationToken.None));
await ReadAsync("suggestions, hot ones from memory", beginnings, async typed => await bed.Suggestions.OfAsync(typed, CancellationToken.None));
await hot.FillAsync([.. products.Take(1_000)]);
await ReadAsync("floor: an answer kept in memory", [.. queries.Select(_ => queries[0])], words => FindAsync(hot, words));
AnsiConsole.Write(reading);
AnsiConsole.WriteLine($"memory {Environment.WorkingSet / 1024 / 1024} MB, index on disk {Directory.GetFiles(bed.Folder, "*", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length) / 1024 / 1024} MB");

int Number(string option, int otherwise) => int.Parse(args.SkipWhile(arg => arg != option).ElementAtOrDefault(1) ?? $"{otherwise}", CultureInfo.InvariantCulture);

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
    var took = new double[inputs.Count];
    var cpu = Process.GetCurrentProcess().TotalProcessorTime;
    for (var i = 0; i < inputs.Count; i++)
    {
        var clock = Stopwatch.GetTimestamp();
        await ask(inputs[i]);
        took[i] = Stopwatch.GetElapsedTime(clock).TotalMilliseconds;
    }

    var each = (Process.GetCurrentProcess().TotalProcessorTime - cpu).TotalMilliseconds / inputs.Count;
    Array.Sort(took);
    reading.AddRow(what, $"{took[took.Length / 2]:0.00}", $"{took[took.Length * 95 / 100]:0.00}", $"{took[took.Length * 99 / 100]:0.00}", $"{each:0.00}");
}
