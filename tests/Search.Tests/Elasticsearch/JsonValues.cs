using System.Text.Json;
using System.Text.Json.Nodes;

namespace Marketplace.Search.Tests.Elasticsearch;

/// <summary>JSON as maps, lists, numbers and texts, as a script sees it.</summary>
internal static class JsonValues
{
    public static object? Of(JsonNode? node) => node switch
    {
        null => null,
        JsonObject map => map.ToDictionary(entry => entry.Key, entry => Of(entry.Value)),
        JsonArray list => list.Select(Of).ToList(),
        _ => node.GetValueKind() switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            JsonValueKind.String => node.GetValue<string>(),
            _ => node.ToJsonString() is var number && long.TryParse(number, out var whole) ? (object)whole : double.Parse(node.ToJsonString(), System.Globalization.CultureInfo.InvariantCulture),
        },
    };

    public static JsonNode? Back(object? value) => value switch
    {
        null => null,
        IDictionary<string, object?> map => new JsonObject(map.Select(entry => KeyValuePair.Create(entry.Key, Back(entry.Value)))),
        IEnumerable<object?> list => new JsonArray([.. list.Select(Back)]),
        string text => JsonValue.Create(text),
        bool yes => JsonValue.Create(yes),
        long whole => JsonValue.Create(whole),
        double number => JsonValue.Create(number),
        _ => throw new InvalidOperationException($"{value.GetType()} is nothing a script makes."),
    };
}
