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

    public static Task AddAsync(NpgsqlTransaction tx, IReadOnlyList<(DomainEvent Event, Guid AggregateId)> events, CancellationToken ct) =>
        events.Count == 0 ? Task.CompletedTask : InsertAsync(tx, Insert([.. events.Select(each => RowOf(each.Event, each.AggregateId))]), ct);

    public static Task AddCommandAsync(NpgsqlTransaction tx, string lane, Guid aggregateId, object payload, CancellationToken ct) =>
        InsertAsync(tx, Command(lane, aggregateId, payload), ct);

    /// <summary>The same as <see cref="AddAsync(NpgsqlTransaction, DomainEvent, Guid, CancellationToken)"/>, to go along in a batch: one round trip less.</summary>
    public static NpgsqlBatchCommand Command(DomainEvent @event, Guid aggregateId) => Insert([RowOf(@event, aggregateId)]);

    /// <summary>Several at once, to go along in a batch; at least one.</summary>
    public static NpgsqlBatchCommand Command(IReadOnlyList<(DomainEvent Event, Guid AggregateId)> events) =>
        Insert([.. events.Select(each => RowOf(each.Event, each.AggregateId))]);

    /// <summary>The same as <see cref="AddCommandAsync"/>, to go along in a batch.</summary>
    public static NpgsqlBatchCommand Command(string lane, Guid aggregateId, object payload) =>
        Insert([new Row(Guid.CreateVersion7(), lane, null, aggregateId, Json(payload))]);

    /// <summary>
    /// For a statement that does everything at once: the insert of one event as a part of its WITH clause. It happens for the row of
    /// <paramref name="when"/>, another part, and not when that has none. <see cref="Parameters"/> go from number <paramref name="first"/> on.
    /// </summary>
    public static string InsertFor(string when, int first) => $"""
        INSERT INTO outbox (event_id, lane, topic, aggregate_id, payload, trace_parent)
        SELECT ${first}, '{Events}', ${first + 1}, ${first + 2}, ${first + 3}::json, ${first + 4} FROM {when}
        """;

    public static NpgsqlParameter[] Parameters(DomainEvent @event, Guid aggregateId)
    {
        var row = RowOf(@event, aggregateId);
        OutboxHints.Added(row.Lane, 1);
        return
        [
            new() { Value = row.EventId },
            new() { Value = row.Topic },
            new() { Value = row.AggregateId },
            new() { Value = row.Payload, NpgsqlDbType = NpgsqlDbType.Text },
            Trace(),
        ];
    }

    internal static string TopicOf(Type type) => Topics.GetOrAdd(type, static type =>
        type.GetField("Topic")?.GetRawConstantValue() as string
        ?? throw new InvalidOperationException($"{type.Name} has no `public const string Topic`."));

    private static string Json(object value) =>
        Encoding.UTF8.GetString(JsonSerializer.SerializeToUtf8Bytes(value, value.GetType(), JsonSerializerOptions.Web));

    private static Row RowOf(DomainEvent @event, Guid aggregateId)
    {
        if (@event.OccurredAt == default)
            @event = @event with { OccurredAt = DateTimeOffset.UtcNow };
        return new Row(@event.EventId, Events, TopicOf(@event.GetType()), aggregateId, Json(@event));
    }

    private static async Task InsertAsync(NpgsqlTransaction tx, NpgsqlBatchCommand insert, CancellationToken ct)
    {
        await using var batch = new NpgsqlBatch(tx.Connection, tx) { BatchCommands = { insert } };
        await batch.ExecuteNonQueryAsync(ct);
    }

    private static NpgsqlBatchCommand Insert(Row[] rows)
    {
        OutboxHints.Added(rows[0].Lane, rows.Length);
        return new NpgsqlBatchCommand("""
            INSERT INTO outbox (event_id, lane, topic, aggregate_id, payload, trace_parent)
            SELECT event_id, lane, topic, aggregate_id, payload::json, $6
            FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY AS row (event_id, lane, topic, aggregate_id, payload, place)
            ORDER BY place
            """)
        {
            Parameters =
            {
                new() { Value = Array.ConvertAll(rows, row => row.EventId), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid },
                new() { Value = Array.ConvertAll(rows, row => row.Lane), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
                new() { Value = Array.ConvertAll(rows, row => row.Topic), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
                new() { Value = Array.ConvertAll(rows, row => row.AggregateId), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid },
                new() { Value = Array.ConvertAll(rows, row => row.Payload), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
                Trace(),
            },
        };
    }

    private static NpgsqlParameter Trace() => new() { Value = (object?)Activity.Current?.Id ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text };

    private readonly record struct Row(Guid EventId, string Lane, string? Topic, Guid AggregateId, string Payload);
}
