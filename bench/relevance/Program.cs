using System.Diagnostics;
using Marketplace.Bench;
using Marketplace.Bench.Relevance;
using Marketplace.Search.Engine;
using Spectre.Console;

// How often a shopper finds what is there: products of a real catalogue by words of their titles, and judged queries over the seed catalogue.
// dotnet run -c Release --project bench/relevance -- [online-retail.csv.gz] [--seed 4] [--quick] [--misses 20] [--ask "words"]
var quick = args.Contains("--quick");
var seed = int.Parse(args.SkipWhile(arg => arg != "--seed").ElementAtOrDefault(1) ?? "4", System.Globalization.CultureInfo.InvariantCulture);
var shown = int.Parse(args.SkipWhile(arg => arg != "--misses").ElementAtOrDefault(1) ?? "0", System.Globalization.CultureInfo.InvariantCulture);
var file = args.FirstOrDefault(arg => !arg.StartsWith("--", StringComparison.Ordinal) && File.Exists(arg));
AnsiConsole.Profile.Width = 140;

if (file is not null)
    await KnownItemsAsync(await SoldThings.ReadAsync(file));
else
    AnsiConsole.WriteLine("No file of Online Retail given: known items are left out.");
await JudgedAsync();

async Task KnownItemsAsync(IReadOnlyList<IndexedListing> products)
{
    var items = KnownItems.Of(products.Select(product => product.Title), seed);
    if (quick)
        items = [.. items.Where((_, number) => number % 10 == 0)];
    await using var bed = await Bed.StartAsync();
    await bed.FillAsync(products);

    if (args.SkipWhile(arg => arg != "--ask").ElementAtOrDefault(1) is { } words)
    {
        foreach (var found in (await bed.FindAsync(words)).Items)
            AnsiConsole.WriteLine(found.Title);
        return;
    }

    var table = new Table().Title($"known items: {products.Count} products, {items.Count} titles, seed {seed}").RoundedBorder();
    foreach (var column in (string[])["queries", "recall@1", "recall@3", "recall@10", "MRR", "relaxed", "median ms", "p99 ms"])
        table.AddColumn(new TableColumn(column).RightAligned());
    table.Columns[0].LeftAligned();
    await AnsiConsole.Progress().AutoClear(true).StartAsync(async progress =>
    {
        await AskAsync("clean", item => item.Clean, progress.AddTask("clean", maxValue: items.Count));
        await AskAsync("misspelt", item => item.Misspelt, progress.AddTask("misspelt", maxValue: items.Count));
    });
    AnsiConsole.Write(table);

    async Task AskAsync(string what, Func<KnownItem, string> query, ProgressTask task)
    {
        var (ranks, took, relaxed) = (new List<int>(), new List<double>(), 0);
        foreach (var item in items)
        {
            var clock = Stopwatch.GetTimestamp();
            var page = await bed.FindAsync(query(item));
            took.Add(Stopwatch.GetElapsedTime(clock).TotalMilliseconds);
            var rank = 1 + page.Items.ToList().FindIndex(found => string.Equals(found.Title, item.Wanted, StringComparison.OrdinalIgnoreCase));
            if (rank == 0 && shown > ranks.Count(miss => miss == 0))
                AnsiConsole.WriteLine($"{what}: {query(item)}  |  {item.Wanted}  |  {string.Join("; ", page.Items.Take(3).Select(found => found.Title))}  {page.Relaxed}");
            ranks.Add(rank);
            relaxed += page.Relaxed is null ? 0 : 1;
            task.Increment(1);
        }

        took.Sort();
        table.AddRow(what, Share(ranks, 1), Share(ranks, 3), Share(ranks, 10), $"{ranks.Average(rank => rank == 0 ? 0 : 1.0 / rank):0.000}", $"{relaxed}", $"{took[took.Count / 2]:0.00}", $"{took[took.Count * 99 / 100]:0.00}");
    }
}

async Task JudgedAsync()
{
    var queries = Judged.Read(Path.Combine(AppContext.BaseDirectory, "judged.txt"));
    var products = Judged.SeedCatalogue();
    await using var bed = await Bed.StartAsync();
    await bed.FillAsync(products);

    var table = new Table().Title($"judged: {queries.Count} queries over {products.Count} products of the seed catalogue").RoundedBorder();
    foreach (var column in (string[])["kind", "queries", "NDCG@10", "precision@3", "MRR"])
        table.AddColumn(new TableColumn(column).RightAligned());
    table.Columns[0].LeftAligned();
    var results = new List<(string Kind, double Gain, double Precision, double Reciprocal)>();
    foreach (var query in queries)
    {
        var page = await bed.FindAsync(query.Words);
        var result = query.Judge([.. page.Items.Select(found => found.Title)], [.. products.Select(product => product.Title)]);
        results.Add((query.Kind, result.Gain, result.Precision, result.Reciprocal));
        if (result.Gain < 0.8 && shown > 0)
            AnsiConsole.WriteLine($"{result.Gain:0.00} {query.Words}  |  {string.Join("; ", page.Items.Take(5).Select(found => found.Title))}  {page.Relaxed}");
    }

    foreach (var kind in results.GroupBy(result => result.Kind))
        Add(kind.Key, [.. kind]);
    Add("all", results);
    AnsiConsole.Write(table);

    void Add(string kind, List<(string Kind, double Gain, double Precision, double Reciprocal)> some) =>
        table.AddRow(kind, $"{some.Count}", $"{some.Average(one => one.Gain):0.000}", $"{some.Average(one => one.Precision):0.000}", $"{some.Average(one => one.Reciprocal):0.000}");
}

static string Share(List<int> ranks, int within) => $"{ranks.Count(rank => rank > 0 && rank <= within) / (double)ranks.Count:0.000}";
