using System.Net;
using System.Text.Json;
using Xunit;

namespace Marketplace.Journeys;

/// <summary>An answer of the gateway, read whole: status, headers and JSON (null when there is no JSON body).</summary>
public sealed class Reply(HttpResponseMessage response, string text)
{
    public HttpStatusCode Status => response.StatusCode;

    public string Text => text;

    public string? ETag => response.Headers.ETag?.Tag;

    public JsonElement Json { get; } = text.StartsWith('{') || text.StartsWith('[') ? JsonDocument.Parse(text).RootElement.Clone() : default;

    /// <summary>As it was sent: the parsed form puts the words of a header into an order of its own.</summary>
    public string? Header(string name) =>
        response.Headers.NonValidated.TryGetValues(name, out var values) || response.Content.Headers.NonValidated.TryGetValues(name, out values) ? string.Join(",", values) : null;

    public string String(string property) => Json.GetProperty(property).GetString()!;

    public Guid Id(string property) => Json.GetProperty(property).GetGuid();

    /// <summary>Fails with what the gateway said when the status is another.</summary>
    public Reply Expect(HttpStatusCode status)
    {
        Assert.True(Status == status, $"Expected {(int)status}, got {(int)Status} from {response.RequestMessage?.Method} {response.RequestMessage?.RequestUri?.PathAndQuery}: {text}");
        return this;
    }

    /// <summary>A refusal as RFC 9457 wants it; <paramref name="mentions"/> is what the buyer must be told about.</summary>
    public Reply ExpectProblem(HttpStatusCode status, string? mentions = null)
    {
        Expect(status);
        Assert.StartsWith("application/problem+json", Header("Content-Type"), StringComparison.Ordinal);
        Assert.Equal((int)status, Json.GetProperty("status").GetInt32());
        Assert.False(string.IsNullOrEmpty(String("type")), text);
        Assert.False(string.IsNullOrEmpty(String("title")), text);
        if (mentions is not null) Assert.Contains(mentions, text, StringComparison.OrdinalIgnoreCase);
        return this;
    }
}
