using System.Text.Json;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.Actors;

/// <summary>What <c>GET /dapr/config</c> says about one actor type.</summary>
internal sealed record ActorConfig(TimeSpan IdleTimeout, TimeSpan DrainTimeout, bool Reentrancy, int MaxStackDepth)
{
    public static readonly ActorConfig Default = new(TimeSpan.FromMinutes(60), TimeSpan.FromSeconds(2), Reentrancy: false, MaxStackDepth: 32);

    /// <summary>The hosted types and their settings; an entry of entitiesConfig stands above the common ones.</summary>
    public static IReadOnlyDictionary<string, ActorConfig> Parse(ReadOnlyMemory<byte> json)
    {
        using var document = JsonDocument.Parse(json);
        var root = document.RootElement;
        var types = new Dictionary<string, ActorConfig>();
        if (root.ValueKind != JsonValueKind.Object) return types;
        var common = Default.With(root);
        foreach (var type in Names(root)) types[type] = common;
        if (root.TryGetProperty("entitiesConfig", out var special) && special.ValueKind == JsonValueKind.Array)
            foreach (var entry in special.EnumerateArray())
                foreach (var type in Names(entry))
                    if (types.ContainsKey(type)) types[type] = Default.With(entry);
        return types;
    }

    private ActorConfig With(JsonElement settings)
    {
        var reentrancy = settings.TryGetProperty("reentrancy", out var given) && given.ValueKind == JsonValueKind.Object ? given : default;
        var enabled = reentrancy.ValueKind == JsonValueKind.Object && reentrancy.TryGetProperty("enabled", out var on) && on.ValueKind == JsonValueKind.True;
        var depth = enabled && reentrancy.TryGetProperty("maxStackDepth", out var limit) && limit.TryGetInt32(out var number) && number > 0 ? number : MaxStackDepth;
        return new ActorConfig(Duration(settings, "actorIdleTimeout") ?? IdleTimeout, Duration(settings, "drainOngoingCallTimeout") ?? DrainTimeout, enabled, depth);
    }

    private static IEnumerable<string> Names(JsonElement element) =>
        element.TryGetProperty("entities", out var entities) && entities.ValueKind == JsonValueKind.Array
            ? entities.EnumerateArray().Select(name => name.GetString() ?? "").Where(name => name.Length > 0)
            : [];

    private static TimeSpan? Duration(JsonElement settings, string name) =>
        settings.TryGetProperty(name, out var text) && text.ValueKind == JsonValueKind.String && GoDuration.TryParse(text.GetString(), out var duration) && duration > TimeSpan.Zero
            ? duration
            : null;
}
