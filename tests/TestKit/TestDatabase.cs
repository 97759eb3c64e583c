using System.Collections.Concurrent;
using System.Reflection;
using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.TestKit;

/// <summary>Databases of their own for a test or a class. A service's migrations run once per test process; the rest are clones.</summary>
public static class TestDatabase
{
    private static readonly ConcurrentDictionary<string, Lazy<Task<string>>> Templates = new();
    private static readonly SemaphoreSlim Creating = new(1, 1);
    private static int number;

    /// <summary>An empty one.</summary>
    public static Task<string> CreateAsync() => CreateAsync(template: "template1");

    /// <summary>One migrated by the service whose assembly this is.</summary>
    public static async Task<string> CreateAsync(Assembly service)
    {
        var template = await Templates.GetOrAdd(service.FullName!, _ => new Lazy<Task<string>>(() => TemplateAsync(service))).Value;
        return await CreateAsync(template);
    }

    public static Task<string> CreateAsync<TProgram>() => CreateAsync(typeof(TProgram).Assembly);

    private static async Task<string> TemplateAsync(Assembly service)
    {
        var address = await CreateAsync();
        await Migrations.ApplyAsync(address, service);
        return new NpgsqlConnectionStringBuilder(address).Database!;
    }

    private static async Task<string> CreateAsync(string template)
    {
        var server = await PostgresFixture.AddressAsync();
        var name = $"test_{Interlocked.Increment(ref number)}";
        await using var database = NpgsqlDataSource.Create(server + ";Pooling=false");
        // A template must have no connections, and a second clone of it at the same moment counts as one.
        await Creating.WaitAsync();
        try
        {
            await using var create = database.CreateCommand($"CREATE DATABASE {name} TEMPLATE {template}");
            await create.ExecuteNonQueryAsync();
        }
        finally
        {
            Creating.Release();
        }

        return new NpgsqlConnectionStringBuilder(server) { Database = name }.ConnectionString;
    }
}
