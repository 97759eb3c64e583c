using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Marketplace.Contracts;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Hosting;

/// <summary>
/// Events and commands leave in the transaction that makes them true; the relay sends them afterwards, at least once. Order per
/// aggregate is the order of the rows, so add them after the statement that locks the aggregate's own row.
/// </summary>
public static class Outbox
{
    /// <summary>The lane of everything that is published; other lanes are handled in this process.</summary>
    public const string Events = "events";

    private static readonly ConcurrentDictionary<Type, string> Topics = new();

    public static Task AddAsync(NpgsqlTransaction tx, DomainEvent @event, Guid aggregateId, CancellationToken ct) =>
        AddAsync(tx, [(@event, aggregateId)], ct);

    public static Task AddAsync(NpgsqlTransaction tx, IReadOnlyList<(DomainEvent Event, Guid AggregateId)> events, CancellationToken ct)
    {
        if (events.Count == 0)
            return Task.CompletedTask;

        var now = DateTimeOffset.UtcNow;
        var rows = new Row[events.Count];
        for (var i = 0; i < rows.Length; i++)
        {
            var (@event, aggregateId) = events[i];
            if (@event.OccurredAt == default)
                @event = @event with { OccurredAt = now };
            rows[i] = new Row(@event.EventId, Events, TopicOf(@event.GetType()), aggregateId, Json(@event));
        }

        return InsertAsync(tx, rows, ct);
    }

    public static Task AddCommandAsync(NpgsqlTransaction tx, string lane, Guid aggregateId, object payload, CancellationToken ct) =>
        InsertAsync(tx, [new Row(Guid.CreateVersion7(), lane, null, aggregateId, Json(payload))], ct);

    internal static string TopicOf(Type type) => Topics.GetOrAdd(type, static type =>
        type.GetField("Topic")?.GetRawConstantValue() as string
        ?? throw new InvalidOperationException($"{type.Name} has no `public const string Topic`."));

    private static string Json(object value) =>
        Encoding.UTF8.GetString(JsonSerializer.SerializeToUtf8Bytes(value, value.GetType(), JsonSerializerOptions.Web));

    private static async Task InsertAsync(NpgsqlTransaction tx, Row[] rows, CancellationToken ct)
    {
        await using var insert = new NpgsqlCommand("""
            INSERT INTO outbox (event_id, lane, topic, aggregate_id, payload, trace_parent)
            SELECT event_id, lane, topic, aggregate_id, payload::json, $6
            FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY AS row (event_id, lane, topic, aggregate_id, payload, place)
            ORDER BY place
            """, tx.Connection, tx)
        {
            Parameters =
            {
                new() { Value = Array.ConvertAll(rows, row => row.EventId), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid },
                new() { Value = Array.ConvertAll(rows, row => row.Lane), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
                new() { Value = Array.ConvertAll(rows, row => row.Topic), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
                new() { Value = Array.ConvertAll(rows, row => row.AggregateId), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid },
                new() { Value = Array.ConvertAll(rows, row => row.Payload), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
                new() { Value = (object?)Activity.Current?.Id ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
            },
        };
        await insert.ExecuteNonQueryAsync(ct);
        OutboxHints.Added(rows[0].Lane, rows.Length);
    }

    private readonly record struct Row(Guid EventId, string Lane, string? Topic, Guid AggregateId, string Payload);
}
