using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Marketplace.Hosting;

/// <summary>Rows the relay could not send, and how many wait behind each: an operator tries again or gives the row up.</summary>
internal static partial class OutboxRoutes
{
    public static void MapOutbox(this IEndpointRouteBuilder routes)
    {
        var app = routes.ServiceProvider.GetRequiredService<MarketplaceApp>();
        var outbox = routes.MapGroup($"/api/v1/operations/{app.AppId}/outbox").RequireAuthorization(Policies.Operator).WithTags("operations");
        outbox.MapGet("/", ListAsync);
        outbox.MapPost("/{position:long}/retry", RetryAsync);
        outbox.MapDelete("/{position:long}", DiscardAsync);
    }

    private static async Task<Ok<StuckRows>> ListAsync(NpgsqlDataSource database, CancellationToken ct)
    {
        await using var select = database.CreateCommand("""
            SELECT position, event_id, lane, topic, aggregate_id, created_at, attempts, last_error, parked_at,
                   (SELECT count(*) FROM outbox AS later
                    WHERE later.lane = stuck.lane AND later.aggregate_id = stuck.aggregate_id AND later.position > stuck.position AND later.sent_at IS NULL)
            FROM outbox AS stuck WHERE sent_at IS NULL AND last_error IS NOT NULL
            ORDER BY position LIMIT 100
            """);
        await using var reader = await select.ExecuteReaderAsync(ct);
        var rows = new List<StuckRow>();
        while (await reader.ReadAsync(ct))
        {
            rows.Add(new StuckRow(
                reader.GetInt64(0),
                reader.GetGuid(1),
                reader.GetString(2),
                reader.IsDBNull(3) ? null : reader.GetString(3),
                reader.GetGuid(4),
                reader.GetFieldValue<DateTimeOffset>(5),
                reader.GetInt32(6),
                reader.GetString(7),
                !reader.IsDBNull(8),
                reader.GetInt64(9)));
        }

        return TypedResults.Ok(new StuckRows(rows));
    }

    private static async Task<Results<NoContent, NotFound>> RetryAsync(long position, NpgsqlDataSource database, OutboxSignal signal, ILogger<StuckRow> log, CancellationToken ct)
    {
        await using var retry = database.CreateCommand(
            "UPDATE outbox SET parked_at = NULL, attempts = 0, not_before = NULL WHERE position = $1 AND sent_at IS NULL");
        retry.Parameters.Add(new() { Value = position });
        if (await retry.ExecuteNonQueryAsync(ct) == 0)
            return TypedResults.NotFound();

        signal.Notify();
        LogRetried(log, position);
        return TypedResults.NoContent();
    }

    private static async Task<Results<NoContent, NotFound>> DiscardAsync(long position, NpgsqlDataSource database, OutboxSignal signal, ILogger<StuckRow> log, CancellationToken ct)
    {
        // Only a parked row: one that is still tried may be on its way at this moment.
        await using var discard = database.CreateCommand("DELETE FROM outbox WHERE position = $1 AND parked_at IS NOT NULL AND sent_at IS NULL");
        discard.Parameters.Add(new() { Value = position });
        if (await discard.ExecuteNonQueryAsync(ct) == 0)
            return TypedResults.NotFound();

        signal.Notify();
        LogDiscarded(log, position);
        return TypedResults.NoContent();
    }

    [LoggerMessage(LogLevel.Information, "Outbox row {Position} will be tried again, says an operator")]
    private static partial void LogRetried(ILogger log, long position);

    [LoggerMessage(LogLevel.Warning, "Outbox row {Position} discarded by an operator; what followed it goes on")]
    private static partial void LogDiscarded(ILogger log, long position);
}

internal sealed record StuckRow(
    long Position, Guid EventId, string Lane, string? Topic, Guid AggregateId, DateTimeOffset CreatedAt, int Attempts, string LastError, bool Parked, long WaitingBehind);

internal sealed record StuckRows(IReadOnlyList<StuckRow> Items);
