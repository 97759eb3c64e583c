using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Marketplace.Bench;
using Marketplace.Bench.Imports;
using Spectre.Console;

// A seller's file through the gateway of the launched system, beside COPY of the same rows into a table of the same shape. Needs PostgreSQL.
// dotnet run -c Release --project bench/imports -- [--rows 50000] [--quick]
var count = int.Parse(args.SkipWhile(arg => arg != "--rows").ElementAtOrDefault(1) ?? (args.Contains("--quick") ? "3000" : "50000"), CultureInfo.InvariantCulture);
AnsiConsole.Profile.Width = 140;
var rows = Enumerable.Range(0, count).Select(number => (
    Sku: $"JUG-{number:000000}",
    Title: $"Hand-made enamel jug no. {number}",
    Description: $"A jug for water, flowers or nothing at all.\nIt holds a litre and a half, and no two are alike. This is the {number}th of its kind; it comes in a \"box\" of grey card.",
    Minor: 1_000L + number % 5_000)).ToList();

await using var bed = await Bed.MakeAsync();
var table = new Table().Title($"{count} rows, {FileOf(0).Length / 1024.0 / 1024:0.0} MB").RoundedBorder();
foreach (var column in (string[])["what", "seconds", "rows a second", "of the floor", "CPU ms a row, catalogue"])
    table.AddColumn(new TableColumn(column).RightAligned());
table.Columns[0].LeftAligned();
var floor = 0.0;

await bed.CopyAsync(rows[..Math.Min(count, 1000)]);
await ImportAsync(Encoding.UTF8.GetBytes("sku,title,category,price\n" + string.Concat(Enumerable.Range(0, 2_000).Select(row => $"WARM-{row},Warm,kitchen,1.00\n"))));
await bed.AnnouncedAsync();
await MeasureAsync("floor: COPY into a table of the same shape", () => bed.CopyAsync(rows));
await MeasureAsync("import, every row new", () => ImportAsync(FileOf(0)));
await MeasureAsync("the same file again, nothing new", () => ImportAsync(FileOf(0)));
await MeasureAsync("every price changed", () => ImportAsync(FileOf(1)));
await MeasureAsync("new prices only (two columns)", () => ImportAsync(Encoding.UTF8.GetBytes("sku,price\n" + string.Concat(rows.Select(row => $"{row.Sku},{Price(row.Minor + 2)}\n")))));
await MeasureAsync("export", async () =>
{
    using var reply = await bed.Http.GetAsync("/api/v1/seller/products.csv", HttpCompletionOption.ResponseHeadersRead);
    reply.EnsureSuccessStatusCode();
    await reply.Content.CopyToAsync(Stream.Null);
});
AnsiConsole.Write(table);

byte[] FileOf(int dearer) => Encoding.UTF8.GetBytes("sku,title,description,brand,category,price\n" + string.Concat(
    rows.Select(row => $"{row.Sku},{row.Title},\"{row.Description.Replace("\"", "\"\"", StringComparison.Ordinal)}\",Bench,kitchen,{Price(row.Minor + dearer)}\n")));

static string Price(long minor) => string.Create(CultureInfo.InvariantCulture, $"{minor / 100}.{minor % 100:00}");

async Task ImportAsync(byte[] file)
{
    using var body = new ByteArrayContent(file);
    body.Headers.ContentType = new MediaTypeHeaderValue("text/csv");
    using var reply = await bed.Http.PostAsync("/api/v1/seller/imports", body);
    var text = await reply.Content.ReadAsStringAsync();
    if (!reply.IsSuccessStatusCode || JsonDocument.Parse(text).RootElement.GetProperty("failed").GetInt64() > 0)
        throw new InvalidOperationException(text);
}

async Task MeasureAsync(string what, Func<Task> work)
{
    AnsiConsole.WriteLine(what);
    var (clock, cpu) = (Stopwatch.StartNew(), CpuTime.OfTree(bed.CatalogPid));
    await work();
    var (seconds, used) = (clock.Elapsed.TotalSeconds, CpuTime.OfTree(bed.CatalogPid) - cpu);
    if (floor == 0)
        floor = count / seconds;
    table.AddRow(what, $"{seconds:0.0}", $"{count / seconds:0}", $"{count / seconds / floor:P0}", floor == count / seconds ? "" : $"{used.TotalMilliseconds / count:0.000}");
    await bed.AnnouncedAsync();
}
