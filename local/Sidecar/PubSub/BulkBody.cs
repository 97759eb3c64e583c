using System.Text;
using System.Text.Json;
using Grpc.Core;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>The list of entries that a bulk publish over HTTP carries.</summary>
internal static class BulkBody
{
    public static List<Entry> Entries(ReadOnlyMemory<byte> body, string pubsub, string topic)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            var entries = new List<Entry>();
            var ids = new HashSet<string>();
            foreach (var item in document.RootElement.EnumerateArray())
            {
                var id = item.TryField("entryId", out var given) ? given.GetString() ?? "" : "";
                if (id.Length == 0 || !ids.Add(id)) throw BadEntries(pubsub, topic, "entryId is duplicated or not present for entry");
                var type = item.TryField("contentType", out var named) ? named.GetString() ?? "" : "";
                var metadata = item.TryField("metadata", out var own) && own.ValueKind == JsonValueKind.Object
                    ? own.EnumerateObject().ToDictionary(entry => entry.Name, entry => entry.Value.ToString())
                    : [];
                entries.Add(new Entry(id, Data(item.TryField("event", out var payload) ? payload : throw new KeyNotFoundException("event is missing"), type), type, metadata));
            }
            return entries;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw BadEntries(pubsub, topic, e.Message);
        }
    }

    public static DaprApiException BadEntries(string pubsub, string topic, string problem) =>
        new(400, StatusCode.InvalidArgument, "ERR_PUBSUB_EVENTS_SER", $"error when unmarshalling the request for topic {topic} pubsub {pubsub}: {problem}", "DAPR_PUBSUB_UNMARSHAL_EVENTS");

    private static byte[] Data(JsonElement value, string type)
    {
        if (value.ValueKind != JsonValueKind.String) return Encoding.UTF8.GetBytes(value.GetRawText());
        if (type.Contains("json", StringComparison.OrdinalIgnoreCase)) return Encoding.UTF8.GetBytes(value.GetRawText());
        return type.StartsWith("application/octet-stream", StringComparison.OrdinalIgnoreCase) || type.Contains("protobuf", StringComparison.OrdinalIgnoreCase)
            ? value.GetBytesFromBase64()
            : Encoding.UTF8.GetBytes(value.GetString()!);
    }

    public readonly record struct Entry(string EntryId, ReadOnlyMemory<byte> Data, string ContentType, Dictionary<string, string> Metadata);
}
