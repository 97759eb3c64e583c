using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.Bindings;

/// <summary>A component of type bindings.*: for output, input or both.</summary>
internal abstract class BindingComponent(Component component) : IAsyncDisposable
{
    public Component Component { get; } = component;
    public string Name => Component.Name;

    public virtual IReadOnlyList<string> Operations => [];

    /// <summary>Calls the handler for every event until cancelled; null for a binding that takes no input.</summary>
    public virtual Func<BindingHandler, CancellationToken, Task>? Input => null;

    /// <summary>As the metadata API names them.</summary>
    public IEnumerable<string> Capabilities => (Input is null ? [] : (string[])["INPUT_BINDING"]).Concat(Operations.Count == 0 ? [] : ["OUTPUT_BINDING"]);

    public static BindingComponent Open(SidecarHost host, SidecarApp app, Component component) => (component.Type, component.Manifest.Version) switch
    {
        ("bindings.localstorage", "v1") => new LocalStorageBinding(component, app),
        ("bindings.smtp", "v1") => new SmtpBinding(component, host.Time),
        ("bindings.cron", "v1") => new CronBinding(component, host.Time),
        ("bindings.http", "v1") => new HttpBinding(component),
        _ => throw component.UnknownType(),
    };

    /// <summary>Runs an output operation; an exception's message is what the caller is told.</summary>
    public abstract Task<BindingReply> InvokeAsync(BindingCall call, CancellationToken ct);

    public virtual ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }
}

/// <param name="Data">Over HTTP the JSON text of the field data, over gRPC the bytes as sent.</param>
internal sealed record BindingCall(string Operation, ReadOnlyMemory<byte> Data, IReadOnlyDictionary<string, string> Metadata)
{
    public string? Get(string name)
    {
        foreach (var (key, value) in Metadata)
        {
            if (key.Equals(name, StringComparison.OrdinalIgnoreCase) && value.Length > 0) return value;
        }

        return null;
    }

    public string Require(string name) => Get(name) ?? throw new BindingException($"metadata {name} is required");

    /// <summary>The data as text; a JSON string loses its quotes, as most components of daprd do.</summary>
    public string Text()
    {
        var text = System.Text.Encoding.UTF8.GetString(Data.Span);
        if (text is not ['"', .., '"']) return text;
        try
        {
            return System.Text.Json.JsonSerializer.Deserialize<string>(text) ?? "";
        }
        catch (System.Text.Json.JsonException)
        {
            return text;
        }
    }
}

/// <param name="Data">Null is an answer without a body.</param>
internal sealed record BindingReply(ReadOnlyMemory<byte>? Data = null, IReadOnlyDictionary<string, string>? Metadata = null)
{
    public static readonly BindingReply Empty = new();
}

/// <summary>Hands an input event to the app; false when the app did not take it.</summary>
internal delegate Task<bool> BindingHandler(ReadOnlyMemory<byte> data, IReadOnlyDictionary<string, string> metadata, CancellationToken ct);

/// <param name="metadata">What the caller is told beside the error.</param>
internal sealed class BindingException(string message, IReadOnlyDictionary<string, string>? metadata = null) : Exception(message)
{
    public IReadOnlyDictionary<string, string> Metadata { get; } = metadata ?? new Dictionary<string, string>();
}
