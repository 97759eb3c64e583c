using System.Diagnostics.Metrics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.Hosting;

/// <summary>Prunes what has served its time and measures what should worry an operator. Replicas may do it at once.</summary>
internal sealed partial class Housekeeping(
    NpgsqlDataSource database, IOptions<OutboxOptions> outbox, IConfiguration configuration, TimeProvider time, IMeterFactory meters, ILogger<Housekeeping> log)
    : BackgroundService
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan Alarming = TimeSpan.FromMinutes(1);
    private double oldestAge;
    private long parked;
    private long deadLetters;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var meter = meters.Create("Marketplace.Hosting");
        meter.CreateObservableGauge("outbox.oldest.age", () => Volatile.Read(ref oldestAge), "s", "Age of the oldest row that has not left the outbox");
        meter.CreateObservableGauge("outbox.parked.count", () => Volatile.Read(ref parked), description: "Outbox rows that wait for an operator");
        meter.CreateObservableGauge("deadletter.count", () => Volatile.Read(ref deadLetters), description: "Events this service gave up on");

        using var timer = new PeriodicTimer(Every, time);
        try
        {
            for (var round = 1; await timer.WaitForNextTickAsync(stoppingToken); round++)
            {
                try
                {
                    await MeasureAsync(stoppingToken);
                    if (round % 4 == 0)
                        await PruneAsync(stoppingToken);
                }
                catch (NpgsqlException away)                    // readiness reports it; the next round finds the same work
                {
                    LogSkipped(away.Message);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            return;                                             // the host stops
        }
    }

    internal async Task PruneAsync(CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var batch = database.CreateBatch();
        Add("DELETE FROM outbox WHERE sent_at < $1", now - outbox.Value.KeepSent);
        // Longer than any broker redelivers; a replayed dead letter was never recorded here.
        Add("DELETE FROM inbox WHERE received_at < $1", now - configuration.GetValue("Inbox:Keep", TimeSpan.FromDays(7)));
        Add("DELETE FROM idempotency_keys WHERE created_at < $1", now - configuration.GetValue("Idempotency:Keep", TimeSpan.FromDays(2)));
        await batch.ExecuteNonQueryAsync(ct);

        void Add(string sql, DateTimeOffset before) =>
            batch.BatchCommands.Add(new NpgsqlBatchCommand(sql) { Parameters = { new() { Value = before.ToUniversalTime() } } });
    }

    private async Task MeasureAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8, count(*) FILTER (WHERE parked_at IS NOT NULL),
                   (SELECT count(*) FROM dead_letters)
            FROM outbox WHERE sent_at IS NULL
            """);
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        Volatile.Write(ref oldestAge, reader.GetDouble(0));
        Volatile.Write(ref parked, reader.GetInt64(1));
        Volatile.Write(ref deadLetters, reader.GetInt64(2));
        if (oldestAge > Alarming.TotalSeconds && outbox.Value.Publish)
            LogOld(oldestAge, parked);
    }

    [LoggerMessage(LogLevel.Warning, "The oldest row has waited in the outbox for {Seconds:0} s; {Parked} rows are parked")]
    private partial void LogOld(double seconds, long parked);

    [LoggerMessage(LogLevel.Warning, "Housekeeping skipped a round: {Reason}")]
    private partial void LogSkipped(string reason);
}
