using System.Collections.Concurrent;
using System.Net;
using System.Text;
using StackExchange.Redis;

namespace Marketplace.Local.Sidecar.PubSub.Redis;

/// <summary>Reads all streams of one app over one connection of its own: one blocking command waits for whichever has something.</summary>
internal sealed partial class GroupReader(
    ConnectionMultiplexer connection,
    ConfigurationOptions options,
    RedisStreamSettings settings,
    ConcurrentDictionary<string, RedisPubSub.Topic> topics,
    ILogger log) : IDisposable
{
    private const int NotBlocked = -1;
    private static readonly TimeSpan Block = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AnswerLimit = Block + TimeSpan.FromSeconds(5);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan UnblockPause = TimeSpan.FromMilliseconds(2);

    private readonly SemaphoreSlim changed = new(0, 1);
    private long lineId;
    private int version;
    private int blockedWith = NotBlocked;
    private int unblocking;

    /// <summary>What there is to read has changed: an app came or went, or there is room again.</summary>
    public void Wake()
    {
        Interlocked.Increment(ref version);
        lock (changed)
        {
            if (changed.CurrentCount == 0) changed.Release();
        }
        if (IsBlockedWithOldList() && Interlocked.Exchange(ref unblocking, 1) == 0) _ = UnblockAsync();
    }

    /// <summary>Until <paramref name="ct"/> ends, over any number of connections.</summary>
    public async Task RunAsync(Action<RedisPubSub.Topic, string, byte[]?, byte[]?> receive, CancellationToken ct)
    {
        var pause = FirstPause;
        var away = false;
        while (!ct.IsCancellationRequested)
        {
            try
            {
                await using var line = await RespConnection.OpenAsync(Server(), options, settings.Database, ct);
                Volatile.Write(ref lineId, line.Id);
                foreach (var topic in topics.Values) topic.CaughtUp = false;   // a reply may have been lost on the way
                await ReadAsync(line, receive, () =>
                {
                    if (away) LogBack(settings.Group);
                    (away, pause) = (false, FirstPause);
                }, ct);
            }
            catch (Exception e) when (!ct.IsCancellationRequested)
            {
                if (!away) LogAway(settings.Group, e.Message);
                away = true;
            }
            catch (OperationCanceledException)
            {
                return;
            }

            Volatile.Write(ref blockedWith, NotBlocked);
            await Task.Delay(pause, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    public void Dispose() => changed.Dispose();

    private async Task ReadAsync(RespConnection line, Action<RedisPubSub.Topic, string, byte[]?, byte[]?> receive, Action answered, CancellationToken ct)
    {
        while (true)
        {
            var read = Volatile.Read(ref version);
            var wanted = topics.Values.Where(topic => !topic.Group.IsEmpty && !topic.IsFull(settings.QueueDepth)).ToArray();
            foreach (var topic in wanted)
                if (!topic.CaughtUp) await CatchUpAsync(line, topic, receive, ct);
            if (wanted.Length == 0)
            {
                answered();
                await changed.WaitAsync(ct);
                continue;
            }

            Volatile.Write(ref blockedWith, read);
            if (Volatile.Read(ref version) != read)
            {
                Volatile.Write(ref blockedWith, NotBlocked);
                continue;
            }

            try
            {
                var reply = await CallAsync(line, ["XREADGROUP", "GROUP", settings.Group, settings.Consumer, "COUNT", settings.QueueDepth, "BLOCK", (int)Block.TotalMilliseconds,
                    "STREAMS", .. wanted.Select(topic => topic.Name), .. wanted.Select(_ => ">")], ct);
                Volatile.Write(ref blockedWith, NotBlocked);
                Take(reply, receive);
                answered();
            }
            catch (RespException e) when (e.Message.StartsWith("NOGROUP", StringComparison.Ordinal))
            {
                LogNoGroup(settings.Group, e.Message);   // the server lost its data, or somebody deleted the stream
                foreach (var topic in wanted) topic.CaughtUp = false;
            }
        }
    }

    /// <summary>What is pending under our name: from before a restart, or from a reply that got lost.</summary>
    private async Task CatchUpAsync(RespConnection line, RedisPubSub.Topic topic, Action<RedisPubSub.Topic, string, byte[]?, byte[]?> receive, CancellationToken ct)
    {
        try
        {
            await CallAsync(line, ["XGROUP", "CREATE", topic.Name, settings.Group, "0", "MKSTREAM"], ct);
        }
        catch (RespException e) when (e.Message.StartsWith("BUSYGROUP", StringComparison.Ordinal))
        {
            LogKnown(settings.Group, topic.Name);
        }

        string? last = "0";
        while (last is not null)
            last = Take(await CallAsync(line, ["XREADGROUP", "GROUP", settings.Group, settings.Consumer, "COUNT", settings.QueueDepth, "STREAMS", topic.Name, last], ct), receive);
        topic.CaughtUp = true;
    }

    /// <summary>Hands over the entries of a reply; the id of the last one, or null when there was none.</summary>
    private string? Take(object? reply, Action<RedisPubSub.Topic, string, byte[]?, byte[]?> receive)
    {
        string? last = null;
        foreach (var stream in (object?[]?)reply ?? [])
        {
            var pair = (object?[])stream!;
            if (!topics.TryGetValue(Text(pair[0]), out var topic)) continue;
            foreach (var item in (object?[]?)pair[1] ?? [])
            {
                var entry = (object?[])item!;
                last = Text(entry[0]);
                byte[]? data = null;
                byte[]? metadata = null;
                var fields = (object?[]?)entry[1];
                for (var i = 0; i + 1 < fields?.Length; i += 2)
                {
                    var name = ((byte[])fields[i]!).AsSpan();
                    if (name.SequenceEqual("data"u8)) data = (byte[])fields[i + 1]!;
                    else if (name.SequenceEqual("metadata"u8)) metadata = (byte[])fields[i + 1]!;
                }
                receive(topic, last, fields is null ? null : data ?? [], metadata);
            }
        }
        return last;
    }

    private static async Task<object?> CallAsync(RespConnection line, object[] words, CancellationToken ct)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(AnswerLimit);
        try
        {
            return await line.CallAsync(words, limit.Token);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            throw new IOException($"The server did not answer within {AnswerLimit.TotalSeconds:0} s.");
        }
    }

    /// <summary>The command may not have reached the server when this one does: it is asked until the reader has moved on.</summary>
    private async Task UnblockAsync()
    {
        try
        {
            while (IsBlockedWithOldList())
            {
                await connection.GetDatabase().ExecuteAsync("CLIENT", "UNBLOCK", Volatile.Read(ref lineId));
                await Task.Delay(UnblockPause);
            }
        }
        catch (RedisException e)
        {
            LogNotWoken(settings.Group, Block.TotalSeconds, e.Message);
        }
        finally
        {
            Volatile.Write(ref unblocking, 0);
        }
        if (IsBlockedWithOldList() && Interlocked.Exchange(ref unblocking, 1) == 0) await Task.Run(UnblockAsync);
    }

    private bool IsBlockedWithOldList() => Volatile.Read(ref blockedWith) is var list && list != NotBlocked && list != Volatile.Read(ref version);

    /// <summary>The one the shared client writes to; it knows about failovers.</summary>
    private EndPoint Server() =>
        connection.GetServers().FirstOrDefault(server => server.IsConnected && !server.IsReplica)?.EndPoint ?? options.EndPoints[0];

    private static string Text(object? value) => Encoding.UTF8.GetString((byte[])value!);

    [LoggerMessage(LogLevel.Warning, "Consumer group {Group}: Redis is away ({Reason}); reading goes on as soon as it is back")]
    private partial void LogAway(string group, string reason);

    [LoggerMessage(LogLevel.Warning, "Consumer group {Group}: Redis is back")]
    private partial void LogBack(string group);

    [LoggerMessage(LogLevel.Warning, "Consumer group {Group} is gone and is made anew: {Reason}")]
    private partial void LogNoGroup(string group, string reason);

    [LoggerMessage(LogLevel.Debug, "Consumer group {Group} of {Topic} exists")]
    private partial void LogKnown(string group, string topic);

    [LoggerMessage(LogLevel.Debug, "Consumer group {Group}: the reader could not be woken and looks again within {Seconds} s: {Reason}")]
    private partial void LogNotWoken(string group, double seconds, string reason);
}
