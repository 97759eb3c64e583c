using System.Buffers.Text;
using System.Globalization;
using System.Text.Json;

namespace Marketplace.Hosting;

/// <summary>
/// Where the next page starts, opaque to clients. It is not signed: a store treats the decoded parts like any other input and
/// answers a forged one with its own rows only.
/// </summary>
public static class Cursor
{
    private const int LongestAccepted = 1024;

    public static string Encode(params object[] parts) =>
        Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(Array.ConvertAll(parts, Text)));

    public static bool TryDecode(string? cursor, out string[] parts)
    {
        parts = [];
        if (string.IsNullOrEmpty(cursor) || cursor.Length > LongestAccepted || !Base64Url.IsValid(cursor))
            return false;

        try
        {
            var decoded = JsonSerializer.Deserialize<string?[]>(Base64Url.DecodeFromChars(cursor));
            if (decoded is null || Array.Exists(decoded, part => part is null))
                return false;

            parts = decoded!;
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static string Text(object part) => part switch
    {
        DateTimeOffset time => time.ToString("O", CultureInfo.InvariantCulture),
        DateTime time => time.ToString("O", CultureInfo.InvariantCulture),
        IFormattable value => value.ToString(null, CultureInfo.InvariantCulture),
        _ => part.ToString() ?? "",
    };
}
