using System.Collections.Concurrent;
using Npgsql;
using StackExchange.Redis;

namespace Marketplace.Local.Sidecar;

/// <summary>Connections that components of many apps share, opened once per server: one Redis connection, one PostgreSQL pool.</summary>
public sealed class SharedConnections : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, Lazy<Task<ConnectionMultiplexer>>> redis = new();
    private readonly ConcurrentDictionary<string, Lazy<NpgsqlDataSource>> postgres = new();

    public Task<ConnectionMultiplexer> RedisAsync(ConfigurationOptions options) =>
        redis.GetOrAdd(options.ToString(includePassword: true), _ => new(() => ConnectionMultiplexer.ConnectAsync(options))).Value;

    public NpgsqlDataSource Postgres(string connectionString) =>
        postgres.GetOrAdd(connectionString, text => new(() => NpgsqlDataSource.Create(text))).Value;

    public async ValueTask DisposeAsync()
    {
        foreach (var connection in redis.Values)
        {
            if (connection.IsValueCreated && connection.Value.IsCompletedSuccessfully) await connection.Value.Result.DisposeAsync();
        }

        foreach (var pool in postgres.Values)
        {
            if (pool.IsValueCreated) await pool.Value.DisposeAsync();
        }
    }
}
