using System.Text;
using System.Text.Json;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.Bindings;

/// <summary>bindings.localstorage: files under one folder. A path that leads out of it is led back in, as in daprd.</summary>
internal sealed class LocalStorageBinding : BindingComponent
{
    private readonly string root;

    public LocalStorageBinding(Component component, SidecarApp app)
        : base(component)
    {
        root = Path.GetFullPath(component.Require("rootPath"), app.AppFolder);
        foreach (var closed in (ReadOnlySpan<string>)["/proc", "/sys", "/boot", "/var/run/secrets"])
        {
            if (root == closed || root.StartsWith(closed + "/", StringComparison.Ordinal)) throw component.Error("rootPath", $"may not be {root}.");
        }

        Directory.CreateDirectory(root);
    }

    public override IReadOnlyList<string> Operations { get; } = ["create", "get", "list", "delete"];

    public override async Task<BindingReply> InvokeAsync(BindingCall call, CancellationToken ct)
    {
        switch (call.Operation)
        {
            case "create":
                var name = call.Get("fileName") ?? Guid.NewGuid().ToString();
                var path = Inside(name);
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                await File.WriteAllBytesAsync(path, Content(call), ct);
                return new BindingReply(JsonSerializer.SerializeToUtf8Bytes(new { fileName = path }));
            case "get":
                var file = Inside(call.Require("fileName"));
                return File.Exists(file) ? new BindingReply(await File.ReadAllBytesAsync(file, ct)) : throw new BindingException($"file not found: {file}");
            case "delete":
                var gone = Inside(call.Require("fileName"));
                if (!File.Exists(gone)) throw new BindingException($"file not found: {gone}");
                File.Delete(gone);
                return BindingReply.Empty;
            default:
                var folder = Inside(call.Get("fileName") ?? "");
                if (!Path.Exists(folder)) throw new BindingException($"path not found: {folder}");
                string[] files = File.Exists(folder) ? [folder] : [.. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
                return new BindingReply(JsonSerializer.SerializeToUtf8Bytes(files));
        }
    }

    /// <summary>Data that happens to be base64 is decoded, whatever it was meant to be.</summary>
    private static byte[] Content(BindingCall call)
    {
        var text = call.Text();
        var bytes = new byte[text.Length];
        if (text.Length > 0 && Convert.TryFromBase64String(text, bytes, out var count)) return bytes[..count];
        return call.Data.Span is [(byte)'"', .., (byte)'"'] ? Encoding.UTF8.GetBytes(text) : call.Data.ToArray();
    }

    private string Inside(string name)
    {
        // Rooted at "/", dot-dot ends there.
        var confined = Path.GetFullPath("/" + name)[1..];
        return confined.Length == 0 ? root : Path.Combine(root, confined);
    }
}
