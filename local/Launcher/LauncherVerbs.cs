using System.Runtime.InteropServices;
using Marketplace.Local.Replay;
using Marketplace.Local.Shop;
using Marketplace.Local.Sidecar.Resources;
using Spectre.Console;

namespace Marketplace.Local.Launcher;

/// <summary>The verbs a person types: each reads its options, does its work and turns failures into advice.</summary>
public static class LauncherVerbs
{
    public static Task<int> UpAsync(string[] args) => GuardedAsync(args, "up", """
        starts the whole marketplace and keeps it running until Ctrl-C

          Infrastructure is swapped by YAML. A set is a folder of component files; the launcher starts the servers that
          the set asks for, and checks every file before it starts anything:

            up                                  local: Redis or Garnet, PostgreSQL, events inside the sidecar host
            up --components redis               events on Redis Streams (also rabbitmq, kafka, postgres; `doctor` lists them)
            up --components ~/my-set            any folder; an address written in a file is a server of your own
            up --sidecar daprd                  the same on a real Dapr
            up --with order-feed-node           with the sample in TypeScript beside it
        """, async (options, ct) =>
    {
        var tree = SourceTree.Find();
        var view = LaunchView.Create(options.Json);
        var started = TimeProvider.System.GetTimestamp();
        await using var system = await LocalSystem.StartAsync(tree, options, view, ct);
        var took = TimeProvider.System.GetElapsedTime(started);
        Remark(view.Console, system);
        if (options.Json)
            Console.WriteLine(system.Describe().ToLine());
        else
            Welcome(view.Console, system, options, took);
        await UntilAsked(system, view.Console, ct);
        view.Console.MarkupLine("[grey]Stopping…[/]");
        return 0;
    });

    public static Task<int> InfraAsync(string[] args) => GuardedAsync(args, "infra", "starts what the component set needs from outside (PostgreSQL, Redis or a broker, mail, the payment provider double), migrates, and prints the `dapr run` line to go on with", async (options, ct) =>
    {
        var view = LaunchView.Create(options.Json);
        await using var system = await LocalSystem.StartInfrastructureAsync(SourceTree.Find(), options, view, ct);
        var running = system.Describe();
        Remark(view.Console, system);
        if (options.Json)
        {
            Console.WriteLine(running.ToLine());
        }
        else
        {
            var brokers = string.Concat(new[] { ("Redis", running.RedisAddress), ("RabbitMQ", running.RabbitMqAddress), ("Kafka", running.KafkaBrokers) }.Where(one => one.Item2.Length > 0).Select(one => $" · {one.Item1} {one.Item2}"));
            view.Console.MarkupLineInterpolated($"PostgreSQL {running.PostgresAddress}{brokers} · mail in {running.MailFolder} · secrets in {running.SecretsFile}");
            view.Console.MarkupLineInterpolated($"Databases are migrated. Ctrl-C stops all of it. With the Dapr CLI, go on in {SourceTree.Find().Root} with");
            Console.WriteLine($"  {running.GoOn}");   // whole, so that it can be copied
        }

        await UntilAsked(system, view.Console, ct);
        return 0;
    });

    public static Task<int> MigrateAsync(string[] args) => GuardedAsync(args, "migrate", "brings every service's database to its newest version and stops again", async (options, ct) =>
    {
        var view = LaunchView.Create(options.Json);
        await using var system = await LocalSystem.StartDatabasesAsync(SourceTree.Find(), options, view, ct);
        view.Console.MarkupLine("[green]All databases are at their newest version.[/]");
        return 0;
    });

    public static async Task<int> LogsAsync(string[] args)
    {
        var options = LaunchOptions.Parse(args.Skip(1), out var rest);
        var follow = rest.Any(arg => arg is "-f" or "--follow");
        var names = rest.Where(arg => !arg.StartsWith('-')).ToList();
        if (options.Help || names.Count != 1)
        {
            Console.Error.WriteLine("usage: dotnet run --project local -- logs <app> [-f] [--data <folder>]\n\n  Prints the log of an app, or of postgres, redis, rabbitmq, kafka, mail, provider, sidecars or <app>-daprd, where it runs; -f goes on as it grows.");
            return options.Help ? 0 : 2;
        }

        var data = DataFolder.Of(SourceTree.Find(), options.Data);
        var file = data.Log(names[0]);
        if (!File.Exists(file))
        {
            var known = Directory.Exists(data.Logs) ? Directory.GetFiles(data.Logs, "*.log").Select(Path.GetFileNameWithoutExtension).Where(name => !name!.Contains('.', StringComparison.Ordinal)).Order().ToList() : [];
            Console.Error.WriteLine($"There is no log of {names[0]}. {(known.Count > 0 ? "There are: " + string.Join(", ", known) : "Nothing has run here yet.")}");
            return 1;
        }

        using var stop = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal =>
        {
            signal.Cancel = true;
            stop.Cancel();
        });
        await using var log = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        await using var screen = Console.OpenStandardOutput();
        try
        {
            await log.CopyToAsync(screen, stop.Token);
            while (follow)
            {
                await Task.Delay(200, stop.Token);
                await log.CopyToAsync(screen, stop.Token);
                await screen.FlushAsync(stop.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // Ctrl-C ends following.
        }

        return 0;
    }

    private static Task<int> GuardedAsync(string[] args, string verb, string does, Func<LaunchOptions, CancellationToken, Task<int>> run) =>
        GuardedAsync(args, $"usage: dotnet run --project local -- {verb} [options]\n\n  {does}\n", (options, rest, ct) =>
            rest is [var unknown, ..] ? throw new UsageException($"Unknown option {unknown}.") : run(options, ct));

    /// <summary>Shared by all verbs that run for a while: help, Ctrl-C and SIGTERM, failures as advice.</summary>
    public static async Task<int> GuardedAsync(string[] args, string usage, Func<LaunchOptions, IReadOnlyList<string>, CancellationToken, Task<int>> run)
    {
        using var stop = new CancellationTokenSource();
        void Stop(PosixSignalContext signal)
        {
            signal.Cancel = true;   // the second Ctrl-C as well: stopping takes seconds, and what was started must not be left behind
            stop.Cancel();
        }

        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Stop);
        try
        {
            var options = LaunchOptions.Parse(args.Skip(1), out var rest);
            if (options.Help)
            {
                Console.WriteLine($"{usage}\noptions:\n{LaunchOptions.Description}");
                return 0;
            }

            return await run(options, rest, stop.Token);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return 130;
        }
        catch (Exception failure) when (failure is LaunchException or ResourceException or SalesFileException or ShopException)
        {
            Explain(failure);
            return 1;
        }
        catch (Exception failure) when (failure is not UsageException)
        {
            // Nothing of it runs any more by now; what is left is to say it whole, for whoever mends it.
            await Console.Error.WriteLineAsync(failure.ToString());
            return 1;
        }
    }

    public static void Explain(Exception failure)
    {
        var console = LaunchView.OnErrors();
        console.MarkupLineInterpolated($"[red]{failure.Message}[/]");
        if (failure is LaunchException { Advice: { } advice })
            console.WriteLine(advice);
    }

    private static void Remark(IAnsiConsole console, LocalSystem system)
    {
        foreach (var remark in system.Remarks)
            console.MarkupLineInterpolated($"[yellow]{remark}[/]");
    }

    private static void Welcome(IAnsiConsole console, LocalSystem system, LaunchOptions options, TimeSpan took)
    {
        var sameData = options.Data is { } folder ? $" --data {folder}" : "";   // or the next command would start a system of its own
        var running = system.Describe();
        var grid = new Grid().AddColumn().AddColumn();
        void Row(string what, string where) => grid.AddRow(new Text(what, new Style(Color.Grey)), new Text(where));
        var gateway = running.GatewayUrl.Length > 0;
        if (gateway)
        {
            Row("API", $"{running.GatewayUrl}/api/v1/products");
            foreach (var other in running.GatewayUrls.Skip(1))
                Row("another instance", $"{other}/api/v1/products");
            Row("API reference", $"{running.GatewayUrl}/scalar");
        }
        else
        {
            foreach (var app in running.Parts.Where(part => part.AppId is not null))
                Row(app.Name, $"http://127.0.0.1:{app.Port} · sidecar http://127.0.0.1:{app.DaprHttpPort}");
        }

        Row("mail", running.MailFolder);
        Row("payment provider", $"{running.ProviderUrl} (a double of Stripe; card pm_card_visa pays, pm_card_visa_chargeDeclined does not)");
        if (gateway)
        {
            Row("operator", $"operator@marketplace.local / {system.OperatorPassword}");
            if (running.Parts.Any(part => part.AppId is "flashsales"))
                Row("flash sales, live", $"{running.GatewayUrl}/operations/flash-sales (for the operator)");
            Row("demo", $"dotnet run --project local -- seed{sameData}  (then ada@example.com / correct-horse-1)");
        }

        Row("logs", $"dotnet run --project local -- logs {running.Parts.FirstOrDefault(part => part.AppId is "ordering" || part.AppId is not null && options.Only is not null)?.Name ?? "sidecars"} -f{sameData}");
        console.Write(new Panel(grid) { Header = new PanelHeader($" up after {took.TotalSeconds:0.0} s · Ctrl-C stops everything "), Border = BoxBorder.Rounded });
    }

    /// <summary>Until Ctrl-C. What dies meanwhile is started again by itself; it is said, so that nobody wonders about the answers of that second.</summary>
    private static async Task UntilAsked(LocalSystem system, IAnsiConsole console, CancellationToken ct)
    {
        var restarts = system.Describe().Parts.ToDictionary(part => part.Name, part => part.Restarts);
        var away = new HashSet<string>();
        while (!ct.IsCancellationRequested)
        {
            await Task.Delay(300, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            foreach (var part in ct.IsCancellationRequested ? [] : system.Describe().Parts)
            {
                if (restarts.GetValueOrDefault(part.Name) < part.Restarts)
                {
                    restarts[part.Name] = part.Restarts;
                    away.Add(part.Name);
                    console.MarkupLineInterpolated($"[yellow]{DateTime.Now:HH:mm:ss} {part.Name} ended and is started again; {part.Log} says more.[/]");
                }

                if (part.State == nameof(PartState.Ready) && away.Remove(part.Name))
                    console.MarkupLineInterpolated($"[green]{DateTime.Now:HH:mm:ss} {part.Name} is ready again.[/]");
            }
        }
    }
}
