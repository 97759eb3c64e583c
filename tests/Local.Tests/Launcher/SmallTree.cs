using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Marketplace.Local.Launcher;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Local.Tests.Launcher;

/// <summary>A checkout in small: dapr.yaml, a component set and apps that only pretend, for the launcher as a process of its own.</summary>
internal sealed class SmallTree : IDisposable
{
    public const string Secrets = """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata:
          name: secrets
        spec:
          type: secretstores.local.file
          version: v1
          metadata:
            - name: secretsFile
              envRef: MARKETPLACE_SECRETS

        """;

    public const string RunFile = """
        version: 1
        common:
          resourcesPaths: ["./components/redis"]
          configFilePath: ./components/config.yaml
          enableAppHealthCheck: true
          appHealthCheckPath: /livez
          appHealthProbeInterval: 3
          appHealthProbeTimeout: 2000
        apps:
          - appID: shop
            appDirPath: ./apps/shop
            appPort: 21801
            daprHTTPPort: 21803
            daprGRPCPort: 21804
            command: ["dotnet", "{standin}", "app"]
          - appID: office
            appDirPath: ./apps/office
            appMaxConcurrency: 4
            command: ["dotnet", "{standin}", "app"]
          - appID: night-watch
            appDirPath: ./apps/watch-node
            optIn: true
            command: ["dotnet", "{standin}", "app"]

        """;

    private static readonly string StandIn = Path.Combine(AppContext.BaseDirectory, "DaprStandIn.dll");
    private static readonly string Local = Path.Combine(AppContext.BaseDirectory, "Local.dll");

    public SmallTree()
    {
        Root = Directory.CreateTempSubdirectory("launcher-").FullName;
        // Temporary folders are private to their maker, and as root the database belongs to somebody else.
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(Root, (UnixFileMode)Convert.ToInt32("755", 8));
        Write("Marketplace.sln", "");
        Write("dapr.yaml", RunFile);
        Write("components/config.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: small\nspec:\n  metrics:\n    enabled: false\n");
        Write("components/local/secrets.yaml", Secrets);
        Write("components/redis/secrets.yaml", Secrets);
        foreach (var folder in new[] { "apps/shop", "apps/office", "apps/watch-node", "notes", "dapr" })
            Directory.CreateDirectory(Path.Combine(Root, folder));
        foreach (var program in new[] { "daprd", "placement", "scheduler" })
            Program(program);
    }

    public string Root { get; }
    public string Notes => Path.Combine(Root, "notes");
    public string DaprFolder => Path.Combine(Root, "dapr");
    public DataFolder Data => new(Path.Combine(Root, ".local"));

    /// <summary>More environment for what is launched.</summary>
    public Dictionary<string, string?> Environment { get; } = [];

    public IReadOnlyList<string> Events
    {
        get
        {
            while (true)
            {
                try
                {
                    return File.ReadAllLines(Path.Combine(Notes, "events.log"));
                }
                catch (FileNotFoundException)
                {
                    return [];
                }
                catch (IOException)
                {
                    Thread.Yield();   // a stand-in is writing, alone with the file
                }
            }
        }
    }

    /// <summary>Every process that pretended to be something, in no order.</summary>
    public IReadOnlyList<StandInStart> Starts => [.. Directory.GetFiles(Notes, "*.json").Select(file =>
    {
        var json = JsonDocument.Parse(File.ReadAllText(file)).RootElement;
        return new StandInStart(
            int.Parse(Path.GetFileNameWithoutExtension(file).Split('-')[^1], null), json.GetProperty("who").GetString()!, json.GetProperty("folder").GetString()!,
            [.. json.GetProperty("arguments").EnumerateArray().Select(one => one.GetString()!)],
            json.GetProperty("environment").EnumerateObject().ToDictionary(one => one.Name, one => one.Value.GetString()));
    })];

    public static void NeedsPostgres() =>
        Assert.SkipWhen(PostgresServer.Configured() is null && PostgresBinaries.Find() is null, "no PostgreSQL: neither its programs nor MARKETPLACE_POSTGRES");

    public void Write(string file, string text)
    {
        var path = Path.Combine(Root, file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text.Replace("{standin}", StandIn, StringComparison.Ordinal));
    }

    public Launched Launch(params IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Local, .. arguments]) { WorkingDirectory = Root, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["STANDIN_FOLDER"] = Notes;
        start.Environment["DAPRD_PATH"] = DaprFolder;
        start.Environment.Remove("MARKETPLACE_DATA");
        foreach (var (name, value) in Environment)
        {
            if (value is null)
                start.Environment.Remove(name);
            else
                start.Environment[name] = value;
        }

        return new Launched(Process.Start(start)!);
    }

    /// <summary>For what ends by itself.</summary>
    public async Task<(int Code, string Output)> RunAsync(params string[] arguments)
    {
        using var launched = Launch(arguments);
        return (await launched.EndAsync(), launched.Output);
    }

    public void Dispose()
    {
        try
        {
            Directory.Delete(Root, recursive: true);
        }
        catch (IOException)
        {
            // Something still writes there; the test has said so already, or the system's own cleaning of temporary folders will do.
        }
    }

    private void Program(string name)
    {
        var file = Path.Combine(DaprFolder, name);
        File.WriteAllText(file, $"#!/bin/sh\nexec dotnet '{StandIn}' {name} \"$@\"\n");
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(file, (UnixFileMode)Convert.ToInt32("755", 8));
    }
}

internal sealed record StandInStart(int Pid, string Who, string Folder, IReadOnlyList<string> Arguments, IReadOnlyDictionary<string, string?> Environment)
{
    public string? Value(string flag) => Arguments.ToList().IndexOf(flag) is var at and >= 0 ? Arguments[at + 1] : null;
}

/// <summary>The launcher, and all that it has said.</summary>
internal sealed class Launched : IDisposable
{
    private readonly Process process;
    private readonly StringBuilder output = new();
    private readonly TaskCompletionSource<RunningSystem> ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task reading;

    public Launched(Process process)
    {
        this.process = process;
        reading = Task.WhenAll(ReadAsync(process.StandardOutput), ReadAsync(process.StandardError));
        _ = reading.ContinueWith(_ => ready.TrySetException(new InvalidOperationException($"It ended before it was ready:\n{Output}")), TaskScheduler.Default);
    }

    public string Output
    {
        get
        {
            lock (output)
                return output.ToString();
        }
    }

    /// <summary>With --json: what it says when everything is ready.</summary>
    public Task<RunningSystem> ReadyAsync() => ready.Task.WaitAsync(TimeSpan.FromMinutes(3), TestContext.Current.CancellationToken);

    public async Task<int> StopAsync()
    {
        Signals.Send(process.Id, Signals.Terminate);
        return await EndAsync();
    }

    public async Task<int> EndAsync()
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(TimeSpan.FromMinutes(3));
        await process.WaitForExitAsync(patience.Token);
        await reading.WaitAsync(patience.Token);
        return process.ExitCode;
    }

    public void Dispose()
    {
        if (!process.HasExited)
        {
            Signals.Send(process.Id, Signals.Terminate);
            if (!process.WaitForExit(TimeSpan.FromSeconds(40)))
                process.Kill();
        }

        process.Dispose();
    }

    private async Task ReadAsync(StreamReader reader)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            lock (output)
                output.AppendLine(line);
            if (line.StartsWith("{\"launcherPid\"", StringComparison.Ordinal))
                ready.TrySetResult(RunningSystem.Parse(line));
        }
    }
}
