using System.Diagnostics;
using Marketplace.Local.Launcher;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Local.Tests.Launcher;

public sealed class WhenProcessesAreKeptAlive : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("launcher-").FullName;

    // Temporary folders are private to their maker, and as root the database belongs to somebody else.
    public WhenProcessesAreKeptAlive()
    {
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task One_that_dies_is_started_again_and_its_log_goes_on()
    {
        await using var part = new Part("shop", "service", () => { });
        part.Start(Shell("echo hello; exec sleep 100"), _ => Task.FromResult(File.Exists(part.Log) && File.ReadAllText(part.Log).Contains("hello", StringComparison.Ordinal)));
        await part.UntilReadyAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        var first = part.Child!.Pid;
        part.Child.Kill();

        await Eventually.Async(() => part is { Restarts: 1, State: PartState.Ready } && part.Child!.Pid != first, "it is up again", TimeSpan.FromSeconds(30));
        await Eventually.Async(() => File.ReadAllText(part.Log).Split("hello").Length == 3, "both lives are in the log", TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task What_remembers_it_ends_before_it_starts_again_and_starts_when_it_is_ready()
    {
        await using var broker = new Part("broker", "server", () => { });
        await using var listener = new Part("listener", "service", () => { }) { Needs = [broker] };
        foreach (var part in (Part[])[broker, listener])
        {
            part.Start(Shell("exec sleep 100", part.Name), _ => Task.FromResult(true));
            await part.UntilReadyAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        }

        var seen = (Broker: 0, Ready: true);
        broker.BeforeRestart = () =>
        {
            seen = (broker.Restarts, broker.State == PartState.Ready || !broker.Child!.HasExited);
            listener.Child!.Kill();
        };
        broker.Child!.Kill();

        await Eventually.Async(() => broker is { Restarts: 1, State: PartState.Ready } && listener is { Restarts: 1, State: PartState.Ready }, "both are up again", TimeSpan.FromSeconds(30));
        Assert.Equal((1, false), seen);
        Assert.True(listener.Child!.StartedAt >= broker.Child!.StartedAt);
    }

    [Fact]
    public async Task One_that_ends_before_it_was_ever_ready_is_a_failure_that_shows_its_last_words()
    {
        await using var part = new Part("shop", "service", () => { });
        part.Start(Shell("echo the database is gone; exit 3"), _ => Task.FromResult(false));
        var failure = await Assert.ThrowsAsync<LaunchException>(() => part.UntilReadyAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken));
        Assert.Contains("code 3", failure.Message);
        Assert.Contains("the database is gone", failure.Advice);
        Assert.Equal(0, part.Restarts);
    }

    [Fact]
    public async Task Stopping_asks_first_and_insists_after_the_grace()
    {
        await using var polite = new Part("polite", "service", () => { });
        polite.Start(Shell("trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done", "polite"), _ => Task.FromResult(File.Exists(Path.Combine(folder, "polite.log"))));
        await using var deaf = new Part("deaf", "service", () => { });
        deaf.Start(Shell("trap '' TERM; echo deaf; while :; do sleep 0.1; done", "deaf") with { Grace = TimeSpan.FromMilliseconds(300) }, _ => Task.FromResult(true));
        await Eventually.Async(() => File.Exists(deaf.Log) && File.ReadAllText(deaf.Log).Contains("deaf", StringComparison.Ordinal), "it refuses to listen", TimeSpan.FromSeconds(20));
        var pids = new[] { polite.Child!.Pid, deaf.Child!.Pid };

        await Task.WhenAll(polite.StopAsync(), deaf.StopAsync());

        Assert.All(pids, pid => Assert.False(Signals.IsAlive(pid, DateTime.UtcNow)));
        Assert.Equal(0, polite.Restarts + deaf.Restarts);
    }

    [Fact]
    public async Task Children_die_with_a_launcher_that_is_killed()
    {
        Assert.SkipWhen(Programs.Find("setpriv") is null, "this machine has no setpriv");
        var local = Path.Combine(AppContext.BaseDirectory, "Local.dll");
        var start = new ProcessStartInfo("dotnet", [local, "infra", "--data", folder, "--ports", "free", "--only", "gateway", "--no-build", "--json"]) { RedirectStandardOutput = true, RedirectStandardError = true };
        Assert.SkipUnless(File.Exists(Path.Combine(SourceTree.Find().Root, "services/Gateway/bin/Release/net10.0/Gateway.dll")), "the gateway is not built in Release");
        using var launcher = Process.Start(start)!;
        var line = await launcher.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken) ?? throw new InvalidOperationException(await launcher.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken));
        var running = RunningSystem.Parse(line);
        var children = running.Parts.Where(part => part.Pid is not null).Select(part => (Pid: part.Pid!.Value, Started: part.StartedAt!.Value)).ToList();
        try
        {
            // The gateway has no state and sends no mail: nothing is started for that.
            Assert.Equal(["postgres", "provider"], running.Parts.Select(part => part.Name).Order());
            Assert.All(children, child => Assert.True(Signals.IsAlive(child.Pid, child.Started)));
        }
        finally
        {
            launcher.Kill();   // SIGKILL: it gets no chance to tidy up
        }

        await Eventually.Async(() => !children.Any(child => Signals.IsAlive(child.Pid, child.Started)), "everything it started has ended", TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task What_a_killed_launcher_left_behind_is_ended_at_the_next_start_and_nothing_else()
    {
        using var leftover = Process.Start("sleep", "100");
        using var stranger = Process.Start("sleep", "100");
        var before = new RunningSystem(1, DateTime.UnixEpoch, true, folder, "local", "", "", "", "", "", "", "", "",
        [
            new("shop", "shop", leftover.Id, leftover.StartTime.ToUniversalTime(), null, null, null, "Ready", 0, ""),
            // The number is in use again, by somebody who started at another time.
            new("till", "till", stranger.Id, DateTime.UtcNow.AddHours(-1), null, null, null, "Ready", 0, ""),
        ]);
        before.Write(new DataFolder(folder));

        Assert.Equal(1, await RunningSystem.Read(new DataFolder(folder))!.EndLeftoversAsync());
        Assert.True(leftover.WaitForExit(5000));
        Assert.False(stranger.HasExited);
        stranger.Kill();
    }

    private ChildSpec Shell(string script, string name = "shop") => new(name, ["/bin/sh", "-c", script], folder, Path.Combine(folder, $"{name}.log"));
}
