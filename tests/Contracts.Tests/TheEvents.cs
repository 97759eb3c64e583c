using System.Reflection;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Schema;
using System.Text.Json.Serialization.Metadata;
using Xunit;

namespace Marketplace.Contracts.Tests;

/// <summary>
/// What crosses a border, as files. <c>Golden/</c> holds the JSON of one event of each kind: a red test there is a question to every
/// listener, not a snapshot to refresh, so a golden file is changed by hand. The schemas are for readers in other languages and follow
/// the records: run with <c>CONTRACTS_WRITE=1</c> to write them (and the golden file of an event that has none yet).
/// </summary>
public sealed class TheEvents
{
    private static readonly bool Write = Environment.GetEnvironmentVariable("CONTRACTS_WRITE") == "1";
    private static readonly string Root = FindRoot();
    private static readonly JsonSerializerOptions Readable = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, NewLine = "\n" };

    // What we write, not what we would bear to read: numbers are numbers, and whatever the record demands is there.
    private static readonly JsonSerializerOptions Strict = new(JsonSerializerDefaults.Web)
    {
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.Strict,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
        TypeInfoResolver = new DefaultJsonTypeInfoResolver(),
    };

    public static TheoryData<string> Topics => [.. Types.Select(TopicOf)];

    private static IReadOnlyList<Type> Types { get; } =
        [.. typeof(DomainEvent).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(DomainEvent))).OrderBy(TopicOf, StringComparer.Ordinal)];

    [Fact]
    public void Each_has_a_topic_of_its_own_named_after_aggregate_and_fact()
    {
        var topics = Types.Select(TopicOf).ToList();

        Assert.Equal(topics.Count, topics.Distinct().Count());
        Assert.All(topics, topic => Assert.Matches("^[a-z]+\\.[a-z_]+$", topic));
    }

    [Theory, MemberData(nameof(Topics))]
    public async Task Its_json_is_the_golden_one(string topic)
    {
        var sample = SampleOf(topic);
        var actual = JsonSerializer.SerializeToNode(sample, sample.GetType(), JsonSerializerOptions.Web)!;
        var file = Path.Combine(Root, "tests", "Contracts.Tests", "Golden", $"{topic}.json");
        if (Write && !File.Exists(file))
            await WriteAsync(file, actual);

        var golden = JsonNode.Parse(await File.ReadAllTextAsync(file))!;

        Assert.True(JsonNode.DeepEquals(golden, actual), $"{topic} is written as\n{actual.ToJsonString(Readable)}\nbut listeners expect\n{golden.ToJsonString(Readable)}");
    }

    [Theory, MemberData(nameof(Topics))]
    public async Task The_golden_json_reads_as_the_same_event_and_a_field_from_tomorrow_does_not_hurt(string topic)
    {
        var sample = SampleOf(topic);
        var golden = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(Root, "tests", "Contracts.Tests", "Golden", $"{topic}.json")))!.AsObject();
        golden["fromTomorrow"] = new JsonObject { ["x"] = 1 };

        var read = golden.Deserialize(sample.GetType(), JsonSerializerOptions.Web)!;

        Assert.Equal(JsonSerializer.Serialize(sample, sample.GetType(), JsonSerializerOptions.Web), JsonSerializer.Serialize(read, sample.GetType(), JsonSerializerOptions.Web));
    }

    [Theory, MemberData(nameof(Topics))]
    public async Task Its_schema_is_the_committed_one(string topic)
    {
        var schema = SchemaOf(Types.Single(type => TopicOf(type) == topic));
        var file = Path.Combine(Root, "services", "Shared", "Contracts", "schemas", $"{topic}.json");
        if (Write)
            await WriteAsync(file, schema);

        Assert.True(File.Exists(file), $"{topic} has no schema; run this test with CONTRACTS_WRITE=1.");
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(await File.ReadAllTextAsync(file)), schema), $"{topic} changed; run this test with CONTRACTS_WRITE=1 and look at the difference.");
    }

    [Theory, MemberData(nameof(Topics))]
    public void What_the_schema_requires_is_in_the_golden_json(string topic)
    {
        var sample = SampleOf(topic);
        var json = JsonSerializer.SerializeToNode(sample, sample.GetType(), JsonSerializerOptions.Web)!.AsObject();
        var schema = SchemaOf(sample.GetType());

        Assert.All(schema["required"]!.AsArray(), name => Assert.True(json.ContainsKey((string)name!), $"{topic}: {name}"));
        Assert.All(json, field => Assert.True(schema["properties"]!.AsObject().ContainsKey(field.Key), $"{topic}: {field.Key}"));
    }

    [Fact]
    public void No_file_is_left_of_an_event_that_is_no_more()
    {
        foreach (var folder in new[] { Path.Combine(Root, "tests", "Contracts.Tests", "Golden"), Path.Combine(Root, "services", "Shared", "Contracts", "schemas") })
            Assert.Equal(Types.Select(TopicOf).Order(StringComparer.Ordinal), Directory.GetFiles(folder).Select(Path.GetFileNameWithoutExtension).Order(StringComparer.Ordinal));
    }

    private static DomainEvent SampleOf(string topic) => Assert.Single(Samples.All, sample => TopicOf(sample.GetType()) == topic);

    private static string TopicOf(Type type) => (string)type.GetField("Topic", BindingFlags.Public | BindingFlags.Static)!.GetRawConstantValue()!;

    private static JsonObject SchemaOf(Type type)
    {
        var exported = Strict.GetJsonSchemaAsNode(type, new JsonSchemaExporterOptions
        {
            TreatNullObliviousAsNonNullable = true,
            TransformSchemaNode = (context, schema) =>
            {
                var written = Nullable.GetUnderlyingType(context.TypeInfo.Type) ?? context.TypeInfo.Type;
                if (schema is JsonObject node && written == typeof(Guid))
                    node["format"] = "uuid";
                if (schema is JsonObject time && written == typeof(DateTimeOffset))
                    time["format"] = "date-time";
                if (schema is JsonObject money && written == typeof(Money))
                    money["required"] = new JsonArray("minor", "currency");     // a struct's constructor demands nothing
                return schema;
            },
        }).AsObject();

        var document = new JsonObject { ["$schema"] = "https://json-schema.org/draft/2020-12/schema", ["title"] = type.Name, ["description"] = $"Data of the CloudEvents on topic {TopicOf(type)}." };
        foreach (var (name, node) in exported)
            document[name] = node?.DeepClone();

        // Every event carries these two; the records leave them out of their constructors.
        var required = document["required"] as JsonArray ?? [];
        required.Add("eventId");
        required.Add("occurredAt");
        document["required"] = required;
        return document;
    }

    private static async Task WriteAsync(string file, JsonNode json)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        await File.WriteAllTextAsync(file, json.ToJsonString(Readable) + "\n");
    }

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Marketplace.sln")))
                return folder.FullName;
        }

        throw new InvalidOperationException("These tests read files of the source tree and run inside it.");
    }
}
