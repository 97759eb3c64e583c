namespace Marketplace.Local.Sidecar;

/// <summary>All instances of one app id.</summary>
public sealed class AppGroup(string appId, SidecarInstance[] instances)
{
    private uint turn;

    public string AppId { get; } = appId;
    public IReadOnlyList<SidecarInstance> Instances => instances;

    /// <summary>The next healthy instance in turn; null when none is.</summary>
    public SidecarInstance? Pick()
    {
        if (instances.Length == 1) return instances[0].Channel.IsHealthy ? instances[0] : null;

        var start = Interlocked.Increment(ref turn);
        for (uint i = 0; i < instances.Length; i++)
        {
            var instance = instances[(start + i) % instances.Length];
            if (instance.Channel.IsHealthy) return instance;
        }

        return null;
    }
}
