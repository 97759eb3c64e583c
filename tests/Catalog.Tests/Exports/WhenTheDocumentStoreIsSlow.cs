using Marketplace.Catalog.Tests.Imports;
using Marketplace.TestKit;
using Npgsql;
using Xunit;

namespace Marketplace.Catalog.Tests.Exports;

public sealed class WhenTheDocumentStoreIsSlow : IAsyncLifetime
{
    private DocumentShop shop = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        shop = new DocumentShop { DocumentDatabase = await TestDatabase.CreateAsync() };
        await shop.InitializeAsync();
    }

    public ValueTask DisposeAsync() => shop.DisposeAsync();

    [Fact]
    public async Task An_export_waits_for_it_and_is_whole()
    {
        var seller = new Importer(shop.Catalog);
        await seller.ImportAsync("sku,title,category,price,attr.screen-size\nP1,Phone,electronics-phones,299.00,6.1\nP2,Phone,electronics-phones,299.00,6.5\n");
        var whole = await seller.ExportAsync();
        await using var database = NpgsqlDataSource.Create(shop.DocumentDatabase! + ";Pooling=false");
        await using var connection = await database.OpenConnectionAsync(Ct);
        await using var tx = await connection.BeginTransactionAsync(Ct);
        await using (var hold = new NpgsqlCommand("LOCK TABLE state IN ACCESS EXCLUSIVE MODE", connection, tx))
            await hold.ExecuteNonQueryAsync(Ct);

        var exporting = seller.ExportAsync();
        await Eventually.Async(async () => await WaitingAsync() > 0, "attributes are asked for");
        await Eventually.Async(async () => await WaitingAsync() == 0, "nobody waits for them any more");
        await tx.CommitAsync(Ct);

        Assert.Equal(whole, await exporting);

        async Task<long> WaitingAsync()
        {
            await using var count = database.CreateCommand("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'");
            return (long)(await count.ExecuteScalarAsync(Ct))!;
        }
    }
}
