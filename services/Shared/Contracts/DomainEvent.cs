namespace Marketplace.Contracts;

/// <summary>
/// A fact that crosses a service's border. <see cref="EventId"/> is a UUIDv7, the outbox id and the CloudEvent id at once:
/// a redelivery carries the same one, so listeners remember it (see the inbox in Hosting).
/// </summary>
public abstract record DomainEvent
{
    public Guid EventId { get; init; } = Guid.CreateVersion7();

    /// <summary>When the fact became true, UTC.</summary>
    public DateTimeOffset OccurredAt { get; init; }
}
