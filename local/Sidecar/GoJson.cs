using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Marketplace.Local.Sidecar;

/// <summary>
/// JSON as Go writes it after parsing: object keys sorted, every number a double, <c>&lt;</c>, <c>&gt;</c> and <c>&amp;</c> escaped. What
/// passes through daprd's HTTP API as a value comes out in this form, so whoever compares text here would fail there.
/// </summary>
public static class GoJson
{
    private static readonly SearchValues<byte> Escaped = SearchValues.Create([.. Enumerable.Range(0, 0x20).Select(c => (byte)c), (byte)'"', (byte)'\\', (byte)'<', (byte)'>', (byte)'&', 0xE2]);

    /// <summary>A field as Go's decoder finds it: by its name, else without regard to case. Clients rely on it: npm's <c>@dapr/dapr</c> sends <c>entryID</c>.</summary>
    public static bool TryField(this JsonElement element, string name, out JsonElement value)
    {
        if (element.TryGetProperty(name, out value)) return true;
        foreach (var property in element.EnumerateObject())
        {
            if (!string.Equals(property.Name, name, StringComparison.OrdinalIgnoreCase)) continue;
            value = property.Value;
            return true;
        }

        return false;
    }

    public static byte[] Rewrite(JsonElement element)
    {
        var output = new ArrayBufferWriter<byte>(256);
        Write(element, output);
        return output.WrittenSpan.ToArray();
    }

    public static void Write(JsonElement element, IBufferWriter<byte> output)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                // Of a repeated key the last one counts.
                var properties = new SortedDictionary<string, JsonElement>(StringComparer.Ordinal);
                foreach (var property in element.EnumerateObject())
                    properties[property.Name] = property.Value;
                output.Write("{"u8);
                var first = true;
                foreach (var (name, value) in properties)
                {
                    if (!first) output.Write(","u8);
                    first = false;
                    WriteText(name, output);
                    output.Write(":"u8);
                    Write(value, output);
                }

                output.Write("}"u8);
                break;
            case JsonValueKind.Array:
                output.Write("["u8);
                var index = 0;
                foreach (var item in element.EnumerateArray())
                {
                    if (index++ > 0) output.Write(","u8);
                    Write(item, output);
                }

                output.Write("]"u8);
                break;
            case JsonValueKind.String:
                WriteText(element.GetString()!, output);
                break;
            case JsonValueKind.Number:
                output.Write(Encoding.ASCII.GetBytes(Number(element)));
                break;
            default:
                output.Write(Encoding.ASCII.GetBytes(element.GetRawText()));
                break;
        }
    }

    private static string Number(JsonElement element)
    {
        if (element.TryGetInt64(out var whole) && Math.Abs(whole) <= 1L << 53) return whole.ToString(CultureInfo.InvariantCulture);

        var number = element.GetDouble();
        var text = number.ToString("R", CultureInfo.InvariantCulture);
        var size = Math.Abs(number);
        if (size != 0 && (size < 1e-6 || size >= 1e21)) return text.Contains('E', StringComparison.Ordinal) ? Short(text) : number.ToString("0.################E+00", CultureInfo.InvariantCulture).ToLowerInvariant();
        return text.Contains('E', StringComparison.Ordinal) ? decimal.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture).ToString(CultureInfo.InvariantCulture) : text;
    }

    /// <summary>Go drops the leading zero of a negative exponent: 1e-7.</summary>
    private static string Short(string text) => text.Replace('E', 'e').Replace("e-0", "e-", StringComparison.Ordinal);

    private static void WriteText(string text, IBufferWriter<byte> output)
    {
        output.Write("\""u8);
        var bytes = Encoding.UTF8.GetBytes(text).AsSpan();
        while (!bytes.IsEmpty)
        {
            var plain = bytes.IndexOfAny(Escaped);
            if (plain < 0)
            {
                output.Write(bytes);
                break;
            }

            output.Write(bytes[..plain]);
            bytes = bytes[plain..];
            var taken = 1;
            switch (bytes[0])
            {
                case (byte)'"': output.Write("\\\""u8); break;
                case (byte)'\\': output.Write("\\\\"u8); break;
                case (byte)'\n': output.Write("\\n"u8); break;
                case (byte)'\r': output.Write("\\r"u8); break;
                case (byte)'\t': output.Write("\\t"u8); break;
                case (byte)'\b': output.Write("\\b"u8); break;
                case (byte)'\f': output.Write("\\f"u8); break;
                case 0xE2 when bytes is [_, 0x80, 0xA8 or 0xA9, ..]:
                    output.Write(bytes[2] == 0xA8 ? "\\u2028"u8 : "\\u2029"u8);
                    taken = 3;
                    break;
                case 0xE2: output.Write(bytes[..1]); break;
                case var other: output.Write(Encoding.ASCII.GetBytes($"\\u{other:x4}")); break;
            }

            bytes = bytes[taken..];
        }

        output.Write("\""u8);
    }
}
