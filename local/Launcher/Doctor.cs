using System.Net.Sockets;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.Local.Sidecar.RunFile;
using Spectre.Console;

namespace Marketplace.Local.Launcher;

public sealed record Finding(string Subject, bool? Good, string What, string? Advice = null);

/// <summary>A component set and what is in its way; null is nothing.</summary>
public sealed record SetFinding(string Name, string? BuiltIn, string? RealDapr);

/// <summary>The verb <c>doctor</c>: what this machine has, what is missing, how to get it. Starts nothing and changes nothing.</summary>
public static class Doctor
{
    public static async Task<int> RunAsync(string[] args)
    {
        var options = LaunchOptions.Parse(args.Skip(1));
        if (options.Help)
        {
            Console.WriteLine("usage: dotnet run --project local -- doctor [--data <folder>]\n\n  Says what was found on this machine, what is missing and how to get it, and which component sets can run here with which sidecars.");
            return 0;
        }

        var findings = await ExamineAsync(SourceTree.Find(), options, CancellationToken.None);
        var table = new Table { Border = TableBorder.Rounded }.AddColumns("", "subject", "found");
        foreach (var finding in findings)
        {
            var mark = finding.Good switch { true => "[green]ok[/]", false => "[red]missing[/]", null => "[yellow]note[/]" };
            table.AddRow(new Markup(mark), new Text(finding.Subject), new Text(finding.Advice is null ? finding.What : $"{finding.What}\n→ {finding.Advice}"));
        }

        AnsiConsole.Write(table);
        var sets = new Table { Border = TableBorder.Rounded, Title = new TableTitle("what can run here") }.AddColumns("--components", "built-in sidecars", "--sidecar daprd");
        foreach (var set in await SetsAsync(SourceTree.Find(), options, CancellationToken.None))
            sets.AddRow(new Text(set.Name), Answer(set.BuiltIn), Answer(set.RealDapr));
        AnsiConsole.Write(sets);
        var bad = findings.Count(finding => finding.Good == false);
        AnsiConsole.MarkupLine(bad == 0 ? "[green]Everything needed is here.[/]" : $"[red]{bad} things are missing.[/]");
        return bad == 0 ? 0 : 1;
    }

    /// <summary>Every component set of the checkout: what is in its way with either kind of sidecars.</summary>
    public static async Task<IReadOnlyList<SetFinding>> SetsAsync(SourceTree tree, LaunchOptions options, CancellationToken ct)
    {
        var docker = await Containers.AnswerAsync(ct);
        var folder = Path.Combine(tree.Root, "components");
        return [.. Directory.GetDirectories(folder).Select(set => Path.GetFileName(set)).Order(StringComparer.Ordinal).Select(set =>
            new SetFinding(set, InTheWay(tree, options, set, SidecarKind.Local, docker), InTheWay(tree, options, set, SidecarKind.DaprCli, docker) ?? NoDapr()))];
    }

    private static string? InTheWay(SourceTree tree, LaunchOptions options, string set, SidecarKind sidecar, bool docker)
    {
        try
        {
            var read = ComponentFolder.Find(tree, set);
            if (sidecar == SidecarKind.Local && read.Resources.Components.Where(one => !ComponentTypes.IsServed(one)).Select(one => one.Type).Distinct().ToList() is [_, ..] foreign)
                return $"only a real Dapr serves {string.Join(", ", foreign)}";
            var plan = SystemPlan.Read(tree, options with { Components = set }, sidecar);
            Servers.CheckPrograms(plan);
            if (plan.Needs.Elsewhere is [_, ..] elsewhere)
                return $"not by itself: it names servers that must answer, {string.Join(", ", elsewhere)}";
            return plan.Needs.RabbitMq && RabbitMqServer.Configured() is null && RabbitMqServer.FindScript() is null && !docker ? "needs a RabbitMQ: rabbitmq-server, Docker or MARKETPLACE_RABBITMQ" : null;
        }
        catch (Exception wrong) when (wrong is ResourceException or LaunchException)
        {
            return wrong.Message.Contains("pubsub.in-memory", StringComparison.Ordinal) ? "its events would never leave one daprd"
                : wrong.Message.Contains("Redis Streams", StringComparison.Ordinal) ? "needs redis-server, valkey-server or MARKETPLACE_REDIS: Garnet has no streams" : wrong.Message;
        }
    }

    private static string? NoDapr()
    {
        try
        {
            DaprPrograms.Find();
            return null;
        }
        catch (LaunchException)
        {
            return "no daprd, placement and scheduler here";
        }
    }

    private static Markup Answer(string? inTheWay) => inTheWay is null ? new Markup("[green]yes[/]") : new Markup($"[grey]{Markup.Escape(inTheWay.StartsWith("not ", StringComparison.Ordinal) ? inTheWay : $"no: {inTheWay}")}[/]");

    public static async Task<IReadOnlyList<Finding>> ExamineAsync(SourceTree tree, LaunchOptions options, CancellationToken ct)
    {
        var data = DataFolder.Of(tree, options.Data);
        var running = RunningSystem.Read(data) is { IsAlive: true } alive ? alive : null;
        List<Finding> findings =
        [
            new(".NET", Environment.Version.Major >= 10, $".NET {Environment.Version} in {Path.GetDirectoryName(Programs.Find("dotnet") ?? Environment.ProcessPath)}",
                Environment.Version.Major >= 10 ? null : "Install the .NET 10 SDK: https://dotnet.microsoft.com/download"),
            await PostgresAsync(ct),
            await RedisAsync(ct),
            RabbitMq(await Containers.AnswerAsync(ct)),
            Dapr(),
            Node(),
            DyingWithTheLauncher(),
        ];
        if (Programs.Find("docker") is { } docker)
            findings.Add(new Finding("Docker", null, await Containers.AnswerAsync(ct) ? $"{docker}, daemon answers" : $"{docker}, but its daemon does not answer; it is not needed"));
        findings.Add(Programs.Find("dapr") is { } dapr ? new Finding("Dapr CLI", null, $"{dapr}: `dapr run -f .` works after `-- infra`") : new Finding("Dapr CLI", null, "not installed; not needed, the sidecars are built in"));
        findings.Add(new Finding("data folder", true, $"{data.Root}{(Directory.Exists(data.Root) ? "" : " (will be made)")}"));
        if (new DriveInfo(Directory.Exists(data.Root) ? data.Root : tree.Root).AvailableFreeSpace is var free and < 2L << 30)
            findings.Add(new Finding("disk", false, $"{free >> 20} MB free", "Two gigabytes are comfortable."));
        if (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes is var memory && memory < 3L << 30)
            findings.Add(new Finding("memory", null, $"{memory >> 20} MB", "The whole system needs about two and a half gigabytes."));

        try
        {
            var plan = RunPlan.Read(tree.RunFile);
            var builds = new Builds(tree);
            var services = plan.Apps.Select(app => new LocalService(app)).ToList();
            var stale = services.Where(service => service.Project is not null && builds.IsStale(service.App.Folder, service.Output)).Select(service => service.AppId).ToList();
            findings.Add(new Finding("services", true, stale.Count == 0 ? $"{services.Count}, all built" : $"{services.Count}; to be built: {string.Join(", ", stale)}"));
            if (running is null)
            {
                var taken = services.SelectMany(service => new[] { service.App.AppPort, service.App.DaprHttpPort, service.App.DaprGrpcPort })
                    .OfType<int>().Where(port => !PortBook.IsFree(port)).ToList();
                findings.Add(taken.Count == 0 ? new Finding("ports", true, "the usual ones are free") : new Finding("ports", null, $"taken: {string.Join(", ", taken)}; others will be used"));
            }
        }
        catch (ResourceException wrong)
        {
            findings.Add(new Finding("dapr.yaml", false, wrong.Message));
        }

        findings.Add(running is null
            ? new Finding("running", null, "nothing")
            : new Finding("running", null, $"{running.GatewayUrl}, {running.Parts.Count(part => part.State == nameof(PartState.Ready))} of {running.Parts.Count} parts ready, launcher is process {running.LauncherPid}"));
        return findings;
    }

    private static async Task<Finding> PostgresAsync(CancellationToken ct)
    {
        const string Advice = "Debian and Ubuntu: apt-get install -y postgresql · Fedora: dnf install postgresql-server · macOS: brew install postgresql@17";
        if (PostgresServer.Configured() is { } configured)
        {
            try
            {
                await PostgresServer.WaitAsync(configured, () => false, TimeSpan.Zero, ct);
                return new Finding("PostgreSQL", true, $"{configured.Host}:{configured.Port}, from MARKETPLACE_POSTGRES");
            }
            catch (LaunchException failure)
            {
                return new Finding("PostgreSQL", false, failure.Message, "Start that server or unset MARKETPLACE_POSTGRES.");
            }
        }

        if (PostgresBinaries.Find() is { } binaries)
            return new Finding("PostgreSQL", true, $"binaries in {binaries.Folder}{(Signals.IsRoot ? "; you are root, so it runs as another system user" : "")}");
        return await Containers.AnswerAsync(ct)
            ? new Finding("PostgreSQL", true, "no binaries; a container will be used")
            : new Finding("PostgreSQL", null, "no binaries, no container; a download from Maven Central will be tried", Advice);
    }

    private static async Task<Finding> RedisAsync(CancellationToken ct)
    {
        if (Environment.GetEnvironmentVariable("MARKETPLACE_REDIS") is { Length: > 0 } configured)
        {
            var address = configured.Split(',')[0].Split(':');
            using var socket = new TcpClient();
            try
            {
                await socket.ConnectAsync(address[0], address.Length > 1 ? int.Parse(address[1], System.Globalization.CultureInfo.InvariantCulture) : 6379, ct);
                return new Finding("Redis", true, $"{configured.Split(',')[0]}, from MARKETPLACE_REDIS");
            }
            catch (SocketException failure)
            {
                return new Finding("Redis", false, $"{configured.Split(',')[0]}: {failure.Message}", "Start that server or unset MARKETPLACE_REDIS.");
            }
        }

        return new Finding("Redis", true, (Programs.Find("redis-server") ?? Programs.Find("valkey-server")) is { } server ? server : "no redis-server or valkey-server on PATH; the built-in Garnet will be used, which has no streams (set redis)");
    }

    private static Finding RabbitMq(bool docker)
    {
        const string Advice = "Only the sets rabbitmq and postgres need one. Debian and Ubuntu: apt-get install -y rabbitmq-server · macOS: brew install rabbitmq";
        try
        {
            if (RabbitMqServer.Configured() is { } configured)
                return new Finding("RabbitMQ", true, $"{new Uri(configured).Authority}, from MARKETPLACE_RABBITMQ");
        }
        catch (LaunchException wrong)
        {
            return new Finding("RabbitMQ", false, wrong.Message, wrong.Advice);
        }

        return RabbitMqServer.FindScript() is { } script ? new Finding("RabbitMQ", true, script)
            : docker ? new Finding("RabbitMQ", true, "not installed; a container will be used")
            : new Finding("RabbitMQ", null, "not installed", Advice);
    }

    private static Finding Dapr()
    {
        try
        {
            var programs = DaprPrograms.Find();
            return new Finding("Dapr", null, $"{programs.Daprd}, with placement and scheduler: `--sidecar daprd` works");
        }
        catch (LaunchException missing)
        {
            return new Finding("Dapr", null, $"{missing.Message} Not needed: the sidecars are built in.");
        }
    }

    private static Finding Node() => (Programs.Find("node"), Programs.Find("npm")) is ({ } node, not null)
        ? new Finding("Node.js", null, $"{node}: `--with order-feed-node` works")
        : new Finding("Node.js", null, "no node with npm; only the sample order-feed-node needs it");

    private static Finding DyingWithTheLauncher() => Programs.Find("setpriv") is { } setpriv
        ? new Finding("process control", true, $"{setpriv}: everything ends with the launcher, even when that is killed")
        : new Finding("process control", null, "no setpriv: after a kill -9 of the launcher its processes stay until the next start");
}
