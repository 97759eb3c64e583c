namespace Marketplace.Local.Launcher;

public enum PartState
{
    Waiting,
    Starting,
    Ready,
    Restarting,
    Failed,
    Stopped,
    Elsewhere,
}

/// <summary>One process of the system, kept alive until it is told to stop.</summary>
public sealed class Part(string name, string kind, Action changed) : IAsyncDisposable
{
    private static readonly TimeSpan[] BackOff = [.. new[] { 0.2, 1, 2, 5, 10 }.Select(TimeSpan.FromSeconds)];
    private readonly CancellationTokenSource stopping = new();
    private ChildSpec? spec;
    private Func<CancellationToken, Task<bool>>? isReady;
    private Task? watch;

    public string Name => name;
    public string Kind => kind;
    public string? AppId { get; init; }
    public int? Port { get; set; }
    public int? DaprHttpPort { get; set; }
    public int? DaprGrpcPort { get; set; }

    /// <summary>What must be up before a restart makes sense: a service that finds no database ends again at once.</summary>
    public IReadOnlyList<Part> Needs { get; init; } = [];

    /// <summary>Done when it has ended and before it starts again.</summary>
    public Action? BeforeRestart { get; set; }

    public string Detail { get; private set; } = "";
    public PartState State { get; private set; } = PartState.Waiting;
    public int Restarts { get; private set; }
    public Child? Child { get; private set; }
    /// <summary>What is asked to learn whether it is ready, for the one who waits in vain.</summary>
    public string? Asked { get; set; }

    public string Log => spec?.LogFile ?? "";

    public RunningPart Describe() => new(
        name, AppId, Child is { HasExited: false } child ? child.Pid : null, Child?.StartedAt, Port, DaprHttpPort, DaprGrpcPort, State.ToString(), Restarts, Log);

    /// <summary>Not ours: somebody else runs it and will stop it.</summary>
    public void IsElsewhere(string detail) => Become(PartState.Elsewhere, detail);

    public void Says(string detail) => Become(State, detail);

    public void Start(ChildSpec what, Func<CancellationToken, Task<bool>> ready)
    {
        spec = what;
        isReady = ready;
        Child = Child.Start(what);
        Become(PartState.Starting, "");
        watch = WatchAsync();
    }

    /// <summary>Until it answers. One that ends before it ever did is not restarted: something is wrong that a restart repeats.</summary>
    public async Task UntilReadyAsync(TimeSpan patience, CancellationToken ct)
    {
        var deadline = DateTime.UtcNow + patience;
        while (State is PartState.Starting or PartState.Restarting)
        {
            if (await isReady!(ct))
            {
                Become(PartState.Ready, "");
                return;
            }

            if (Child!.HasExited && State == PartState.Starting)
            {
                Become(PartState.Failed, $"ended with code {Child.ExitCode}");
                break;
            }

            if (DateTime.UtcNow > deadline)
            {
                Become(PartState.Failed, $"not ready after {patience.TotalSeconds:0} s{(Asked is null ? "" : $": {Asked} was never answered with success")}");
                break;
            }

            await Task.Delay(100, ct);
        }

        if (State == PartState.Failed)
            throw new LaunchException($"{name} {Detail}.", LastWords(Log));
    }

    public async Task StopAsync()
    {
        await stopping.CancelAsync();
        if (Child is not null)
            await Child.StopAsync();
        if (watch is not null)
            await watch;
        // A restart that was under way may have put a new process in place of the one that was just stopped.
        if (Child is { HasExited: false } successor)
            await successor.StopAsync();
        if (State != PartState.Elsewhere)
            Become(PartState.Stopped, "");
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Child?.Dispose();
        stopping.Dispose();
    }

    /// <summary>The end of a log without the frames of stacks, which would push out what was said.</summary>
    private static string LastWords(string log)
    {
        var said = File.Exists(log) ? File.ReadLines(log).Where(line => !line.StartsWith("   at ", StringComparison.Ordinal) && line.Length > 0).TakeLast(12).ToList() : [];
        return said.Count == 0 ? $"It said nothing in {log}." : $"Its log ends with:\n{string.Join('\n', said)}\nThe whole of it: {log}";
    }

    public static string Tail(string file, int lines) =>
        File.Exists(file) ? string.Join('\n', File.ReadLines(file).TakeLast(lines)) : "(no log)";

    private async Task WatchAsync()
    {
        var quickDeaths = 0;
        while (!stopping.IsCancellationRequested)
        {
            var started = DateTime.UtcNow;
            await Child!.Exited;
            if (stopping.IsCancellationRequested || State is PartState.Starting or PartState.Failed && Restarts == 0)
                return;

            quickDeaths = DateTime.UtcNow - started > TimeSpan.FromMinutes(1) ? 0 : quickDeaths + 1;
            Restarts++;
            Become(PartState.Restarting, $"ended with code {Child.ExitCode}");
            await File.AppendAllTextAsync(Log, $"---- {DateTime.UtcNow:O} ended with code {Child.ExitCode}; restart {Restarts}\n");
            try
            {
                await Task.Delay(BackOff[Math.Min(Math.Max(quickDeaths - 1, 0), BackOff.Length - 1)], stopping.Token);
                while (Needs.Any(need => need.State is not (PartState.Ready or PartState.Elsewhere)))
                    await Task.Delay(100, stopping.Token);
                BeforeRestart?.Invoke();
                // In this order: what the other parts write of this one must never meet a disposed process.
                var ended = Child;
                Child = Child.Start(spec!);
                ended.Dispose();
                Become(PartState.Restarting, "");
                while (!Child.HasExited && !await isReady!(stopping.Token))
                    await Task.Delay(100, stopping.Token);
                if (!Child.HasExited)
                    Become(PartState.Ready, "");
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (LaunchException)
            {
                // It ended, or never let us in, while we waited for it: the next turn of the loop deals with that.
            }
        }
    }

    private void Become(PartState state, string detail)
    {
        State = state;
        Detail = detail;
        changed();
    }
}
