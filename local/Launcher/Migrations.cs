using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Marketplace.Local.Launcher;

/// <summary>
/// Runs each service's own <c>migrate</c> verb. A process start per service costs seconds, so that a service whose binaries
/// are those of its last success on this very cluster is passed over.
/// </summary>
public sealed class Migrations(DataFolder data, string cluster)
{
    private readonly Dictionary<string, string> done = Read(data);

    public bool IsNeeded(LocalService service) => !done.TryGetValue(service.AppId, out var last) || last != Fingerprint(service);

    public async Task RunAsync(LocalService service, string connectionString, CancellationToken ct)
    {
        var environment = new Dictionary<string, string?> { [$"ConnectionStrings__{service.Database}"] = connectionString };
        foreach (var (name, value) in service.App.Environment)
            environment[name] = value;
        var fingerprint = Fingerprint(service);
        var (exit, output) = await Child.RunAsync([.. service.App.Command, "migrate"], service.App.Folder, environment, ct: ct);
        await File.WriteAllTextAsync(data.Log($"{service.AppId}.migrate"), output, ct);
        if (exit != 0)
            throw new LaunchException($"{service.AppId} could not migrate its database (code {exit}).", string.Join('\n', output.Split('\n').TakeLast(12)));
        lock (done)
        {
            done[service.AppId] = fingerprint;
            File.WriteAllText(data.Migrated, JsonSerializer.Serialize(done));
        }
    }

    private string Fingerprint(LocalService service)
    {
        var folder = Path.GetDirectoryName(service.Output)!;
        var text = new StringBuilder(cluster);
        foreach (var file in (string[])[service.Output, Path.Combine(folder, "Hosting.dll")])
        {
            var info = new FileInfo(file);
            if (info.Exists)
                text.Append(CultureInfo.InvariantCulture, $"|{info.Name}:{info.Length}:{info.LastWriteTimeUtc.Ticks}");
        }

        return Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
    }

    private static Dictionary<string, string> Read(DataFolder data)
    {
        try
        {
            return File.Exists(data.Migrated) ? JsonSerializer.Deserialize<Dictionary<string, string>>(File.ReadAllText(data.Migrated)) ?? [] : [];
        }
        catch (JsonException)
        {
            return [];   // migrating once more is harmless
        }
    }
}
