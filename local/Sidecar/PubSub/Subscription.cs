using System.Text.Json;
using Cel;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>One entry of an app's list: where the messages of a topic go.</summary>
internal sealed class Subscription
{
    public required string PubSub { get; init; }
    public required string Topic { get; init; }
    public required IReadOnlyList<Rule> Rules { get; init; }
    public string? DefaultPath { get; init; }
    public IReadOnlyDictionary<string, string> Metadata { get; init; } = new Dictionary<string, string>();
    public string? DeadLetterTopic { get; init; }
    public BulkOptions? Bulk { get; init; }
    public required SubscriptionKind Kind { get; init; }

    public bool IsRaw => Metadata.TryGetValue("rawPayload", out var raw) && Publication.IsTrue(raw);

    /// <summary>The path for this event; null means nobody in the app wants it. A rule that cannot be evaluated is the caller's failure to handle.</summary>
    public string? Route(ReadOnlySpan<byte> envelope)
    {
        if (Rules.Count == 0) return DefaultPath;
        var reader = new Utf8JsonReader(envelope);
        using var document = JsonDocument.ParseValue(ref reader);
        var variables = new Dictionary<string, object?> { ["event"] = Value(document.RootElement) };
        foreach (var rule in Rules)
            if (rule.Matches(variables)) return rule.Path;
        return DefaultPath;
    }

    /// <summary>The answer of <c>GET /dapr/subscribe</c>. One bad rule refuses the whole list, as daprd does.</summary>
    public static IReadOnlyList<Subscription> Parse(ReadOnlyMemory<byte> json)
    {
        using var document = JsonDocument.Parse(json);
        if (document.RootElement.ValueKind == JsonValueKind.Null) return [];
        if (document.RootElement.ValueKind != JsonValueKind.Array) throw new FormatException("the list of subscriptions is not a JSON array");
        var found = new List<Subscription>();
        foreach (var item in document.RootElement.EnumerateArray())
        {
            var rules = new List<Rule>();
            string? byDefault = null;
            if (Member(item, "routes") is { ValueKind: JsonValueKind.Object } routes)
            {
                if (Member(routes, "rules") is { ValueKind: JsonValueKind.Array } list)
                    rules.AddRange(list.EnumerateArray().Select(rule => Rule.Create(Text(rule, "match"), Text(rule, "path") ?? "")));
                byDefault = Text(routes, "default");
            }

            if (string.IsNullOrEmpty(byDefault)) byDefault = Text(item, "route");
            if (string.IsNullOrEmpty(byDefault)) byDefault = null;
            if (rules.Count == 0 && byDefault is null) continue;
            found.Add(new Subscription
            {
                PubSub = Text(item, "pubsubname") ?? "",
                Topic = Text(item, "topic") ?? "",
                Rules = rules,
                DefaultPath = byDefault,
                Metadata = Member(item, "metadata") is { ValueKind: JsonValueKind.Object } metadata
                    ? metadata.EnumerateObject().ToDictionary(entry => entry.Name, entry => entry.Value.ToString())
                    : new Dictionary<string, string>(),
                DeadLetterTopic = Text(item, "deadLetterTopic") is { Length: > 0 } dead ? dead : null,
                Bulk = Member(item, "bulkSubscribe") is { ValueKind: JsonValueKind.Object } bulk && Member(bulk, "enabled") is { ValueKind: JsonValueKind.True }
                    ? new BulkOptions(Number(bulk, "maxMessagesCount") ?? 100, TimeSpan.FromMilliseconds(Number(bulk, "maxAwaitDurationMs") ?? 1000))
                    : null,
                Kind = SubscriptionKind.Programmatic,
            });
        }
        return found;
    }

    /// <summary>Names in any case, as Go reads JSON: Dapr.AspNetCore writes <c>pubsubName</c> where daprd's own field is <c>pubsubname</c>.</summary>
    private static JsonElement? Member(JsonElement element, string name)
    {
        if (element.ValueKind != JsonValueKind.Object) return null;
        if (element.TryGetProperty(name, out var value)) return value;
        foreach (var property in element.EnumerateObject())
            if (string.Equals(property.Name, name, StringComparison.OrdinalIgnoreCase)) return property.Value;
        return null;
    }

    private static string? Text(JsonElement element, string name) =>
        Member(element, name) is { ValueKind: JsonValueKind.String } value ? value.GetString() : null;

    private static int? Number(JsonElement element, string name) =>
        Member(element, name) is { ValueKind: JsonValueKind.Number } value && value.TryGetInt32(out var number) && number > 0 ? number : null;

    private static object? Value(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => Fields(element),
        JsonValueKind.Array => element.EnumerateArray().Select(Value).ToArray(),
        JsonValueKind.String => element.GetString(),
        JsonValueKind.Number => element.GetDouble(),   // as in daprd, where JSON numbers are doubles
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => null,
    };

    private static Dictionary<string, object?> Fields(JsonElement element)
    {
        var fields = new Dictionary<string, object?>();
        foreach (var property in element.EnumerateObject()) fields[property.Name] = Value(property.Value);
        return fields;
    }
}

internal enum SubscriptionKind { Declarative, Programmatic, Streaming }

internal sealed record BulkOptions(int MaxMessages, TimeSpan MaxWait);

/// <summary>A CEL condition over <c>event</c> and the path it leads to. Without a condition it always matches.</summary>
internal sealed class Rule
{
    private static readonly CelEnvironment Cel = new(null, null);
    private static readonly Lock Compiling = new();
    private readonly Func<Dictionary<string, object?>, object?>? program;

    private Rule(string? match, string path, Func<Dictionary<string, object?>, object?>? program)
    {
        Match = match ?? "";
        Path = path;
        this.program = program;
    }

    public string Match { get; }
    public string Path { get; }

    public static Rule Create(string? match, string path)
    {
        if (string.IsNullOrWhiteSpace(match)) return new Rule(match, path, program: null);
        try
        {
            lock (Compiling)
            {
                var compiled = Cel.Compile(match);
                return new Rule(match, path, variables => compiled(variables));
            }
        }
        catch (Exception e)
        {
            throw new FormatException($"the rule `{match}` is not a valid expression: {e.Message}", e);
        }
    }

    /// <exception cref="Exception">The condition cannot be evaluated, or is no condition.</exception>
    public bool Matches(Dictionary<string, object?> variables) => program is null
        || (program(variables) is bool matches ? matches : throw new InvalidOperationException($"the rule `{Match}` is neither true nor false"));
}
