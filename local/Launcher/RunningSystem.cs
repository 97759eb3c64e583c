using System.Text.Json;
using System.Text.Json.Serialization;

namespace Marketplace.Local.Launcher;

/// <summary>What state.json says: which processes run and where they answer. Other programs read it; only the launcher writes it.</summary>
public sealed record RunningSystem(
    int LauncherPid,
    DateTime LauncherStartedAt,
    bool Ready,
    string DataFolder,
    string Components,
    string GatewayUrl,
    string ControlUrl,
    string ProviderUrl,
    string PicturesUrl,
    string MailFolder,
    string PostgresAddress,
    string RedisAddress,
    string SecretsFile,
    IReadOnlyList<RunningPart> Parts)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };
    private static readonly JsonSerializerOptions OneLine = new(Json) { WriteIndented = false };

    /// <summary>local, daprd, or none where only the infrastructure runs.</summary>
    public string Sidecar { get; init; } = "local";

    public string RabbitMqAddress { get; init; } = "";
    public string KafkaBrokers { get; init; } = "";

    /// <summary>Where only the infrastructure runs: the command that starts the rest. It holds the app token.</summary>
    public string GoOn { get; init; } = "";

    /// <summary>Of every instance of the gateway. Nothing stands in front of them here: a client takes one, and another when that is gone.</summary>
    public IReadOnlyList<string> GatewayUrls => [.. Parts.Where(part => part.AppId == "gateway" && part.Port is not null).Select(part => $"http://127.0.0.1:{part.Port}")];

    [JsonIgnore]
    public bool IsAlive => Signals.IsAlive(LauncherPid, LauncherStartedAt);

    public static RunningSystem? Read(DataFolder data)
    {
        try
        {
            return File.Exists(data.State) ? JsonSerializer.Deserialize<RunningSystem>(File.ReadAllText(data.State), Json) : null;
        }
        catch (JsonException)
        {
            return null;   // written by another version: nothing in it can be trusted
        }
    }

    public static RunningSystem Parse(string line) =>
        JsonSerializer.Deserialize<RunningSystem>(line, OneLine) ?? throw new InvalidDataException("The launcher printed no state.");

    public void Write(DataFolder data) => PrivateFile.Write(data.State, JsonSerializer.Serialize(this, Json));

    public string ToLine() => JsonSerializer.Serialize(this, OneLine);

    /// <summary>Ends what a launcher that was killed left behind; only processes that are surely the ones it started.</summary>
    public async Task<int> EndLeftoversAsync()
    {
        var leftovers = Parts.Where(part => part.Pid is { } pid && part.StartedAt is { } started && Signals.IsAlive(pid, started)).ToList();
        foreach (var part in leftovers)
            Signals.Send(part.Pid!.Value, part.Name == "postgres" ? Signals.Interrupt : Signals.Terminate);
        for (var wait = 0; wait < 100 && leftovers.Any(IsUp); wait++)
            await Task.Delay(100);
        foreach (var part in leftovers.Where(IsUp))
            Signals.Send(part.Pid!.Value, Signals.Kill);
        return leftovers.Count;

        static bool IsUp(RunningPart part) => Signals.IsAlive(part.Pid!.Value, part.StartedAt!.Value);
    }
}

/// <param name="Name">The app id, with -2, -3 for further instances; or postgres, redis, rabbitmq, kafka, mail, provider, sidecars; with a real Dapr placement, scheduler and <c>app-daprd</c>.</param>
public sealed record RunningPart(
    string Name,
    string? AppId,
    int? Pid,
    DateTime? StartedAt,
    int? Port,
    int? DaprHttpPort,
    int? DaprGrpcPort,
    string State,
    int Restarts,
    string Log);
