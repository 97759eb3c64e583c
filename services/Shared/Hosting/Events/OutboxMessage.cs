using System.Text.Json;

namespace Marketplace.Hosting;

/// <summary>A row of the outbox as a lane's handler sees it. It may come again: <see cref="EventId"/> stays the same.</summary>
public sealed record OutboxMessage(
    long Position,
    Guid EventId,
    string Lane,
    string? Topic,
    Guid AggregateId,
    ReadOnlyMemory<byte> Payload,
    int Attempts,
    DateTimeOffset CreatedAt,
    string? TraceParent)
{
    public T Read<T>() => JsonSerializer.Deserialize<T>(Payload.Span, JsonSerializerOptions.Web)
        ?? throw new InvalidOperationException($"The outbox row {Position} of lane {Lane} holds null instead of a {typeof(T).Name}.");
}
