using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.Bindings;

/// <summary>A component of type bindings.*: for output, input or both.</summary>
internal abstract class BindingComponent(Component component) : IAsyncDisposable
{
    public Component Component { get; } = component;
    public string Name => Component.Name;

    public static BindingComponent Open(SidecarHost host, SidecarApp app, Component component) => (component.Type, component.Manifest.Version) switch
    {
        _ => throw component.UnknownType(),
    };

    public virtual ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }
}
