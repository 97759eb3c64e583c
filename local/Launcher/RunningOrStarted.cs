namespace Marketplace.Local.Launcher;

/// <summary>The marketplace that runs on this data folder; where none does, one that is started now and stopped at the end.</summary>
public sealed class RunningOrStarted : IAsyncDisposable
{
    private readonly LocalSystem? own;

    private RunningOrStarted(RunningSystem system, LocalSystem? own)
    {
        System = system;
        this.own = own;
    }

    public RunningSystem System { get; }

    public static async Task<RunningOrStarted> AttachAsync(LaunchOptions options, LaunchView view, CancellationToken ct)
    {
        var tree = SourceTree.Find();
        if (RunningSystem.Read(DataFolder.Of(tree, options.Data)) is { IsAlive: true } running)
        {
            if (!running.Ready || running.GatewayUrl.Length == 0)
                throw new LaunchException("The marketplace on this data folder is not ready.", "Wait until it is, or look at `doctor`.");
            return new RunningOrStarted(running, null);
        }

        var started = await LocalSystem.StartAsync(tree, options, view, ct);
        return new RunningOrStarted(started.Describe(), started);
    }

    public ValueTask DisposeAsync() => own?.DisposeAsync() ?? ValueTask.CompletedTask;
}
