using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;
using Npgsql;

namespace Marketplace.Catalog.Sellers;

public static class SellerEvents
{
    public static IServiceCollection AddSellers(this IServiceCollection services) => services
        .AddSingleton<SellerRenames>()
        .AddOutboxLane(SellerRenames.Lane, (provider, message, ct) => provider.GetRequiredService<SellerRenames>().GoOnAsync(message, ct));

    public static void MapSellerEvents(this IEndpointRouteBuilder routes) => routes.MapEvent(SellerUpdated.Topic, OnSellerUpdatedAsync);

    /// <summary>The name is kept, and the listings follow in a lane of their own: a seller may have more than one delivery has time for.</summary>
    private static async Task<Ok> OnSellerUpdatedAsync(SellerUpdated seller, NpgsqlDataSource database, OutboxSignal outbox, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        if (await Inbox.FirstTimeAsync(tx, seller.EventId, ct) && await KeepAsync(tx, seller, ct))
            await Outbox.AddCommandAsync(tx, SellerRenames.Lane, seller.SellerId, new RenamedSoFar(null, null), ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        return TypedResults.Ok();
    }

    /// <summary>False when a newer name is known.</summary>
    private static async Task<bool> KeepAsync(NpgsqlTransaction tx, SellerUpdated seller, CancellationToken ct)
    {
        await using var keep = new NpgsqlCommand("""
            INSERT INTO sellers (seller_id, name, version) VALUES ($1, $2, $3)
            ON CONFLICT (seller_id) DO UPDATE SET name = excluded.name, version = excluded.version WHERE sellers.version < excluded.version
            """, tx.Connection, tx)
        {
            Parameters = { new() { Value = seller.SellerId }, new() { Value = seller.DisplayName }, new() { Value = seller.Version } },
        };
        return await keep.ExecuteNonQueryAsync(ct) == 1;
    }
}
