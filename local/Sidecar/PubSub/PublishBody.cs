using System.Buffers;
using System.Text;
using System.Text.Json;
using Grpc.Core;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>What a publish over HTTP carries: bytes, or a list of entries, and metadata in the query.</summary>
internal static class PublishBody
{
    private static readonly IReadOnlyDictionary<string, string> None = new Dictionary<string, string>();

    public static async Task<ReadOnlyMemory<byte>> ReadAsync(HttpContext http, long limit)
    {
        if (http.Request.ContentLength is { } length)
        {
            if (length > limit) throw TooLarge(limit);
            var exact = new byte[length];
            await http.Request.Body.ReadExactlyAsync(exact, http.RequestAborted);
            return exact;
        }

        var reader = http.Request.BodyReader;
        while (true)
        {
            var result = await reader.ReadAsync(http.RequestAborted);
            if (result.Buffer.Length > limit) throw TooLarge(limit);
            if (result.IsCompleted)
            {
                var bytes = result.Buffer.ToArray();
                reader.AdvanceTo(result.Buffer.End);
                return bytes;
            }
            reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        }
    }

    /// <summary>Query parameters <c>metadata.{name}</c>.</summary>
    public static IReadOnlyDictionary<string, string> Metadata(HttpContext http)
    {
        const string Prefix = "metadata.";
        if (!http.Request.QueryString.HasValue) return None;
        var metadata = new Dictionary<string, string>();
        foreach (var (name, value) in http.Request.Query)
            if (name.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase)) metadata[name[Prefix.Length..]] = value.ToString();
        return metadata;
    }

    public static List<Entry> Entries(ReadOnlyMemory<byte> body, string pubsub, string topic)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            var entries = new List<Entry>();
            var ids = new HashSet<string>();
            foreach (var item in document.RootElement.EnumerateArray())
            {
                var id = item.TryGetProperty("entryId", out var given) ? given.GetString() ?? "" : "";
                if (id.Length == 0 || !ids.Add(id)) throw BadEntries(pubsub, topic, "entryId is duplicated or not present for entry");
                var type = item.TryGetProperty("contentType", out var named) ? named.GetString() ?? "" : "";
                var metadata = item.TryGetProperty("metadata", out var own) && own.ValueKind == JsonValueKind.Object
                    ? own.EnumerateObject().ToDictionary(entry => entry.Name, entry => entry.Value.ToString())
                    : [];
                entries.Add(new Entry(id, Data(item.GetProperty("event"), type), type, metadata));
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

    private static DaprApiException TooLarge(long limit) =>
        new(413, StatusCode.ResourceExhausted, "ERR_MESSAGE_BODY_READ", $"the body exceeds {limit} bytes (max-body-size)");

    public readonly record struct Entry(string EntryId, ReadOnlyMemory<byte> Data, string ContentType, Dictionary<string, string> Metadata);
}
