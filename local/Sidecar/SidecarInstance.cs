using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar;

/// <summary>What one daprd would be: the sidecar of one app instance.</summary>
public sealed class SidecarInstance(SidecarHost host, SidecarApp app, int number, AppChannel channel, ComponentSet components)
{
    public SidecarHost Host { get; } = host;
    public SidecarApp App { get; } = app;
    public string AppId => App.AppId;

    /// <summary>Unique in the host: the app id and the instance's place among those of its app, such as <c>ordering-0</c>.</summary>
    public string Id { get; } = $"{app.AppId}-{number}";

    public AppChannel Channel { get; } = channel;
    public ComponentSet Components { get; } = components;

    /// <summary>Extended metadata the app stored through the metadata API.</summary>
    public System.Collections.Concurrent.ConcurrentDictionary<string, string> Extended { get; } = new();

    /// <summary>The API answers (healthz/outbound).</summary>
    public bool OutboundReady { get; internal set; }

    /// <summary>The app asked its sidecar to end.</summary>
    internal bool IsEnding { get; set; }

    /// <summary>It did: nobody is heard any more.</summary>
    internal bool IsShutDown { get; set; }

    /// <summary>The API answers and the app listens (healthz).</summary>
    public bool Ready => OutboundReady && (App.AppPort is null || Channel.PortOpened);

    /// <summary>The app is healthy and has been asked for all it hosts and listens to: an event published from now on reaches it.</summary>
    public bool Introduced { get; internal set; }

    public static SidecarInstance Of(HttpContext http) =>
        http.Features.Get<SidecarInstance>() ?? throw new InvalidOperationException("This port belongs to no app.");
}
