using System.Text.Json;

namespace Dapr.Workflow.Worker;

/// <summary>
/// Payloads as the official SDKs write them: JSON text, Web defaults with fields. Null goes out as an empty string, and
/// an absent, an empty and a <c>null</c> text read alike.
/// </summary>
internal static class WorkflowJson
{
    private static readonly JsonSerializerOptions Options = new(JsonSerializerDefaults.Web) { IncludeFields = true };

    public static string Write(object? value) => value is null ? "" : JsonSerializer.Serialize(value, value.GetType(), Options);

    public static T Read<T>(string? json) => string.IsNullOrEmpty(json) ? default! : JsonSerializer.Deserialize<T>(json, Options)!;

    public static object? Read(string? json, Type type)
    {
        if (!string.IsNullOrEmpty(json)) return JsonSerializer.Deserialize(json, type, Options);
        return type.IsValueType ? Activator.CreateInstance(type) : null;
    }
}
