using Marketplace.Ordering.Checkout;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Ordering.FlashOrders;

/// <summary>
/// Starts the sagas of flash orders, a bounded number at a time in each replica: a sale that sells a thousand in a second must not stand
/// between an ordinary buyer and the till. A saga holds its place until the table says that its attempt has ended, in whichever replica
/// that was. Places are this process's memory: one that dies holds none, and what it had started goes on elsewhere. When sagas take long the machine has
/// better to do (claims are being decided): places are taken away, and come back one by one as sagas get fast again.
/// </summary>
public sealed partial class FlashLane(
    SagaStarter starter, SagaStore sagas, NpgsqlDataSource database, TimeProvider time, IOptions<FlashOrderOptions> options, FlashOrderMeter meter, ILogger<FlashLane> log) : BackgroundService
{
    private readonly SemaphoreSlim free = new(options.Value.UnderWay);
    private readonly SemaphoreSlim something = new(0);
    private readonly Lock gate = new();
    private readonly Dictionary<(Guid OrderId, int Attempt), DateTimeOffset> held = [];
    private int allowed = options.Value.UnderWay;               // places there should be
    private int places = options.Value.UnderWay;                // places there are, taken or free

    public int UnderWay
    {
        get { lock (gate) return held.Count; }
    }

    public async Task StartAsync(StartSaga command, CancellationToken ct)
    {
        if (!await free.WaitAsync(options.Value.WaitAtMost, ct))
            throw new TimeoutException($"{UnderWay} sagas of flash orders are under way here and none has ended for a while.");

        var kept = false;
        try
        {
            await sagas.WatchFromNowAsync(command, ct);        // first: a saga nobody watches could get lost
            kept = await starter.StartAsync(command, ct) && Hold((command.OrderId, command.Attempt));
        }
        finally
        {
            if (!kept) free.Release();                         // nothing to start, not started, or the same command again
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.Value.LookEvery, time);
        while (true)
        {
            await something.WaitAsync(stoppingToken);          // idle while no sale runs
            while (UnderWay > 0 && await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    await LookAsync(stoppingToken);
                }
                catch (NpgsqlException away)
                {
                    LogAway(away);                             // the places stay held until the table answers or their time is up
                    LeaveAll(Overdue());
                }
            }
        }
    }

    /// <summary>Frees the places of what has ended.</summary>
    public async Task LookAsync(CancellationToken ct)
    {
        (Guid OrderId, int Attempt)[] asked;
        lock (gate) asked = [.. held.Keys];
        await using var read = database.CreateCommand("""
            SELECT a.order_id, a.attempt FROM unnest($1::uuid[], $2::smallint[]) AS l(order_id, attempt)
            JOIN attempts a ON a.order_id = l.order_id AND a.attempt = l.attempt
            WHERE a.status <> 'pending'
            """);
        read.Parameters.Add(new() { Value = Array.ConvertAll(asked, saga => saga.OrderId) });
        read.Parameters.Add(new() { Value = Array.ConvertAll(asked, saga => (short)saga.Attempt), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Smallint });
        var over = Overdue();
        await using var reader = await read.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) over.Add((reader.GetGuid(0), reader.GetInt16(1)));
        LeaveAll(over);
    }

    private bool Hold((Guid, int) saga)
    {
        lock (gate)
        {
            if (!held.TryAdd(saga, time.GetUtcNow())) return false;
            if (held.Count == 1) something.Release();
        }

        meter.UnderWay(1);
        return true;
    }

    private HashSet<(Guid OrderId, int Attempt)> Overdue()
    {
        var since = time.GetUtcNow() - options.Value.HeldAtMost;
        lock (gate) return [.. held.Where(saga => saga.Value <= since).Select(saga => saga.Key)];
    }

    private void LeaveAll(IReadOnlyCollection<(Guid OrderId, int Attempt)> over)
    {
        var (left, taken, given) = (0, TimeSpan.Zero, 0);
        lock (gate)
        {
            var now = time.GetUtcNow();
            foreach (var saga in over)
            {
                if (!held.Remove(saga, out var since)) continue;
                left++;
                taken += now - since;
            }

            if (left == 0) return;
            allowed = taken / left > options.Value.Slow
                ? Math.Max(Math.Min(options.Value.AtLeast, options.Value.UnderWay), allowed - Math.Max(1, allowed / 4))
                : Math.Min(options.Value.UnderWay, allowed + 1);
            given = Math.Max(0, left + allowed - places);
            places += given - left;
        }

        meter.UnderWay(-left);
        if (given > 0) free.Release(given);
    }

    public override void Dispose()
    {
        free.Dispose();
        something.Dispose();
        base.Dispose();
    }

    [LoggerMessage(LogLevel.Warning, "Cannot see which sagas of flash orders have ended")]
    private partial void LogAway(Exception away);
}
