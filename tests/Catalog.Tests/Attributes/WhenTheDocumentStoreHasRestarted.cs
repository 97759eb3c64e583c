using System.Net;
using System.Net.Http.Json;
using Marketplace.TestKit;
using Npgsql;
using Xunit;
using static Marketplace.Catalog.Tests.DocumentShop;

namespace Marketplace.Catalog.Tests.Attributes;

/// <summary>The first call after it may meet a connection that is dead: the store refuses it, and takes the next one.</summary>
public sealed class WhenTheDocumentStoreHasRestarted : IAsyncLifetime
{
    private DocumentShop shop = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        shop = new DocumentShop { DocumentDatabase = await TestDatabase.CreateAsync(), Clock = new EverythingIsQuick() };
        await shop.InitializeAsync();
    }

    public ValueTask DisposeAsync() => shop.DisposeAsync();

    [Fact]
    public async Task A_listing_with_attributes_is_taken_all_the_same_and_has_one_document()
    {
        await RefuseAsync(times: 1);

        var phone = await PostAsync(shop.AsBruno, Phone());

        Assert.Equal(6.1m, (await shop.ShownAsync(phone.Id())).GetProperty("attributes").GetProperty("screen-size").GetDecimal());
        Assert.Equal(1, await shop.LedgerAsync());
    }

    [Fact]
    public async Task A_store_that_goes_on_refusing_is_one_that_is_away()
    {
        await RefuseAsync(times: 1000);

        using var refused = await shop.AsBruno.PostAsJsonAsync("/api/v1/products", Phone(), Ct);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
    }

    /// <summary>However busy the machine is that the test runs on.</summary>
    private sealed class EverythingIsQuick : TimeProvider
    {
        public override long GetTimestamp() => 0;
    }

    private async Task RefuseAsync(int times)
    {
        await using var database = NpgsqlDataSource.Create(shop.DocumentDatabase + ";Pooling=false");
        // A sequence goes on counting when the write that counted is undone.
        await using var refuse = database.CreateCommand($"""
            CREATE SEQUENCE writes;
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF nextval('writes') <= {times} THEN RAISE EXCEPTION USING ERRCODE = 'admin_shutdown'; END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON state FOR EACH ROW EXECUTE FUNCTION refuse();
            """);
        await refuse.ExecuteNonQueryAsync(Ct);
    }
}
