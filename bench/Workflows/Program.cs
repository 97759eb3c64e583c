using Marketplace.Bench.Workflows;
using Spectre.Console;

// Five-activity workflows through worker, sidecar host and PostgreSQL, beside the floor: the commits alone.
// --quick: small numbers, to see that it runs. --store postgresql|memory: only that store, without the floor.
var quick = args.Contains("--quick");
var only = args.SkipWhile(arg => arg != "--store").ElementAtOrDefault(1);
await using var bed = await Bed.StartAsync();
var table = new Table().Title("a workflow of five activities: started, run, its end awaited").RoundedBorder();
foreach (var column in (string[])["what", "runs", "median ms", "p95 ms", "a second", "CPU ms: pg", "host", "worker"])
    table.AddColumn(new TableColumn(column).RightAligned());
table.Columns[0].LeftAligned();

if (only is null)
{
    Add(await FiveActivities.WithCpuAsync(bed, () => Floor.OneAfterAnotherAsync(bed.Database, quick ? 50 : 300)));
    Add(await FiveActivities.WithCpuAsync(bed, () => Floor.TogetherAsync(bed.Database, quick ? 2_000 : 20_000)));
}

foreach (var inMemory in only switch { null => (bool[])[false, true], "memory" => [true], _ => [false] })
{
    await bed.UseAsync(inMemory);
    var store = inMemory ? "memory" : "PostgreSQL";
    await FiveActivities.RunAsync(bed, "warm-up", quick ? 300 : 2000, 64);
    Add(await FiveActivities.RunAsync(bed, $"{store}, 1 in flight", quick ? 50 : 400, 1));
    Add(await FiveActivities.RunAsync(bed, $"{store}, 64 in flight", quick ? 1000 : 8000, 64));
}

AnsiConsole.Profile.Width = 140;
AnsiConsole.Write(table);

void Add(Row row) => table.AddRow(
    row.What, $"{row.Runs}", $"{row.Median.TotalMilliseconds:0.0}", $"{row.P95.TotalMilliseconds:0.0}", $"{row.PerSecond:0}",
    Cpu(row.Postgres), Cpu(row.Host), Cpu(row.Worker));

static string Cpu(TimeSpan? each) => each is { } time ? $"{time.TotalMilliseconds:0.00}" : "";
