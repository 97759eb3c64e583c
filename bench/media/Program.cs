using System.Diagnostics;
using System.Globalization;
using Marketplace.Bench;
using Marketplace.Bench.Media;
using Marketplace.Media;
using Marketplace.Media.Renditions;
using Spectre.Console;

// 2,000 by 2,000 JPEGs to all six files: the service's own code and its worker behind a sidecar, beside vipsthumbnail making the same files.
// Then the largest memory of a process that made many pictures of a kind. Linux, with Debian's libvips-tools.
// dotnet run -c Release --project bench/media -- [--pictures 48] [--rounds 4] [--quick] [--only speed|memory]
if (args is ["--draw", var wanted])
{
    Draw(wanted);
    return;
}

if (args is ["--peaks", var kind, var fewer, var more])
{
    Peaks(kind, int.Parse(fewer, CultureInfo.InvariantCulture), int.Parse(more, CultureInfo.InvariantCulture));
    return;
}

var quick = args.Contains("--quick");
var only = Option("--only", "");
var rounds = int.Parse(Option("--rounds", quick ? "1" : "4"), CultureInfo.InvariantCulture);
var each = int.Parse(Option("--pictures", quick ? "8" : "48"), CultureInfo.InvariantCulture) / rounds;
Vips.Prepare();
AnsiConsole.Profile.Width = 140;
if (only is "" or "speed") await SpeedAsync();
if (only is "" or "memory") await MemoryAsync();

async Task SpeedAsync()
{
    if (VipsThumbnail.Version() is not { } version)
    {
        AnsiConsole.WriteLine("vipsthumbnail is not installed (Debian: apt-get install libvips-tools); there is no floor to measure.");
        return;
    }

    var folder = Directory.CreateTempSubdirectory("media-bench-").FullName;
    await using var worker = await Worker.StartAsync();
    var pictures = Enumerable.Range(0, each).Select(seed => Photographs.Jpeg(2_000, 2_000, seed)).ToList();
    var files = pictures.Select((picture, place) => Path.Combine(folder, $"{place}.jpg")).ToList();
    foreach (var (picture, file) in pictures.Zip(files)) await File.WriteAllBytesAsync(file, picture);
    var stored = await Task.WhenAll(pictures.Select(worker.StoreAsync));

    (string What, Func<Task> Work, List<double> Seconds, List<double> Cpu)[] all =
    [
        ("floor: vipsthumbnail, a process makes one file", () => VipsThumbnail.OneProcessAFileAsync(files, folder), [], []),
        ("floor: vipsthumbnail, a process makes one size and format of many pictures", () => VipsThumbnail.ManyFilesAProcessAsync(files, folder), [], []),
        ("the service's code, from memory to memory", () => Parallel.ForEachAsync(pictures, AtOnce(), (picture, _) => { PictureMaker.Make(picture); return ValueTask.CompletedTask; }), [], []),
        ("its worker, from the store into the store through a sidecar", () => Parallel.ForEachAsync(stored, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (imageId, _) => await worker.MakeAsync(imageId)), [], []),
    ];

    // In turns, so that whatever else the machine does meets them all.
    for (var round = -1; round < rounds; round++)
    {
        foreach (var (_, work, seconds, cpu) in all)
        {
            worker.Forget();
            var (clock, before) = (Stopwatch.StartNew(), CpuTime.OfTree(Environment.ProcessId));
            await work();
            if (round < 0) continue;
            seconds.Add(clock.Elapsed.TotalSeconds);
            cpu.Add((CpuTime.OfTree(Environment.ProcessId) - before).TotalMilliseconds / each);
        }
    }

    var table = new Table().Title($"2,000 x 2,000 JPEG to 200, 800, 2000 in WebP and JPEG; {Workshop.Version} in the service, {version} on the command line").RoundedBorder();
    foreach (var column in (string[])["what", "pictures a second", "CPU ms a picture", "of the better floor", "by CPU"])
        table.AddColumn(new TableColumn(column).RightAligned());
    table.Columns[0].LeftAligned();
    var floor = all.Take(2).MinBy(one => one.Cpu.Sum());
    foreach (var (what, _, seconds, cpu) in all)
        table.AddRow(what, $"{each * rounds / seconds.Sum():0.00}", $"{cpu.Average():0}", $"{floor.Seconds.Sum() / seconds.Sum():0.00}", $"{floor.Cpu.Sum() / cpu.Sum():0.00}");
    AnsiConsole.Write(table);
    AnsiConsole.WriteLine($"bytes made, six files a picture: {new DirectoryInfo(folder).GetFiles("*-*").Sum(file => file.Length) / each / 1024} KB by vipsthumbnail, {pictures.Sum(picture => PictureMaker.Make(picture).Pictures.Sum(made => made.Bytes.Length)) / each / 1024} KB by the service");
    Directory.Delete(folder, recursive: true);
}

async Task MemoryAsync()
{
    var table = new Table().Title($"largest resident memory of a process, {Environment.ProcessorCount} pictures at a time, large ones one by one").RoundedBorder();
    foreach (var column in (string[])["originals", "before any", "few", "many", "how many"])
        table.AddColumn(new TableColumn(column).RightAligned());
    table.Columns[0].LeftAligned();
    foreach (var (what, few, many) in ((string, int, int)[])[("2,000 x 2,000 JPEG", 8, 40), ("4,000 x 3,000 JPEG", 8, 24), ("7,000 x 7,000 JPEG", 2, 6), ("7,000 x 7,000 PNG", 2, 6), ("7,000 x 7,000 progressive JPEG", 2, 5)])
    {
        var most = quick ? few * 2 : many;
        using var child = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, [typeof(Worker).Assembly.Location, "--peaks", what, $"{few}", $"{most}"]) { RedirectStandardOutput = true })!;
        var peaks = new List<string>();
        while (await child.StandardOutput.ReadLineAsync() is { } peak)
        {
            peaks.Add($"{peak} MB");
            AnsiConsole.WriteLine($"{what}, {(peaks.Count == 1 ? 0 : peaks.Count == 2 ? few : most)} made: {peaks[^1]}");
        }

        await child.WaitForExitAsync();
        table.AddRow([what, .. peaks, $"{few}, {most}"]);
    }

    AnsiConsole.Write(table);
}

// Drawing an original takes more memory than making its sizes, so that another child draws it.
static void Draw(string kind)
{
    Vips.Prepare();
    using var output = Console.OpenStandardOutput();
    output.Write(kind switch
    {
        "2,000 x 2,000 JPEG" => Photographs.Jpeg(2_000, 2_000, 1),
        "4,000 x 3,000 JPEG" => Photographs.Jpeg(4_000, 3_000, 1),
        "7,000 x 7,000 JPEG" => Photographs.Jpeg(7_000, 7_000, 1),
        "7,000 x 7,000 progressive JPEG" => Photographs.Jpeg(7_000, 7_000, 1, progressive: true),
        "7,000 x 7,000 PNG" => Photographs.Png(7_000, 7_000, 1),
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    });
}

// A process never forgets its largest memory: after a few pictures it tells, and goes on to many. A line each.
static void Peaks(string kind, int few, int many)
{
    Vips.Prepare();
    using var drawn = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, [typeof(Worker).Assembly.Location, "--draw", kind]) { RedirectStandardOutput = true })!;
    using var memory = new MemoryStream();
    drawn.StandardOutput.BaseStream.CopyTo(memory);
    drawn.WaitForExit();
    var original = memory.ToArray();
    var atOnce = PictureMaker.IsLarge(original) ? new() { MaxDegreeOfParallelism = 1 } : AtOnce();   // as the worker does
    Console.WriteLine(Peak());
    foreach (var number in (int[])[few, many - few])
    {
        Parallel.For(0, number, atOnce, _ => PictureMaker.Make(original));
        Console.WriteLine(Peak());
    }
}

static int Peak() => int.Parse(
    File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmHWM", StringComparison.Ordinal)).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024;

static ParallelOptions AtOnce() => new() { MaxDegreeOfParallelism = Environment.ProcessorCount };

string Option(string name, string otherwise) => args.SkipWhile(arg => arg != name).ElementAtOrDefault(1) ?? otherwise;
