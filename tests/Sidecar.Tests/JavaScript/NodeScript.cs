using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.JavaScript;

/// <summary>
/// A script of this folder in a Node.js process of its own. It prints one line of JSON per check; <see cref="EndAsync"/> fails with every
/// check that did, and with what the process wrote beside them. The packages are installed once per build output, from the lock file, by
/// the first test that needs them; without Node.js, or when the registry cannot be reached, the test is skipped with that reason.
/// </summary>
internal sealed class NodeScript : IAsyncDisposable
{
    private static readonly TimeSpan LongestInstall = TimeSpan.FromMinutes(3);
    private static readonly TimeSpan LongestRun = TimeSpan.FromMinutes(2);
    private static readonly Lazy<Task<string?>> Missing = new(InstallAsync);

    private readonly Process process;
    private readonly string script;
    private readonly List<Line> lines = [];
    private readonly List<string> written = [];
    private readonly Task reading;

    private NodeScript(Process process, string script)
    {
        this.process = process;
        this.script = script;
        reading = Task.WhenAll(ReadAsync(process.StandardOutput), DrainAsync(process.StandardError));
    }

    private static string Folder => Path.Combine(AppContext.BaseDirectory, "JavaScript");

    /// <param name="sidecar">Whose ports the script is told, as a sidecar tells its app.</param>
    public static async Task<NodeScript> StartAsync(string script, SidecarsUnderTest sidecars, int sidecar = 0, params (string Name, object Value)[] environment) =>
        await StartAsync(script, [("DAPR_HTTP_PORT", sidecars.HttpPort(sidecar)), ("DAPR_GRPC_PORT", sidecars.GrpcPort(sidecar)), .. environment]);

    public static async Task<NodeScript> StartAsync(string script, params (string Name, object Value)[] environment)
    {
        if (await Missing.Value is { } reason) Assert.Skip(reason);
        var start = new ProcessStartInfo("node", [Path.Combine(Folder, script)])
        {
            WorkingDirectory = Folder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment) start.Environment[name] = $"{value}";
        return new NodeScript(Process.Start(start)!, script);
    }

    /// <summary>Runs a script that needs nothing of the test meanwhile.</summary>
    public static async Task RunAsync(string script, SidecarsUnderTest sidecars, int sidecar = 0, params (string Name, object Value)[] environment)
    {
        await using var node = await StartAsync(script, sidecars, sidecar, environment);
        await node.EndAsync();
    }

    /// <summary>Waits for a mark that the script sets, and gives what it says there.</summary>
    public async Task<JsonElement> ReachedAsync(string mark)
    {
        JsonElement? said = null;
        await Eventually.Async(
            () =>
            {
                lock (lines) said = lines.FirstOrDefault(line => line.Reached == mark)?.Json;
                if (said is null && process.HasExited) Assert.Fail($"{script} ended before '{mark}'.\n{Story()}");
                return said is not null;
            },
            $"{script} comes to '{mark}'",
            LongestRun);
        return said!.Value;
    }

    /// <summary>Closes the script's standard input, on which some wait, and reads its checks to the end.</summary>
    public async Task EndAsync()
    {
        process.StandardInput.Close();
        using var limit = new CancellationTokenSource(LongestRun);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"{script} did not end within {LongestRun.TotalMinutes} minutes.\n{Story()}");
        }

        await reading;
        var failed = lines.Where(line => line.Ok == false).ToList();
        if (failed.Count > 0 || !lines.Any(line => line.End) || !lines.Any(line => line.Ok == true))
            Assert.Fail($"{script}: {failed.Count} of {lines.Count(line => line.Ok is not null)} checks failed, exit code {process.ExitCode}.\n{Story()}");
        foreach (var line in lines.Where(line => line.Ok == true)) TestContext.Current.TestOutputHelper?.WriteLine($"✓ {line.Check}");
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
        }

        await reading;
        process.Dispose();
    }

    private string Story()
    {
        lock (lines)
        {
            lock (written)
            {
                return string.Join('\n',
                [
                    .. lines.Where(line => line.Check is not null).Select(line => line.Ok == true ? $"✓ {line.Check}" : $"✗ {line.Check}\n    {line.Error?.Replace("\n", "\n    ", StringComparison.Ordinal)}"),
                    .. written.Count == 0 ? (string[])[] : ["It wrote:", .. written.TakeLast(40)],
                ]);
            }
        }
    }

    private async Task ReadAsync(StreamReader output)
    {
        while (await output.ReadLineAsync() is { } text)
        {
            if (!text.StartsWith('{'))
            {
                lock (written) written.Add(text);
                continue;
            }

            var json = JsonDocument.Parse(text).RootElement.Clone();
            string? Text(string name) => json.TryGetProperty(name, out var value) ? value.GetString() : null;
            lock (lines)
                lines.Add(new Line(Text("check"), json.TryGetProperty("ok", out var ok) ? ok.GetBoolean() : null, Text("error"), Text("reached"), json.TryGetProperty("end", out _), json));
        }
    }

    private async Task DrainAsync(StreamReader output)
    {
        while (await output.ReadLineAsync() is { } text)
        {
            lock (written) written.Add(text);
        }
    }

    /// <summary>Gives why the scripts cannot run here, or null when they can.</summary>
    private static async Task<string?> InstallAsync()
    {
        if (await NodePrograms.WhyNotAsync() is { } reason) return reason;
        var stamp = Path.Combine(Folder, "node_modules", ".installed");
        var wanted = Convert.ToHexString(SHA256.HashData(await File.ReadAllBytesAsync(Path.Combine(Folder, "package-lock.json"))));
        var clock = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                // Held by one process at a time; it ends with its holder, however that ends.
                await using var turn = new FileStream(Path.Combine(Folder, ".install.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
                if (File.Exists(stamp) && await File.ReadAllTextAsync(stamp) == wanted) return null;
                if (await InstallAsync(LongestInstall - clock.Elapsed) is { } unreachable) return unreachable;
                await File.WriteAllTextAsync(stamp, wanted);
                return null;
            }
            catch (IOException) when (clock.Elapsed < LongestInstall)
            {
                await Task.Delay(200);
            }
        }
    }

    private static async Task<string?> InstallAsync(TimeSpan patience)
    {
        try
        {
            var (code, output) = await NodePrograms.RunAsync(NodePrograms.Npm(Folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"), patience);
            if (code == 0) return null;
            return NodePrograms.WhyUnreachable(output) ?? throw new InvalidOperationException($"npm ci failed in {Folder}:\n{output}");
        }
        catch (TimeoutException e)
        {
            return e.Message;
        }
    }

    private sealed record Line(string? Check, bool? Ok, string? Error, string? Reached, bool End, JsonElement Json);
}
