using System.Text.Json;

namespace Marketplace.Bench.FlashSale.Traffic;

/// <summary>The first property of a name, at whatever depth: answers are small and their names do not repeat.</summary>
internal static class Json
{
    public static string? Text(ReadOnlySpan<byte> json, ReadOnlySpan<byte> name) =>
        Find(json, name, out var reader) && reader.TokenType == JsonTokenType.String ? reader.GetString() : null;

    public static double? Number(ReadOnlySpan<byte> json, ReadOnlySpan<byte> name) =>
        Find(json, name, out var reader) && reader.TokenType == JsonTokenType.Number ? reader.GetDouble() : null;

    public static bool Is(ReadOnlySpan<byte> json, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value) =>
        Find(json, name, out var reader) && reader.TokenType == JsonTokenType.String && reader.ValueTextEquals(value);

    private static bool Find(ReadOnlySpan<byte> json, ReadOnlySpan<byte> name, out Utf8JsonReader reader)
    {
        reader = new Utf8JsonReader(json);
        try
        {
            while (reader.Read())
                if (reader.TokenType == JsonTokenType.PropertyName && reader.ValueTextEquals(name))
                    return reader.Read();
        }
        catch (JsonException)
        {
            // A page of a proxy, or nothing: what is looked for is not in it.
        }

        return false;
    }
}
