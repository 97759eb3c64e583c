using Spectre.Console;
using Spectre.Console.Rendering;

namespace Marketplace.Local.Launcher;

/// <summary>What the person at the terminal sees while things start; plain lines where there is no terminal.</summary>
public sealed class LaunchView(IAnsiConsole console, bool live)
{
    private const int Unbroken = 10_000;
    private readonly Dictionary<string, string> said = [];
    private string headline = "";

    public IAnsiConsole Console => console;

    public static LaunchView Create(bool json)
    {
        var console = json ? OnErrors() : AnsiConsole.Console;
        if (System.Console.IsOutputRedirected)
            console.Profile.Width = Unbroken;
        return new LaunchView(console, !json && console.Profile.Capabilities.Interactive && !System.Console.IsOutputRedirected);
    }

    /// <summary>For standard error. A message that names file and line must not be broken where no terminal shows it.</summary>
    public static IAnsiConsole OnErrors()
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(System.Console.Error) });
        if (System.Console.IsErrorRedirected)
            console.Profile.Width = Unbroken;
        return console;
    }

    public void Headline(string text)
    {
        headline = text;
        if (!live)
            console.WriteLine(text);
    }

    /// <summary>Shows the parts until <paramref name="work"/> is done, whatever its end.</summary>
    public async Task WhileAsync(IReadOnlyList<Part> parts, Task work)
    {
        if (live)
        {
            await console.Live(Table(parts)).AutoClear(false).StartAsync(async display =>
            {
                while (!work.IsCompleted)
                {
                    display.UpdateTarget(Table(parts));
                    await Task.WhenAny(work, Task.Delay(200));
                }

                display.UpdateTarget(Table(parts));
            });
        }
        else
        {
            while (!work.IsCompleted)
            {
                Changes(parts);
                await Task.WhenAny(work, Task.Delay(200));
            }

            Changes(parts);
        }

        await work;
    }

    private void Changes(IReadOnlyList<Part> parts)
    {
        foreach (var part in parts.ToList())
        {
            var line = $"{part.Name,-16} {Word(part.State)} {part.Detail}".TrimEnd();
            if (part.State == PartState.Waiting || said.TryGetValue(part.Name, out var last) && last == line)
                continue;
            said[part.Name] = line;
            console.WriteLine(line);
        }
    }

    private Table Table(IReadOnlyList<Part> parts)
    {
        var table = new Table { Border = TableBorder.Rounded, Title = new TableTitle(Markup.Escape(headline.Length > 0 ? headline : "Marketplace")) };
        table.AddColumns("what", "port", "state", "pid", "");
        foreach (var part in parts.ToList())
        {
            table.AddRow(
                new Text(part.Name),
                new Text(part.Port?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? ""),
                Coloured(part.State),
                new Text(part.Child is { HasExited: false } child ? child.Pid.ToString(System.Globalization.CultureInfo.InvariantCulture) : ""),
                new Text(part.Detail));
        }

        return table;
    }

    private static Markup Coloured(PartState state)
    {
        var colour = state switch
        {
            PartState.Ready or PartState.Elsewhere => "green",
            PartState.Starting => "yellow",
            PartState.Restarting => "darkorange",
            PartState.Failed => "red",
            _ => "grey",
        };
        return new Markup($"[{colour}]{Word(state)}[/]");
    }

    private static string Word(PartState state) => state switch
    {
        PartState.Waiting => "waiting",
        PartState.Starting => "starting",
        PartState.Ready => "ready",
        PartState.Restarting => "restarting",
        PartState.Failed => "failed",
        PartState.Stopped => "stopped",
        _ => "running elsewhere",
    };
}
