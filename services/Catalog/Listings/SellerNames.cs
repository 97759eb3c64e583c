using System.Security.Claims;
using Marketplace.Catalog.Clients;
using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.Catalog.Listings;

/// <summary>Shoppers see the seller's name on every listing and search result, so it is written into them when they are listed.</summary>
public sealed partial class SellerNames(NpgsqlDataSource database, IServiceScopeFactory scopes, ILogger<SellerNames> log)
{
    public async Task<string> OfAsync(ClaimsPrincipal user, CancellationToken ct)
    {
        var seller = SellerId.Of(user);
        await using var known = database.CreateCommand("SELECT name FROM sellers WHERE seller_id = $1");
        known.Parameters.Add(new() { Value = seller.Value });
        if (await known.ExecuteScalarAsync(ct) is string name)
            return name;

        if (await AskAsync(seller, ct) is not { } told)
            return Buyer.Name(user) is { Length: > 0 } own ? own : "Seller";    // listing must not depend on identity being up; the next one asks again

        await using var keep = database.CreateCommand("INSERT INTO sellers (seller_id, name) VALUES ($1, $2) ON CONFLICT (seller_id) DO UPDATE SET name = excluded.name WHERE sellers.version = 0");
        keep.Parameters.Add(new() { Value = seller.Value });
        keep.Parameters.Add(new() { Value = told });
        await keep.ExecuteNonQueryAsync(ct);
        return told;
    }

    private async Task<string?> AskAsync(SellerId seller, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        try
        {
            return await scope.ServiceProvider.GetRequiredService<IIdentityClient>().SellerNameAsync(seller.Value, ct);
        }
        catch (Exception away) when (away is HttpRequestException or TaskCanceledException && !ct.IsCancellationRequested)
        {
            LogNameUnknown(seller.Value, away.Message);
            return null;
        }
    }

    [LoggerMessage(LogLevel.Warning, "Identity does not say how seller {SellerId} is called; the listing bears the account's name ({Reason})")]
    private partial void LogNameUnknown(Guid sellerId, string reason);
}
