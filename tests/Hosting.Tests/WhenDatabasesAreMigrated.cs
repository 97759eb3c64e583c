using System.Reflection;
using Marketplace.TestKit;
using Npgsql;
using Xunit;

namespace Marketplace.Hosting.Tests;

public sealed class WhenDatabasesAreMigrated
{
    private static readonly Assembly Here = typeof(WhenDatabasesAreMigrated).Assembly;

    [Fact]
    public async Task An_absent_database_is_created_and_a_second_run_does_nothing()
    {
        var address = new NpgsqlConnectionStringBuilder(await TestDatabase.CreateAsync()) { Database = $"fresh_{Guid.NewGuid():N}" }.ConnectionString;

        var first = await Migrations.ApplyAsync(address, Here, TestContext.Current.CancellationToken);
        var second = await Migrations.ApplyAsync(address, Here, TestContext.Current.CancellationToken);

        Assert.Contains("0001_lamps.sql", first);
        Assert.Empty(second);
    }

    [Fact]
    public async Task Runs_at_the_same_time_wait_for_each_other_and_each_file_runs_once()
    {
        var address = await TestDatabase.CreateAsync();

        var runs = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => Migrations.ApplyAsync(address, Here, TestContext.Current.CancellationToken)));

        Assert.Single(runs, run => run.Count > 0);
    }

    [Fact]
    public async Task A_start_on_an_empty_database_says_what_to_run()
    {
        await using var database = NpgsqlDataSource.Create(await TestDatabase.CreateAsync());

        var refused = await Assert.ThrowsAsync<DatabaseNotReadyException>(() => Migrations.CheckAsync(database, Here, TestContext.Current.CancellationToken));

        Assert.Contains("Hosting.Tests.dll migrate", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_start_behind_names_the_missing_file()
    {
        await using var database = NpgsqlDataSource.Create(await TestDatabase.CreateAsync(Here));
        await ExecuteAsync(database, "DELETE FROM schema_migrations WHERE name = '0001_lamps.sql'");

        var refused = await Assert.ThrowsAsync<DatabaseNotReadyException>(() => Migrations.CheckAsync(database, Here, TestContext.Current.CancellationToken));

        Assert.Contains("0001_lamps.sql", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_database_ahead_of_this_build_is_accepted()
    {
        await using var database = NpgsqlDataSource.Create(await TestDatabase.CreateAsync(Here));
        await ExecuteAsync(database, "INSERT INTO schema_migrations (source, number, name, checksum) VALUES ('service', 2, '0002_from_tomorrow.sql', 'x')");

        await Migrations.CheckAsync(database, Here, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task A_file_changed_after_it_ran_is_refused_on_start_and_on_migrate()
    {
        var address = await TestDatabase.CreateAsync(Here);
        await using var database = NpgsqlDataSource.Create(address);
        await ExecuteAsync(database, "UPDATE schema_migrations SET checksum = 'of yesterday' WHERE name = '0001_lamps.sql'");

        var start = await Assert.ThrowsAsync<DatabaseNotReadyException>(() => Migrations.CheckAsync(database, Here, TestContext.Current.CancellationToken));
        var migrate = await Assert.ThrowsAsync<DatabaseNotReadyException>(() => Migrations.ApplyAsync(address, Here, TestContext.Current.CancellationToken));

        Assert.Contains("0001_lamps.sql was changed", start.Message, StringComparison.Ordinal);
        Assert.Contains("0001_lamps.sql was changed", migrate.Message, StringComparison.Ordinal);
    }

    private static async Task ExecuteAsync(NpgsqlDataSource database, string sql)
    {
        await using var command = database.CreateCommand(sql);
        Assert.Equal(1, await command.ExecuteNonQueryAsync());
    }
}
