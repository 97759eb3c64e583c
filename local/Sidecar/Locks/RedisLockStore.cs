using Marketplace.Local.Sidecar.Resources;
using StackExchange.Redis;

namespace Marketplace.Local.Sidecar.Locks;

/// <summary>The numbers of the API.</summary>
internal enum UnlockStatus
{
    Success = 0,
    NotLocked = 1,
    BelongsToOthers = 2,
}

/// <summary>lock.redis: a key with an expiry, which only its owner deletes. Not reentrant.</summary>
internal sealed class RedisLockStore(Component component, IDatabase database, string keyPrefix)
{
    private const string UnlockScript = """
        local owner = redis.call('GET', KEYS[1])
        if not owner then return 1 end
        if owner ~= ARGV[1] then return 2 end
        redis.call('DEL', KEYS[1])
        return 0
        """;

    public Component Component { get; } = component;

    public static async Task<RedisLockStore> OpenAsync(SidecarHost host, Component component, string appId)
    {
        if ((component.Type, component.Manifest.Version) != ("lock.redis", "v1")) throw component.UnknownType();

        var options = RedisOptions.Of(component);
        try
        {
            var connection = await host.Connections.RedisAsync(options);
            return new RedisLockStore(component, connection.GetDatabase(component.Int("redisDB", 0)), component.KeyPrefix(appId, host.Plan.Namespace));
        }
        catch (RedisException e)
        {
            throw component.Error("redisHost", $"cannot connect to {component.Get("redisHost")}: {e.Message}");
        }
    }

    public Task<bool> TryLockAsync(string resource, string owner, TimeSpan expiry) => database.StringSetAsync(Key(resource), owner, expiry, When.NotExists);

    public async Task<UnlockStatus> UnlockAsync(string resource, string owner) =>
        (UnlockStatus)(int)await database.ScriptEvaluateAsync(UnlockScript, [Key(resource)], [owner]);

    private RedisKey Key(string resource) => keyPrefix.Length == 0 ? $"lock||{resource}" : $"lock||{keyPrefix}||{resource}";
}
