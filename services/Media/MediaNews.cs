using System.Security.Cryptography;
using System.Text.Json;
using Dapr.Client;
using Marketplace.Contracts;
using Marketplace.Hosting;

namespace Marketplace.Media;

/// <summary>
/// Publishes without an outbox, for there is no database: an event is sent before what caused it is acknowledged, so that whoever caused
/// it (a seller, the broker) repeats when it was not sent.
/// </summary>
public sealed class MediaNews(DaprClient dapr, TimeProvider time)
{
    // A broker that stays silent is one that is away: whoever caused the event repeats.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public async Task TellAsync<TEvent>(TEvent news, string topic, Guid productId, CancellationToken ct)
        where TEvent : DomainEvent
    {
        var metadata = new Dictionary<string, string>
        {
            ["cloudevent.id"] = news.EventId.ToString(),
            ["cloudevent.type"] = topic,
            ["cloudevent.subject"] = productId.ToString(),
            ["partitionKey"] = productId.ToString(),
        };
        var told = news with { OccurredAt = time.GetUtcNow() };
        using var patience = new CancellationTokenSource(Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, patience.Token);
        await dapr.PublishByteEventAsync(PubSub.Name, topic, JsonSerializer.SerializeToUtf8Bytes(told, JsonSerializerOptions.Web), "application/json", metadata, either.Token);
    }

    /// <summary>The id of what follows from an event: the same however often the event is delivered, another for the next upload of the same picture.</summary>
    public static Guid Following(Guid eventId, string topic)
    {
        Span<byte> bytes = stackalloc byte[16];
        eventId.TryWriteBytes(bytes, bigEndian: true, out _);
        var rest = SHA256.HashData([.. bytes, .. System.Text.Encoding.UTF8.GetBytes(topic)]);
        rest.AsSpan(0, 10).CopyTo(bytes[6..]);                  // behind the time, which stays
        bytes[6] = (byte)((bytes[6] & 0x0F) | 0x70);
        bytes[8] = (byte)((bytes[8] & 0x3F) | 0x80);
        return new Guid(bytes, bigEndian: true);
    }
}
