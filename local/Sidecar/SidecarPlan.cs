using System.Text.Json;
using System.Text.Json.Serialization;

namespace Marketplace.Local.Sidecar;

/// <summary>What one host process runs: a pair of ports for each app instance. Two entries with one app id are two instances of that app.</summary>
public sealed record SidecarPlan(
    string DataFolder,
    int ControlPort,
    string? ApiToken,
    string? AppToken,
    string? Namespace,
    IReadOnlyList<SidecarApp> Apps)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = false,
    };

    public static SidecarPlan Read(string file) =>
        JsonSerializer.Deserialize<SidecarPlan>(File.ReadAllBytes(file), Json)
        ?? throw new InvalidDataException($"{file}: holds no plan.");

    public void Write(string file) => File.WriteAllBytes(file, JsonSerializer.SerializeToUtf8Bytes(this, Json));
}

/// <param name="AppFolder">The working folder a daprd of this app would have: relative paths in component metadata start here.</param>
/// <param name="AppPort">Where the app listens; without one the app is never called.</param>
/// <param name="MaxConcurrency">Calls to the app at a time; 0 or less is unlimited.</param>
public sealed record SidecarApp(
    string AppId,
    string AppFolder,
    int? AppPort,
    int HttpPort,
    int GrpcPort,
    IReadOnlyList<string> ResourcesPaths,
    string? ConfigFile = null,
    string AppProtocol = "http",
    AppHealthCheck? HealthCheck = null,
    int MaxConcurrency = -1,
    long MaxBodyBytes = 4 << 20);

/// <param name="Threshold">Failed probes in a row until the app counts as unhealthy; a single good one brings it back.</param>
public sealed record AppHealthCheck(string Path, TimeSpan Interval, TimeSpan Timeout, int Threshold)
{
    public static readonly AppHealthCheck Default = new("/healthz", TimeSpan.FromSeconds(5), TimeSpan.FromMilliseconds(500), 3);
}
