using System.Text.Json;
using Grpc.Core;
using Marketplace.Local.Sidecar.State;

namespace Marketplace.Local.Sidecar.Actors;

/// <summary>One step of an actor's state transaction.</summary>
internal sealed record ActorStateOperation(string Operation, string Key, ReadOnlyMemory<byte> Value, IReadOnlyDictionary<string, string> Metadata, string? ETag)
{
    public static List<ActorStateOperation> Parse(ReadOnlyMemory<byte> body)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            return [.. document.RootElement.EnumerateArray().Select(item =>
            {
                var request = item.GetProperty("request");
                return new ActorStateOperation(
                    item.GetProperty("operation").GetString() ?? "",
                    request.GetProperty("key").GetString() is { Length: > 0 } key ? key : throw Malformed("an operation has no key"),
                    request.TryGetProperty("value", out var value) ? GoJson.Rewrite(value) : "null"u8.ToArray(),
                    request.TryGetProperty("metadata", out var metadata) && metadata.ValueKind == JsonValueKind.Object
                        ? metadata.EnumerateObject().ToDictionary(entry => entry.Name, entry => entry.Value.ToString())
                        : new Dictionary<string, string>(),
                    request.TryGetProperty("etag", out var etag) && etag.ValueKind == JsonValueKind.String ? etag.GetString() : null);
            })];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw Malformed(e.Message);
        }
    }

    public StateWrite ToWrite(string fullKey, bool ttlAllowed)
    {
        if (Operation == "delete") return new StateWrite(fullKey, ETag: ETag, Delete: true);
        if (Operation != "upsert") throw NotSaved($"operation type {Operation} is not supported");
        int? seconds = null;
        if (Metadata.TryGetValue("ttlInSeconds", out var text))
        {
            if (!ttlAllowed) throw NotSaved("ttlInSeconds is not supported without the \"ActorStateTTL\" feature enabled");
            if (!int.TryParse(text, out var number)) throw NotSaved($"ttlInSeconds {text} is not a whole number");
            seconds = number;
        }
        return new StateWrite(fullKey, Value, ETag, TtlSeconds: seconds, Json: true);
    }

    public static DaprApiException Malformed(string problem) => new(400, StatusCode.InvalidArgument, "ERR_MALFORMED_REQUEST", $"failed deserializing HTTP body: {problem}");

    public static DaprApiException NotSaved(string problem) => new(500, StatusCode.Internal, "ERR_ACTOR_STATE_TRANSACTION_SAVE", $"error saving actor transaction state: {problem}");
}
