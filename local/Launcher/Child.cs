using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Marketplace.Local.Launcher;

/// <summary>What to run, where, with what, and where its output goes.</summary>
public sealed record ChildSpec(string Name, IReadOnlyList<string> Command, string WorkingFolder, string LogFile)
{
    public IReadOnlyDictionary<string, string?> Environment { get; init; } = new Dictionary<string, string?>();

    /// <summary>System user to become; only root can, and only PostgreSQL needs it.</summary>
    public string? User { get; init; }

    /// <summary>How far it stands back when the processors are all taken: 0 not at all, 19 most (POSIX nice).</summary>
    public int Niceness { get; init; }

    /// <summary>The polite request to end. PostgreSQL ends fast and clean on SIGINT, on SIGTERM it waits for its clients.</summary>
    public int StopSignal { get; init; } = Signals.Terminate;

    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(10);
}

/// <summary>
/// A process of ours. Its output goes straight into its log file, it has a session of its own (Ctrl-C at the terminal
/// reaches the launcher only, which then stops the children in order), and it dies with the launcher, however that ends.
/// </summary>
public sealed class Child : IDisposable
{
    private readonly Process process;

    private Child(ChildSpec spec, Process process)
    {
        Spec = spec;
        this.process = process;
        Pid = process.Id;
        StartedAt = StartTimeOf(process);
    }

    public ChildSpec Spec { get; }
    public int Pid { get; }
    public DateTime StartedAt { get; }

    /// <summary>Also true of one that was disposed meanwhile: another thread may just have put its successor in place.</summary>
    public bool HasExited
    {
        get
        {
            try
            {
                return process.HasExited;
            }
            catch (InvalidOperationException)
            {
                return true;
            }
        }
    }

    public int ExitCode => process.ExitCode;
    public Task Exited => process.WaitForExitAsync();

    public static Child Start(ChildSpec spec)
    {
        var start = new ProcessStartInfo { WorkingDirectory = spec.WorkingFolder, UseShellExecute = false };
        foreach (var part in Wrap(spec))
            start.ArgumentList.Add(part);
        start.FileName = start.ArgumentList[0];
        start.ArgumentList.RemoveAt(0);
        foreach (var name in Leaked.Where(start.Environment.ContainsKey))
            start.Environment.Remove(name);
        foreach (var (name, value) in spec.Environment)
        {
            if (value is null)
                start.Environment.Remove(name);
            else
                start.Environment[name] = value;
        }

        return new Child(spec, Spawner.Start(start));
    }

    /// <summary>Asks, waits, then insists.</summary>
    public async Task StopAsync()
    {
        if (process.HasExited)
            return;
        Signals.Send(Pid, Spec.StopSignal);
        using var patience = new CancellationTokenSource(Spec.Grace);
        try
        {
            await process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            Signals.SendToGroup(Pid, Signals.Kill);
            Signals.Send(Pid, Signals.Kill);
            await process.WaitForExitAsync();
        }
    }

    public void Kill() => Signals.Send(Pid, Signals.Kill);

    public void Dispose() => process.Dispose();

    /// <summary>Runs something to its end and hands back what it said.</summary>
    public static async Task<(int ExitCode, string Output)> RunAsync(
        IReadOnlyList<string> command, string folder, IReadOnlyDictionary<string, string?>? environment = null,
        string? input = null, Action<string>? onLine = null, CancellationToken ct = default)
    {
        var start = new ProcessStartInfo(command[0], command.Skip(1))
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        foreach (var name in Leaked.Where(start.Environment.ContainsKey))
            start.Environment.Remove(name);
        foreach (var (name, value) in environment ?? new Dictionary<string, string?>())
            start.Environment[name] = value;

        var lines = new ConcurrentQueue<string>();
        void Take(string? line)
        {
            if (line is null)
                return;
            lines.Enqueue(line);
            onLine?.Invoke(line);
        }

        Process started;
        try
        {
            started = Spawner.Start(start);
        }
        catch (System.ComponentModel.Win32Exception absent)
        {
            return (127, absent.Message);
        }

        using var running = started;
        running.OutputDataReceived += (_, line) => Take(line.Data);
        running.ErrorDataReceived += (_, line) => Take(line.Data);
        running.BeginOutputReadLine();
        running.BeginErrorReadLine();
        try
        {
            if (input is not null)
                await running.StandardInput.WriteAsync(input);
            running.StandardInput.Close();
        }
        catch (IOException)
        {
            // The program ended without reading; its exit code tells why.
        }

        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        running.EnableRaisingEvents = true;
        running.Exited += (_, _) => ended.TrySetResult();
        if (running.HasExited)
            ended.TrySetResult();
        try
        {
            await ended.Task.WaitAsync(ct);
        }
        catch (OperationCanceledException)
        {
            running.Kill(entireProcessTree: true);
            throw;
        }

        // The end of the output comes with the end of the last process that holds the pipe; a compiler server that stays
        // behind holds it for minutes, so that only what arrives soon is waited for.
        await Task.WhenAny(running.WaitForExitAsync(CancellationToken.None), Task.Delay(TimeSpan.FromSeconds(2), CancellationToken.None));
        return (running.ExitCode, string.Join('\n', lines));
    }

    /// <summary>Argv that becomes <paramref name="user"/> first; null user changes nothing.</summary>
    public static IReadOnlyList<string> AsUser(string? user, IReadOnlyList<string> command) => user switch
    {
        null => command,
        _ when Programs.Find("setpriv") is { } setpriv => [setpriv, "--reuid", user, "--regid", GroupOf(user), "--init-groups", "--", .. command],
        _ when Programs.Find("runuser") is { } runuser => [runuser, "-u", user, "--", .. command],
        _ => ["su", user, "-s", "/bin/sh", "-c", "exec \"$0\" \"$@\"", .. command],
    };

    // Where Linux shares the processors out by session (sched(7), autogroup), nice means something inside of one only, and the session's own
    // value counts. Others than root may write that ten times a second on the whole machine; without it everything runs as well.
    private const string StandBack = """
        if [ -w /proc/self/autogroup ]; then for try in 1 2 3; do echo "$0" 2>/dev/null >/proc/self/autogroup && break; sleep 0.1; done; fi
        exec nice -n "$0" "$@"
        """;

    private static List<string> Wrap(ChildSpec spec)
    {
        if (OperatingSystem.IsWindows())
            return [.. spec.Command];

        List<string> command = [];
        if (Programs.Find("setsid") is { } setsid)
            command.Add(setsid);
        if (spec.Niceness > 0)
            command.AddRange(["/bin/sh", "-c", StandBack, spec.Niceness.ToString(CultureInfo.InvariantCulture)]);
        // The user changes first: changing it clears the wish to die with the parent.
        if (spec.User is not null)
            command.AddRange(AsUser(spec.User, []));
        if (Programs.Find("setpriv") is { } setpriv && OperatingSystem.IsLinux())
            command.AddRange([setpriv, "--pdeathsig", spec.StopSignal == Signals.Interrupt ? "INT" : "KILL", "--"]);
        command.AddRange(spec.Command);
        return ["/bin/sh", "-c", "exec \"$@\" </dev/null >>\"$0\" 2>&1", spec.LogFile, .. command];
    }

    private static string GroupOf(string user) =>
        File.ReadLines("/etc/passwd").Select(line => line.Split(':')).FirstOrDefault(fields => fields[0] == user) is [_, _, _, var group, ..] ? group : user;

    private static DateTime StartTimeOf(Process process)
    {
        try
        {
            return process.StartTime.ToUniversalTime();
        }
        catch (Exception gone) when (gone is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            return DateTime.UtcNow;
        }
    }

    // `dotnet run` and MSBuild leave these behind; a nested build or a service must not inherit them.
    private static readonly string[] Leaked =
    [
        "MSBUILD_EXE_PATH", "MSBuildSDKsPath", "MSBuildExtensionsPath", "MSBuildLoadMicrosoftTargetsReadOnly", "MSBUILDFAILONDRIVEENUMERATINGWILDCARD",
        "MSBUILDENSURESTDOUTFORTASKPROCESSES", "DOTNET_LAUNCH_PROFILE", "ASPNETCORE_URLS", "ASPNETCORE_HTTP_PORTS", "DOTNET_CLI_TELEMETRY_SESSIONID",
        "TESTINGPLATFORM_EXITCODE_IGNORE", "TESTINGPLATFORM_DOTNETTEST_EXECUTIONID",
    ];

    /// <summary>
    /// Starts every process from one thread that lives as long as the launcher: Linux sends the parent-death signal when the
    /// starting <em>thread</em> ends, and threads of the pool end whenever they like.
    /// </summary>
    private static class Spawner
    {
        private static readonly BlockingCollection<(ProcessStartInfo Start, TaskCompletionSource<Process> Done)> Queue = [];

        static Spawner() => new Thread(Run) { IsBackground = true, Name = "spawner" }.Start();

        public static Process Start(ProcessStartInfo start)
        {
            var done = new TaskCompletionSource<Process>(TaskCreationOptions.RunContinuationsAsynchronously);
            Queue.Add((start, done));
            return done.Task.GetAwaiter().GetResult();
        }

        private static void Run()
        {
            foreach (var (start, done) in Queue.GetConsumingEnumerable())
            {
                try
                {
                    done.SetResult(Process.Start(start) ?? throw new LaunchException($"{start.FileName} did not start."));
                }
                catch (Exception failure)
                {
                    done.SetException(failure);
                }
            }
        }
    }
}

public static partial class Signals
{
    public const int Interrupt = 2;
    public const int Kill = 9;
    public const int Terminate = 15;

    public static bool IsRoot => !OperatingSystem.IsWindows() && geteuid() == 0;

    public static void Send(int pid, int signal)
    {
        if (OperatingSystem.IsWindows())
            TryKill(pid);
        else
            _ = kill(pid, signal);
    }

    public static void SendToGroup(int pid, int signal)
    {
        if (!OperatingSystem.IsWindows())
            _ = kill(-pid, signal);
    }

    /// <summary>True when this very process (not a later one with the same number) still runs.</summary>
    public static bool IsAlive(int pid, DateTime startedAt)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            if (process.HasExited || (process.StartTime.ToUniversalTime() - startedAt).Duration() > TimeSpan.FromSeconds(3))
                return false;
            // A zombie whose parent has not looked yet is dead for every purpose of ours.
            return !OperatingSystem.IsLinux() || !File.ReadAllText($"/proc/{pid}/stat").Split(')').Last().TrimStart().StartsWith('Z');
        }
        catch (Exception gone) when (gone is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception or IOException)
        {
            return false;
        }
    }

    private static void TryKill(int pid)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            process.Kill();
        }
        catch (ArgumentException)
        {
            // Gone already, which is what was wanted.
        }
    }

    [DllImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int kill(int pid, int signal);

    [DllImport("libc", EntryPoint = "geteuid")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern uint geteuid();
}

public static class Programs
{
    /// <summary>Full path of a program on PATH, or in one of the usual places of system tools.</summary>
    public static string? Find(string name)
    {
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Concat(["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin", "/opt/homebrew/bin"]);
        return folders.Select(folder => Path.Combine(folder, OperatingSystem.IsWindows() ? name + ".exe" : name)).FirstOrDefault(File.Exists);
    }
}
