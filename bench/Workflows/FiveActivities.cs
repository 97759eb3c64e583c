using System.Diagnostics;
using Npgsql;

namespace Marketplace.Bench.Workflows;

/// <summary>Workflows of five activities, so many at a time: started, run, the end awaited.</summary>
internal static class FiveActivities
{
    public static async Task<Row> RunAsync(Bed bed, string what, int count, int inFlight)
    {
        var took = new TimeSpan[count];
        var next = -1;
        var before = bed.Cpu();
        var clock = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, inFlight).Select(async _ =>
        {
            for (int i; (i = Interlocked.Increment(ref next)) < count;)
            {
                var own = Stopwatch.StartNew();
                var id = await bed.Client.ScheduleNewWorkflowAsync("Five", input: i);
                var state = await bed.Client.WaitForWorkflowCompletionAsync(id);
                if (state.ReadOutputAs<int>() != i + 5) throw new InvalidOperationException($"{id} ended with {state.ReadOutputAs<int>()}.");
                took[i] = own.Elapsed;
            }
        }));
        var elapsed = clock.Elapsed;
        var after = bed.Cpu();
        Array.Sort(took);
        return new Row(what, count, took[count / 2], took[count * 95 / 100], count / elapsed.TotalSeconds,
            (after.Postgres - before.Postgres) / count, (after.Host - before.Host) / count, (after.Worker - before.Worker) / count);
    }

    public static async Task<Row> WithCpuAsync(Bed bed, Func<Task<Row>> measure)
    {
        var before = bed.Cpu();
        var row = await measure();
        var after = bed.Cpu();
        return row with { Postgres = (after.Postgres - before.Postgres) / row.Runs, Worker = (after.Worker - before.Worker) / row.Runs };
    }
}

internal sealed record Row(string What, int Runs, TimeSpan Median, TimeSpan P95, double PerSecond, TimeSpan? Postgres = null, TimeSpan? Host = null, TimeSpan? Worker = null);

/// <summary>What PostgreSQL alone needs for the same durable writes: six commits, one after the other, with eight rows in all.</summary>
internal static class Floor
{
    private const string Upsert = """
        INSERT INTO floor (key, value) SELECT * FROM unnest($1::text[], $2::bytea[])
        ON CONFLICT (key) DO UPDATE SET value = excluded.value
        """;

    public static async Task<Row> OneAfterAnotherAsync(string address, int count)
    {
        await using var database = await PrepareAsync(address);
        await using var connection = await database.OpenConnectionAsync();
        var took = new TimeSpan[count];
        var clock = Stopwatch.StartNew();
        for (var i = 0; i < count; i++)
        {
            var own = Stopwatch.StartNew();
            for (var commit = 0; commit < 6; commit++)
                await WriteAsync(connection, [.. Enumerable.Range(0, commit is 0 or 5 ? 2 : 1).Select(row => $"floor-{i}-{commit}-{row}")]);
            took[i] = own.Elapsed;
        }

        var elapsed = clock.Elapsed;
        Array.Sort(took);
        return new Row("floor: its six commits alone", count, took[count / 2], took[count * 95 / 100], count / elapsed.TotalSeconds);
    }

    public static async Task<Row> TogetherAsync(string address, int count)
    {
        await using var database = await PrepareAsync(address);
        await using var connection = await database.OpenConnectionAsync();
        var clock = Stopwatch.StartNew();
        var took = new List<TimeSpan>();
        for (var i = 0; i < count; i += 64)
        {
            var own = Stopwatch.StartNew();
            for (var commit = 0; commit < 6; commit++)
                await WriteAsync(connection, [.. Enumerable.Range(i, 64).SelectMany(one => Enumerable.Range(0, commit is 0 or 5 ? 2 : 1).Select(row => $"together-{one}-{commit}-{row}"))]);
            took.Add(own.Elapsed);
        }

        var elapsed = clock.Elapsed;
        took.Sort();
        return new Row("floor: the commits of 64 together", count, took[took.Count / 2], took[took.Count * 95 / 100], count / elapsed.TotalSeconds);
    }

    private static async Task<NpgsqlDataSource> PrepareAsync(string address)
    {
        var database = NpgsqlDataSource.Create(address);
        await using var create = database.CreateCommand("CREATE TABLE IF NOT EXISTS floor (key text PRIMARY KEY, value bytea NOT NULL)");
        await create.ExecuteNonQueryAsync();
        return database;
    }

    private static async Task WriteAsync(NpgsqlConnection connection, string[] keys)
    {
        await using var write = new NpgsqlCommand(Upsert, connection)
        {
            Parameters = { new() { Value = keys }, new() { Value = keys.Select(_ => new byte[400]).ToArray() } },
        };
        await write.ExecuteNonQueryAsync();
    }
}
