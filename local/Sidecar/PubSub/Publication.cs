using System.Buffers;
using System.Diagnostics;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>What an app hands over for publishing, before it becomes the bytes the broker keeps.</summary>
internal readonly record struct Publication(
    string Source,
    string PubSub,
    string Topic,
    ReadOnlyMemory<byte> Data,
    string ContentType,
    IReadOnlyDictionary<string, string> Metadata,
    string? TraceParent,
    string? TraceState)
{
    public const string CloudEvents = "application/cloudevents+json";

    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Publishing is the hot path: each thread keeps one buffer and pays only for the final array.</summary>
    [ThreadStatic] private static (ArrayBufferWriter<byte> Buffer, Utf8JsonWriter Writer)? scratch;

    public bool IsRaw => Metadata.TryGetValue("rawPayload", out var raw) && IsTrue(raw);

    /// <summary>Messages with the same key reach a subscriber in the order they were published.</summary>
    public string? Key => Metadata.TryGetValue("partitionKey", out var key) && key.Length > 0 ? key : null;

    /// <summary>The broker's copy of the message.</summary>
    /// <param name="brokerExpires">The broker itself drops what is too old, so that the envelope need not say when.</param>
    /// <exception cref="FormatException">The envelope that the publisher brought is none.</exception>
    public Sealed Seal(DateTimeOffset now, bool brokerExpires = false)
    {
        var expires = TimeToLive() is { } ttl && !brokerExpires ? now.AddSeconds(ttl) : (DateTimeOffset?)null;
        if (IsRaw)
            return new Sealed(Data.ToArray(), Key, Raw: true, expires, Metadata);

        var (buffer, json) = scratch ??= Scratch();
        buffer.ResetWrittenCount();
        json.Reset(buffer);
        if (ContentType.StartsWith(CloudEvents, StringComparison.OrdinalIgnoreCase))
            expires = WriteOwnEnvelope(json, now, expires);
        else
            WriteEnvelope(json, now, expires);
        json.Flush();
        var sealedEvent = new Sealed(buffer.WrittenSpan.ToArray(), Key, Raw: false, expires, Metadata);
        if (buffer.Capacity > 1 << 20) scratch = null;
        return sealedEvent;
    }

    public static bool IsTrue(string text) => text.ToUpperInvariant() is "Y" or "YES" or "TRUE" or "T" or "ON" or "1";

    /// <summary>The envelope a subscriber with <c>rawPayload</c> gets around bare bytes.</summary>
    public static byte[] WrapRaw(ReadOnlySpan<byte> data, string pubsub, string topic)
    {
        var (buffer, json) = scratch ??= Scratch();
        buffer.ResetWrittenCount();
        json.Reset(buffer);
        json.WriteStartObject();
        json.WriteString("id"u8, Guid.NewGuid());
        json.WriteString("source"u8, "Dapr"u8);
        json.WriteString("type"u8, "com.dapr.event.sent"u8);
        json.WriteString("specversion"u8, "1.0"u8);
        json.WriteString("datacontenttype"u8, "application/octet-stream"u8);
        json.WriteString("topic"u8, topic);
        json.WriteString("pubsubname"u8, pubsub);
        json.WriteBase64String("data_base64"u8, data);
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    private void WriteEnvelope(Utf8JsonWriter json, DateTimeOffset now, DateTimeOffset? expires)
    {
        var type = ContentType.Length == 0 ? "text/plain" : ContentType;
        var trace = Override("traceparent") ?? Override("traceid") ?? TraceParent ?? NewTrace();
        json.WriteStartObject();
        if (Override("id") is { } id) json.WriteString("id"u8, id);
        else json.WriteString("id"u8, Guid.NewGuid());
        json.WriteString("source"u8, Override("source") ?? Source);
        json.WriteString("type"u8, Override("type") ?? "com.dapr.event.sent");
        json.WriteString("specversion"u8, "1.0"u8);
        json.WriteString("datacontenttype"u8, type);
        json.WriteString("topic"u8, Topic);
        json.WriteString("pubsubname"u8, PubSub);
        json.WriteString("traceid"u8, trace);
        json.WriteString("traceparent"u8, trace);
        json.WriteString("tracestate"u8, Override("tracestate") ?? TraceState ?? "");
        json.WriteString("time"u8, Rfc3339(now));
        if (Override("subject") is { } subject) json.WriteString("subject"u8, subject);
        if (expires is { } end) json.WriteString("expiration"u8, Rfc3339(end));
        WriteData(json, type);
        json.WriteEndObject();
    }

    private void WriteData(Utf8JsonWriter json, string type)
    {
        var data = Data.Span;
        if (IsBinary(type))
        {
            json.WriteBase64String("data_base64"u8, data);
            return;
        }

        json.WritePropertyName("data"u8);
        if (IsJson(type) && IsWellFormed(data)) json.WriteRawValue(data, skipInputValidation: true);
        else json.WriteStringValue(Encoding.UTF8.GetString(data));   // also JSON that does not parse: daprd falls back to text
    }

    /// <summary>The publisher brought an envelope of its own: its fields stay, what is missing is filled in, but for the id. Overrides by metadata do not count.</summary>
    private DateTimeOffset? WriteOwnEnvelope(Utf8JsonWriter json, DateTimeOffset now, DateTimeOffset? expires)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(Data);
        }
        catch (JsonException e)
        {
            throw new FormatException($"the cloud event is not JSON: {e.Message}", e);
        }

        using (document)
        {
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new FormatException("the cloud event is not a JSON object");

            var mine = new Dictionary<string, string> { ["topic"] = Topic, ["pubsubname"] = PubSub };
            if (expires is { } end) mine["expiration"] = Rfc3339(end);
            var trace = TraceParent ?? NewTrace();
            if (!document.RootElement.TryGetProperty("traceid", out _)) (mine["traceid"], mine["traceparent"]) = (trace, trace);

            json.WriteStartObject();
            var seen = new HashSet<string>();
            foreach (var property in document.RootElement.EnumerateObject())
            {
                if (property.Name == "expiration" && expires is null && property.Value.ValueKind == JsonValueKind.String
                    && property.Value.TryGetDateTimeOffset(out var theirs)) expires = theirs;
                if (!seen.Add(property.Name) || mine.ContainsKey(property.Name)) continue;
                property.WriteTo(json);
            }

            foreach (var (name, value) in mine) json.WriteString(name, value);
            void Fill(string name, string value)
            {
                if (!seen.Contains(name)) json.WriteString(name, value);
            }

            Fill("source", "Dapr");
            Fill("type", "com.dapr.event.sent");
            Fill("specversion", "1.0");
            Fill("time", Rfc3339(now));
            Fill("tracestate", TraceState ?? "");
            json.WriteEndObject();
        }
        return expires;
    }

    /// <summary>Names of overrides ignore case; an empty one is none.</summary>
    private string? Override(string field)
    {
        const string Prefix = "cloudevent.";
        foreach (var (name, value) in Metadata)
            if (name.Length == Prefix.Length + field.Length && value.Length > 0
                && name.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase) && name.AsSpan(Prefix.Length).Equals(field, StringComparison.OrdinalIgnoreCase)) return value;
        return null;
    }

    /// <summary>What is no positive number is no limit, as in daprd.</summary>
    private long? TimeToLive() => Metadata.TryGetValue("ttlInSeconds", out var text) && long.TryParse(text, out var seconds) && seconds > 0 ? seconds : null;

    /// <summary>No other type is JSON to daprd, not even one that ends in +json: its data travel as text.</summary>
    private static bool IsJson(string type) => Bare(type).Equals("application/json", StringComparison.OrdinalIgnoreCase);

    private static bool IsBinary(string type)
    {
        var bare = Bare(type);
        return bare.Equals("application/octet-stream", StringComparison.OrdinalIgnoreCase)
            || bare.Equals("application/cloudevents+protobuf", StringComparison.OrdinalIgnoreCase);
    }

    private static ReadOnlySpan<char> Bare(string type)
    {
        var end = type.IndexOf(';', StringComparison.Ordinal);
        return (end < 0 ? type.AsSpan() : type.AsSpan(0, end)).Trim();
    }

    private static bool IsWellFormed(ReadOnlySpan<byte> data)
    {
        try
        {
            var reader = new Utf8JsonReader(data);
            if (!reader.Read()) return false;
            reader.Skip();
            return !reader.Read();
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static string Rfc3339(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", null);

    private static string NewTrace() => $"00-{ActivityTraceId.CreateRandom().ToHexString()}-{ActivitySpanId.CreateRandom().ToHexString()}-01";

    private static (ArrayBufferWriter<byte>, Utf8JsonWriter) Scratch()
    {
        var buffer = new ArrayBufferWriter<byte>(4096);
        return (buffer, new Utf8JsonWriter(buffer, Relaxed));
    }
}

/// <summary>A message as the broker keeps it: the envelope's bytes, or the bare payload when raw; the metadata are those of the publish, if any.</summary>
internal readonly record struct Sealed(byte[] Body, string? Key, bool Raw, DateTimeOffset? Expires, IReadOnlyDictionary<string, string>? Metadata = null);
