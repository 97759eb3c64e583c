using Marketplace.Bench.FlashSale;
using Marketplace.Bench.FlashSale.Traffic;
using Marketplace.Bench.Reads;
using Spectre.Console;

// Fifty thousand buyers, one hundred units: a flash sale in the launched system, with an audit of what was sold. See --help.
if (args is ["floor", var floorPort, var bodyFile, var headerFile])
{
    await Floor.RunAsync(floorPort, bodyFile, headerFile);
    return 0;
}

if (args.Contains("--help") || args.Contains("-h"))
{
    Console.WriteLine(Options.Help);
    return 0;
}

var (options, wrong) = Options.Parse(args);
if (options is null)
{
    Console.Error.WriteLine($"{wrong}.\n`--help` lists the options.");
    return 2;
}

Generator.UseOneThreadForSockets();
AnsiConsole.Profile.Width = Math.Max(AnsiConsole.Profile.Width, 140);
using var run = new Run(options);
try
{
    return await run.GoAsync();
}
catch (Exception cannot) when (cannot is InvalidOperationException or HttpRequestException or OperationCanceledException)
{
    AnsiConsole.MarkupLineInterpolated($"[red]{cannot.Message}[/]");
    return 1;
}
