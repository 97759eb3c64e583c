using Refit;

namespace Marketplace.FlashSales.Clients;

public interface IIdentityClient
{
    /// <summary>An address of each account, by its id or the first one; at most 500 at once. Who has none is absent.</summary>
    [Post("/internal/addresses")]
    Task<AddressesReply> AddressesAsync([Body] AddressesRequest request, CancellationToken ct);
}

public sealed record AddressesRequest(IReadOnlyList<WantedAddress> Wanted);

public sealed record WantedAddress(Guid AccountId, Guid? AddressId = null);

public sealed record AddressesReply(IReadOnlyList<AccountAddress> Addresses);

public sealed record AccountAddress(Guid AccountId, Guid AddressId, string Name, string Line1, string? Line2, string City, string PostalCode, string Country);
