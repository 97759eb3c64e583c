using System.Globalization;
using System.Net.Http.Headers;
using Dapr.Client.Autogen.Grpc.v1;
using Google.Protobuf;
using Grpc.Net.Client;
using Marketplace.Bench.Sidecar;
using Marketplace.Bench.Workflows;
using Spectre.Console;
using StackExchange.Redis;

// Every hot path of the sidecar host beside its floor: what the same work costs without a sidecar, measured in the same run.
// --quick: short, to see that it runs. --only state|invoke|publish|actor|workflow: that part alone.
var quick = args.Contains("--quick");
var only = args.SkipWhile(arg => arg != "--only").ElementAtOrDefault(1);
string[] parts = ["state", "invoke", "publish", "actor", "workflow"];
if (only is not null && !parts.Contains(only))
{
    Console.Error.WriteLine($"usage: [--quick] [--only {string.Join('|', parts)}]");
    return 2;
}

var warmUp = TimeSpan.FromSeconds(quick ? 0.3 : 1.5);
var duration = TimeSpan.FromSeconds(quick ? 0.5 : 3);
var measures = new List<(Measure Measure, Measure? Floor)>();
var rows = new List<Row>();
var redisName = "";

await AnsiConsole.Progress().Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn()).StartAsync(async progress =>
{
    if (only != "workflow")
    {
        var starting = progress.AddTask("Redis, sidecar host, app", maxValue: 1);
        await using var bed = await SidecarBed.StartAsync();
        redisName = bed.RedisName;
        starting.Increment(1);
        using var channel = GrpcChannel.ForAddress(bed.SidecarGrpc);
        var grpc = new Dapr.Client.Autogen.Grpc.v1.Dapr.DaprClient(channel);
        var steps = Steps.Of(bed, grpc).Where(step => only is null || step.Part == only).ToList();
        var task = progress.AddTask("measures", maxValue: steps.Count * 2);
        foreach (var part in steps.GroupBy(step => step.Part + step.Group))
        {
            foreach (var callers in (int[])[1, 32])
            {
                Measure? floor = null;
                foreach (var step in part)
                {
                    task.Description = $"{step.What}, {callers} caller{(callers == 1 ? "" : "s")}";
                    var measure = await Load.RunAsync(bed, step.What, callers, step.IsFloor, callers == 1 ? warmUp / 2 : warmUp, duration, step.Operation);
                    if (step.IsFloor) floor = measure;
                    measures.Add((measure, step.IsFloor ? null : floor));
                    task.Increment(1);
                }
            }
        }
    }

    if (only is null or "workflow")
    {
        var task = progress.AddTask("workflows of five activities", maxValue: 4);
        await using var bed = await Bed.StartAsync();
        await bed.UseAsync(inMemory: false);
        await FiveActivities.RunAsync(bed, "warm-up", quick ? 200 : 2000, 64);
        task.Increment(1);
        rows.Add(await FiveActivities.WithCpuAsync(bed, () => Floor.OneAfterAnotherAsync(bed.Database, quick ? 50 : 200)));
        task.Increment(1);
        rows.Add(await FiveActivities.RunAsync(bed, "workflow of five activities, 1 caller", quick ? 50 : 200, 1));
        task.Increment(1);
        rows.Add(await FiveActivities.RunAsync(bed, "workflow of five activities, 32 callers", quick ? 500 : 4000, 32));
        task.Increment(1);
    }
});

AnsiConsole.Profile.Width = Math.Max(AnsiConsole.Profile.Width, 150);
var table = new Table().RoundedBorder();
foreach (var column in (string[])["what", "callers", "median ms", "p95 ms", "a second", "of floor", "CPU ms each: host", "server", "client and app", "in all"])
    table.AddColumn(new TableColumn(column).RightAligned());
table.Columns[0].LeftAligned();
foreach (var (measure, floor) in measures)
{
    table.AddRow(
        measure.IsFloor ? $"floor: {measure.What}" : measure.What,
        Number(measure.Callers, "0"),
        Milliseconds(measure.Median),
        Milliseconds(measure.P95),
        Number(measure.PerSecond, "#,0"),
        floor is null ? "" : $"{measure.PerSecond / floor.PerSecond:0%}",
        measure.IsFloor ? "" : Milliseconds(measure.Host),
        measure.Server > TimeSpan.Zero ? Milliseconds(measure.Server) : "",
        Milliseconds(measure.Client),
        Milliseconds(measure.Cpu));
}

foreach (var row in rows)
{
    table.AddRow(
        row.What.Replace(", 1 caller", "", StringComparison.Ordinal).Replace(", 32 callers", "", StringComparison.Ordinal),
        row.What.EndsWith("32 callers", StringComparison.Ordinal) ? "32" : "1",
        Milliseconds(row.Median),
        Milliseconds(row.P95),
        Number(row.PerSecond, "#,0"),
        row == rows[0] || row.What.EndsWith("32 callers", StringComparison.Ordinal) ? "" : $"{row.PerSecond / rows[0].PerSecond:0%}",
        Milliseconds(row.Host ?? TimeSpan.Zero),
        Milliseconds(row.Postgres ?? TimeSpan.Zero),
        Milliseconds(row.Worker ?? TimeSpan.Zero),
        Milliseconds((row.Host ?? TimeSpan.Zero) + (row.Postgres ?? TimeSpan.Zero) + (row.Worker ?? TimeSpan.Zero)));
}

AnsiConsole.Write(table);
AnsiConsole.WriteLine($"{Environment.ProcessorCount} cores, load {File.ReadAllText("/proc/loadavg").Split(' ')[0]} at the end. "
    + (redisName.Length > 0 ? $"Redis: {redisName}. " : "")
    + "Client, app and worker are in the process of the benchmark. Server: Redis, for workflows PostgreSQL.");
return 0;

static string Milliseconds(TimeSpan time) => Number(time.TotalMilliseconds, time.TotalMilliseconds < 10 ? "0.000" : "0.0");

static string Number(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);

/// <summary>One thing that is measured with one caller and with 32. Those of a group are compared with the floor that stands first in it.</summary>
internal sealed record Step(string Part, string Group, string What, bool IsFloor, Func<int, int, Task> Operation);

internal static class Steps
{
    private const int Keys = 64;
    private static readonly byte[] Value = System.Text.Encoding.UTF8.GetBytes($$"""{"buyer":"{{Guid.Empty}}","lines":[{{string.Join(',', Enumerable.Range(0, 4).Select(n => $$"""{"product":"{{Guid.Empty}}","quantity":{{n}}}"""))}}]}""");

    public static IEnumerable<Step> Of(SidecarBed bed, Dapr.Client.Autogen.Grpc.v1.Dapr.DaprClient grpc)
    {
        var redis = bed.Redis;
        RedisValue[] fields = ["data", "version"];
        var saved = $"[{{\"key\":\"KEY\",\"value\":{System.Text.Encoding.UTF8.GetString(Value)}}}]";
        var bodies = Enumerable.Range(0, Keys).Select(n => System.Text.Encoding.UTF8.GetBytes(saved.Replace("KEY", $"k{n}", StringComparison.Ordinal))).ToArray();

        yield return new Step("state", "set", $"{bed.RedisName} direct, HSET and HINCRBY in one script", true, async (caller, n) =>
            await redis.ScriptEvaluateAsync("redis.call('HSET', KEYS[1], 'data', ARGV[1]) return redis.call('HINCRBY', KEYS[1], 'version', 1)", [$"direct{(caller + n) % Keys}"], [Value]));
        yield return new Step("state", "set", "state set, HTTP", false, (caller, n) => PostAsync(bed, "/v1.0/state/store", bodies[(caller + n) % Keys]));
        yield return new Step("state", "set", "state set, gRPC", false, async (caller, n) =>
            await grpc.SaveStateAsync(new SaveStateRequest { StoreName = "store", States = { new StateItem { Key = $"k{(caller + n) % Keys}", Value = UnsafeByteOperations.UnsafeWrap(Value) } } }));

        yield return new Step("state", "get", $"{bed.RedisName} direct, HMGET", true, async (caller, n) =>
        {
            var found = await redis.HashGetAsync($"direct{(caller + n) % Keys}", fields);
            if (found[0].Length() != Value.Length) throw new InvalidOperationException("not what was written");
        });
        yield return new Step("state", "get", "state get, HTTP", false, async (caller, n) =>
        {
            using var answer = await bed.Http.GetAsync(new Uri($"{bed.SidecarHttp}/v1.0/state/store/k{(caller + n) % Keys}"));
            if ((await answer.Content.ReadAsByteArrayAsync()).Length != Value.Length) throw new InvalidOperationException("not what was written");
        });
        yield return new Step("state", "get", "state get, gRPC", false, async (caller, n) =>
        {
            var answer = await grpc.GetStateAsync(new GetStateRequest { StoreName = "store", Key = $"k{(caller + n) % Keys}" });
            if (answer.Data.Length != Value.Length) throw new InvalidOperationException("not what was written");
        });

        yield return new Step("invoke", "", "HTTP straight to the app", true, (_, _) => PostAsync(bed, bed.App, "/echo", Value));
        yield return new Step("invoke", "", "invocation through two sidecars", false, (_, _) => PostAsync(bed, "/v1.0/invoke/app/method/echo", Value));

        foreach (var broker in bed.Brokers)
        {
            if (broker == "streams")
            {
                var consumer = new Lazy<DirectConsumer>(() => new DirectConsumer(bed));
                yield return new Step("publish", broker, $"{bed.RedisName} direct, XADD to XREADGROUP", true, async (_, _) =>
                {
                    consumer.Value.Start();
                    var (body, delivered) = bed.NextEvent();
                    await redis.StreamAddAsync(DirectConsumer.Stream, "data", body);
                    await delivered;
                });
            }
            else
            {
                yield return new Step("publish", broker, "HTTP straight to the app", true, async (_, _) =>
                {
                    var (body, delivered) = bed.NextEvent();
                    await PostAsync(bed, bed.App, "/deliver", System.Text.Encoding.UTF8.GetBytes(body));
                    await delivered;
                });
            }

            yield return new Step("publish", broker, $"publish to delivery, {(broker == "streams" ? "pubsub.redis" : "pubsub.in-memory (journalled)")}", false, async (_, _) =>
            {
                var (body, delivered) = bed.NextEvent();
                await PostAsync(bed, $"/v1.0/publish/{broker}/bench", System.Text.Encoding.UTF8.GetBytes($$"""{"n":"{{body}}"}"""));
                await delivered;
            });
        }

        yield return new Step("actor", "", "HTTP straight to the app", true, (_, _) => PostAsync(bed, bed.App, "/actors/Echo/1/method/ping", Value));
        yield return new Step("actor", "", "actor call, an actor each", false, (caller, _) => PostAsync(bed, $"/v1.0/actors/Echo/{caller}/method/ping", Value));
    }

    private static Task PostAsync(SidecarBed bed, string path, byte[] body) => PostAsync(bed, bed.SidecarHttp, path, body);

    private static async Task PostAsync(SidecarBed bed, string address, string path, byte[] body)
    {
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        using var answer = await bed.Http.PostAsync(new Uri(address + path), content);
        answer.EnsureSuccessStatusCode();
        await answer.Content.ReadAsByteArrayAsync();
    }
}

/// <summary>A consumer group read as the component reads it, on a connection of its own because reading blocks.</summary>
internal sealed class DirectConsumer(SidecarBed bed)
{
    public const string Stream = "direct-stream";
    private readonly Lock gate = new();
    private Task? reading;

    public void Start()
    {
        lock (gate) reading ??= Task.Run(ReadAsync);
    }

    private async Task ReadAsync()
    {
        var options = ConfigurationOptions.Parse($"127.0.0.1:{bed.RedisPort},asyncTimeout=30000,syncTimeout=30000,protocol=resp2");
        await using var own = await ConnectionMultiplexer.ConnectAsync(options);
        try
        {
            await bed.Redis.StreamCreateConsumerGroupAsync(Stream, "bench", "0", createStream: true);
            while (true)
            {
                var answer = await own.GetDatabase().ExecuteAsync("XREADGROUP", "GROUP", "bench", "one", "COUNT", "100", "BLOCK", "1000", "STREAMS", Stream, ">");
                if (answer.IsNull) continue;
                foreach (var entry in (RedisResult[])((RedisResult[])((RedisResult[])answer!)[0]!)[1]!)
                {
                    var parts = (RedisResult[])entry!;
                    await bed.Redis.StreamAcknowledgeAsync(Stream, "bench", (string)parts[0]!, CommandFlags.FireAndForget);
                    bed.Deliver((string)((RedisResult[])parts[1]!)[1]!);
                }
            }
        }
        catch (Exception e) when (e is RedisException or ObjectDisposedException)
        {
            // The server ended with the benchmark.
            return;
        }
    }
}
