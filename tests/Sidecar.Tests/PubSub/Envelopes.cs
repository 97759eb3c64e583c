using System.Text;
using System.Text.Json;
using Marketplace.Local.Sidecar.PubSub;
using Xunit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>The CloudEvent a publish becomes.</summary>
public sealed class Envelopes
{
    private static readonly DateTimeOffset Noon = new(2026, 7, 1, 12, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Json_becomes_data_with_every_field_around_it()
    {
        var envelope = Seal("""{"orderId":7}""", "application/json");
        Assert.Equal("1.0", Text(envelope, "specversion"));
        Assert.Equal("com.dapr.event.sent", Text(envelope, "type"));
        Assert.Equal("ordering", Text(envelope, "source"));
        Assert.Equal("order.created", Text(envelope, "topic"));
        Assert.Equal("pubsub", Text(envelope, "pubsubname"));
        Assert.Equal("application/json", Text(envelope, "datacontenttype"));
        Assert.Equal("2026-07-01T12:00:00Z", Text(envelope, "time"));
        Assert.True(Guid.TryParse(Text(envelope, "id"), out _));
        Assert.Matches("^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$", Text(envelope, "traceparent"));
        Assert.Equal(Text(envelope, "traceparent"), Text(envelope, "traceid"));
        Assert.Equal(7, envelope.GetProperty("data").GetProperty("orderId").GetInt32());
    }

    [Fact]
    public void Json_that_does_not_parse_becomes_text()
    {
        Assert.Equal("{half", Text(Seal("{half", "application/json"), "data"));
        Assert.Equal("{} {}", Text(Seal("{} {}", "application/json"), "data"));
    }

    [Fact]
    public void No_content_type_is_plain_text()
    {
        var envelope = Seal("""{"a":1}""", "");
        Assert.Equal("text/plain", Text(envelope, "datacontenttype"));
        Assert.Equal("""{"a":1}""", Text(envelope, "data"));
    }

    [Fact]
    public void Bytes_travel_as_base64()
    {
        var envelope = Seal("bytes", "application/octet-stream");
        Assert.Equal("bytes"u8.ToArray(), envelope.GetProperty("data_base64").GetBytesFromBase64());
        Assert.False(envelope.TryGetProperty("data", out _));
    }

    [Fact]
    public void Metadata_overrides_fields_and_gives_an_expiry()
    {
        var envelope = Seal("1", "application/json", ("cloudevent.id", "e1"), ("cloudevent.type", "gift"), ("cloudevent.source", "shop"),
            ("cloudevent.subject", "order 7"), ("cloudevent.traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("ttlInSeconds", "60"));
        Assert.Equal("e1", Text(envelope, "id"));
        Assert.Equal("gift", Text(envelope, "type"));
        Assert.Equal("shop", Text(envelope, "source"));
        Assert.Equal("order 7", Text(envelope, "subject"));
        Assert.Equal("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Text(envelope, "traceparent"));
        Assert.Equal("2026-07-01T12:01:00Z", Text(envelope, "expiration"));
    }

    [Fact]
    public void An_envelope_of_the_publisher_keeps_its_fields_and_gets_what_is_missing()
    {
        var envelope = Seal("""{"id":"mine","type":"gift","data":{"n":1},"topic":"elsewhere","custom":"x"}""", "application/cloudevents+json; charset=utf-8");
        Assert.Equal("mine", Text(envelope, "id"));
        Assert.Equal("gift", Text(envelope, "type"));
        Assert.Equal("x", Text(envelope, "custom"));
        Assert.Equal("order.created", Text(envelope, "topic"));
        Assert.Equal("pubsub", Text(envelope, "pubsubname"));
        Assert.Equal("Dapr", Text(envelope, "source"));
        Assert.Equal("1.0", Text(envelope, "specversion"));
        Assert.Equal(Text(envelope, "traceid"), Text(envelope, "traceparent"));
        Assert.Equal(1, envelope.GetProperty("data").GetProperty("n").GetInt32());
    }

    [Theory]
    [InlineData("not json")]
    [InlineData("[1]")]
    public void An_envelope_that_is_none_is_refused(string body) =>
        Assert.Throws<FormatException>(() => Seal(body, "application/cloudevents+json"));

    [Fact]
    public void An_envelope_of_the_publisher_gets_no_id_and_heeds_no_overrides()
    {
        var envelope = Seal("""{"type":"gift","traceid":"theirs"}""", "application/cloudevents+json", ("cloudevent.id", "e1"), ("cloudevent.type", "other"));
        Assert.False(envelope.TryGetProperty("id", out _));
        Assert.False(envelope.TryGetProperty("traceparent", out _));
        Assert.Equal("gift", Text(envelope, "type"));
        Assert.Equal("theirs", Text(envelope, "traceid"));
    }

    [Fact]
    public void Overrides_ignore_case_and_one_trace_stands_for_both_fields()
    {
        var envelope = Seal("1", "application/json", ("CloudEvent.Type", "gift"), ("cloudevent.traceid", "t1"));
        Assert.Equal("gift", Text(envelope, "type"));
        Assert.Equal("t1", Text(envelope, "traceid"));
        Assert.Equal("t1", Text(envelope, "traceparent"));
    }

    [Theory]
    [InlineData("0")]
    [InlineData("-5")]
    [InlineData("soon")]
    public void A_time_to_live_that_is_not_positive_is_none(string ttl) =>
        Assert.False(Seal("1", "application/json", ("ttlInSeconds", ttl)).TryGetProperty("expiration", out _));

    [Fact]
    public void Raw_stays_raw_and_the_key_is_kept()
    {
        var published = Of("bare", "text/plain", ("rawPayload", "true"), ("partitionKey", "lamp")).Seal(Noon);
        Assert.Equal("bare"u8.ToArray(), published.Body);
        Assert.True(published.Raw);
        Assert.Equal("lamp", published.Key);

        using var wrapped = JsonDocument.Parse(Publication.WrapRaw("bare"u8, "pubsub", "t"));
        Assert.Equal("bare"u8.ToArray(), wrapped.RootElement.GetProperty("data_base64").GetBytesFromBase64());
        Assert.Equal("Dapr", Text(wrapped.RootElement, "source"));
    }

    private static Publication Of(string body, string type, params (string, string)[] metadata) =>
        new("ordering", "pubsub", "order.created", Encoding.UTF8.GetBytes(body), type, metadata.ToDictionary(entry => entry.Item1, entry => entry.Item2), null, null);

    private static JsonElement Seal(string body, string type, params (string, string)[] metadata)
    {
        using var document = JsonDocument.Parse(Of(body, type, metadata).Seal(Noon).Body);
        return document.RootElement.Clone();
    }

    private static string Text(JsonElement envelope, string name) => envelope.GetProperty(name).GetString()!;
}
