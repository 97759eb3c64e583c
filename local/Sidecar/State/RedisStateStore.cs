using System.Globalization;
using System.Runtime.CompilerServices;
using Marketplace.Local.Sidecar.Resources;
using StackExchange.Redis;

namespace Marketplace.Local.Sidecar.State;

/// <summary>
/// state.redis: a hash per key with the fields data and version, and the marker first-write once it was written so.
/// Comparing and writing is one script, so that a write is one round trip.
/// </summary>
internal sealed class RedisStateStore(ConnectionMultiplexer connection, int databaseNumber, int? defaultTtl) : IStateStore
{
    // The rule of one write, shared by the two scripts: a version that is there must be the one sent; "0" (no ETag) passes unless the
    // key was ever written as first-write. A key that is gone accepts any ETag.
    private const string Rules = """
        local function set(key, etag, data, first, ttl)
          local version = redis.call('HGET', key, 'version')
          if version and version ~= etag and (etag ~= '0' or redis.call('HEXISTS', key, 'first-write') == 1) then return 0 end
          if first == '1' then
            redis.call('HSET', key, 'data', data, 'first-write', '0')
          else
            redis.call('HSET', key, 'data', data)
          end
          redis.call('HINCRBY', key, 'version', 1)
          if ttl ~= '' then
            if tonumber(ttl) > 0 then redis.call('EXPIRE', key, ttl) else redis.call('PERSIST', key) end
          end
          return 1
        end
        local function delete(key, etag)
          local version = redis.call('HGET', key, 'version')
          if version and version ~= etag and etag ~= '0' then return 0 end
          redis.call('DEL', key)
          return 1
        end
        """;

    private const string SetScript = Rules + "\nreturn set(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4])";
    private const string DeleteScript = Rules + "\nreturn delete(KEYS[1], ARGV[1])";

    // Like a MULTI of single scripts: an operation that fails leaves the others done. Answers the number of failures.
    private const string TransactScript = Rules + """

        local failed = 0
        for i = 1, #KEYS do
          local at = (i - 1) * 5
          local ok
          if ARGV[at + 1] == 'd' then
            ok = delete(KEYS[i], ARGV[at + 2])
          else
            ok = set(KEYS[i], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
          end
          if ok == 0 then failed = failed + 1 end
        end
        return failed
        """;

    private static readonly RedisValue[] Fields = ["data", "version"];
    private static readonly RedisValue None = "0";

    private readonly IDatabase database = connection.GetDatabase(databaseNumber);

    public IReadOnlyList<string> Capabilities { get; } = ["ETAG", "TRANSACTIONAL", "TTL", "KEYS_LIKE", "ACTOR"];

    public static async Task<RedisStateStore> OpenAsync(SidecarHost host, Component component)
    {
        var options = RedisOptions.Of(component);
        try
        {
            return new RedisStateStore(await host.Connections.RedisAsync(options), component.Int("redisDB", 0), component.Int("ttlInSeconds"));
        }
        catch (RedisException e)
        {
            throw component.Error("redisHost", $"cannot connect to {component.Get("redisHost")}: {e.Message}");
        }
    }

    public async ValueTask<StateEntry?> GetAsync(string key, CancellationToken ct) => Entry(await database.HashGetAsync(key, Fields));

    public async ValueTask<IReadOnlyList<StateEntry?>> GetManyAsync(IReadOnlyList<string> keys, CancellationToken ct)
    {
        var answers = new Task<RedisValue[]>[keys.Count];
        for (var i = 0; i < answers.Length; i++)
            answers[i] = database.HashGetAsync(keys[i], Fields);
        var entries = new StateEntry?[answers.Length];
        for (var i = 0; i < answers.Length; i++)
            entries[i] = Entry(await answers[i]);
        return entries;
    }

    public async ValueTask<StateResult> SetAsync(StateWrite write, CancellationToken ct)
    {
        if (Version(write) is not { } version) return InvalidETag(write);

        var answer = await database.ScriptEvaluateAsync(SetScript, [write.Key], [version, write.Value, First(write), Ttl(write)]);
        if ((int)answer == 1) return StateResult.Done;
        return string.IsNullOrEmpty(write.ETag)
            ? new StateResult(StateVerdict.Refused, $"failed to set key {write.Key}")
            : StateResult.Mismatch;
    }

    public async ValueTask<StateResult> DeleteAsync(StateWrite write, CancellationToken ct)
    {
        if (string.IsNullOrEmpty(write.ETag))
        {
            await database.KeyDeleteAsync(write.Key);
            return StateResult.Done;
        }

        var answer = await database.ScriptEvaluateAsync(DeleteScript, [write.Key], [write.ETag]);
        return (int)answer == 1 ? StateResult.Done : StateResult.Mismatch;
    }

    public async ValueTask<StateResult> TransactAsync(IReadOnlyList<StateWrite> writes, CancellationToken ct)
    {
        var keys = new RedisKey[writes.Count];
        var values = new RedisValue[writes.Count * 5];
        for (var i = 0; i < keys.Length; i++)
        {
            var write = writes[i];
            keys[i] = write.Key;
            var slot = values.AsSpan(i * 5, 5);
            if (write.Delete)
            {
                slot[0] = "d";
                slot[1] = string.IsNullOrEmpty(write.ETag) ? None : write.ETag;
                slot[2..].Fill(RedisValue.EmptyString);
            }
            else
            {
                if (Version(write) is not { } version) return InvalidETag(write);
                slot[0] = "s";
                slot[1] = version;
                slot[2] = write.Value;
                slot[3] = First(write);
                slot[4] = Ttl(write);
            }
        }

        var failed = (int)await database.ScriptEvaluateAsync(TransactScript, keys, values);
        return failed == 0 ? StateResult.Done : StateResult.Mismatch;
    }

    /// <summary>OOM, LOADING, READONLY, MISCONF and their like pass; a value of another type under the key, or one too long, does not.</summary>
    public bool IsRefusal(Exception failure) =>
        failure is RedisServerException { Message: var message } && (message.StartsWith("ERR ", StringComparison.Ordinal) || message.StartsWith("WRONGTYPE", StringComparison.Ordinal));

    public async IAsyncEnumerable<string> ListKeysAsync(string prefix, [EnumeratorCancellation] CancellationToken ct)
    {
        var pattern = prefix.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("*", "\\*", StringComparison.Ordinal)
            .Replace("?", "\\?", StringComparison.Ordinal).Replace("[", "\\[", StringComparison.Ordinal) + "*";
        foreach (var server in connection.GetServers())
        {
            if (server.IsReplica) continue;
            await foreach (var key in server.KeysAsync(databaseNumber, pattern, pageSize: 500).WithCancellation(ct))
                yield return key.ToString();
        }
    }

    // The connection belongs to all components of the host.
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static StateEntry? Entry(RedisValue[] fields) =>
        fields[0].IsNull ? null : new StateEntry((ReadOnlyMemory<byte>)fields[0], fields[1].ToString());

    /// <summary>The version to compare with; null for a text that is no version.</summary>
    private static RedisValue? Version(StateWrite write)
    {
        // An explicit last-write ignores the ETag that came with it.
        if (write.Concurrency == StateConcurrency.LastWrite || string.IsNullOrEmpty(write.ETag)) return None;
        return long.TryParse(write.ETag, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _) ? (RedisValue)write.ETag : default(RedisValue?);
    }

    private static StateResult InvalidETag(StateWrite write) => new(StateVerdict.InvalidETag, $"invalid etag value: {write.ETag}");

    private static RedisValue First(StateWrite write) => write.Concurrency == StateConcurrency.FirstWrite ? "1" : "0";

    private RedisValue Ttl(StateWrite write) => (write.TtlSeconds ?? defaultTtl) is { } seconds ? seconds : RedisValue.EmptyString;
}
