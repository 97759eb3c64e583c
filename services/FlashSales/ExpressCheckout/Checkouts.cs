using System.Security.Claims;
using Marketplace.Contracts;
using Marketplace.FlashSales.Claims;
using Marketplace.FlashSales.Clients;
using Marketplace.Hosting;

namespace Marketplace.FlashSales.ExpressCheckout;

/// <summary>
/// Asks identity for an address and payments for a method, once an account, and remembers the answer. Those who join at the same moment are looked
/// up together: a crowd of newcomers is a few calls, not two each.
/// </summary>
public sealed class Checkouts
{
    public const string Address = "address";
    public const string PaymentMethod = "paymentMethod";

    // As many as the neighbours answer at once.
    private const int Most = 500;
    private static readonly TimeSpan GatherFor = TimeSpan.FromMilliseconds(5);

    private readonly CheckoutStore store;
    private readonly IIdentityClient identity;
    private readonly IPaymentsClient payments;
    private readonly Batcher<Newcomer, IReadOnlyList<string>> lookUps;

    public Checkouts(CheckoutStore store, IIdentityClient identity, IPaymentsClient payments)
    {
        (this.store, this.identity, this.payments) = (store, identity, payments);
        lookUps = new(Most, GatherFor, LookUpAsync);
    }

    /// <summary>
    /// Remembers the account's first address and default payment method; what is missing otherwise, and then nothing is remembered.
    /// </summary>
    /// <exception cref="HttpRequestException">A neighbour does not answer.</exception>
    public Task<IReadOnlyList<string>> FirstAsync(Guid buyer, ClaimsPrincipal user, CancellationToken ct) =>
        lookUps.AskAsync(new Newcomer(buyer, ContactOf(user)), ct);

    /// <summary>What the account asks for, if both are its own; else what there is not.</summary>
    /// <exception cref="HttpRequestException">A neighbour does not answer.</exception>
    public async Task<(RememberedCheckout? Checkout, IReadOnlyList<string> Missing)> SetAsync(
        Guid buyer, ClaimsPrincipal user, Guid addressId, Guid? paymentMethodId, CancellationToken ct)
    {
        var (address, method) = (
            identity.AddressesAsync(new AddressesRequest([new(buyer, addressId)]), ct),
            payments.MethodsAsync(new PaymentMethodsRequest([new(buyer, paymentMethodId)]), ct));
        await Task.WhenAll(address, method);
        var missing = Missing((await address).Addresses.Count > 0, (await method).Methods.Count > 0);
        if (missing.Count > 0)
            return (null, missing);
        var checkout = Of(buyer, (await address).Addresses[0], ContactOf(user), paymentMethodId);
        await store.SetAsync(checkout, ct);
        return (checkout, []);
    }

    private async Task<IReadOnlyList<IReadOnlyList<string>>> LookUpAsync(IReadOnlyList<Newcomer> asked)
    {
        var newcomers = asked.DistinctBy(one => one.Buyer).ToList();
        var (addressing, paying) = (
            identity.AddressesAsync(new AddressesRequest([.. newcomers.Select(one => new WantedAddress(one.Buyer))]), default),
            payments.MethodsAsync(new PaymentMethodsRequest([.. newcomers.Select(one => new WantedMethod(one.Buyer))]), default));
        await Task.WhenAll(addressing, paying);
        var addresses = (await addressing).Addresses.ToDictionary(address => address.AccountId);
        var paid = (await paying).Methods.Select(method => method.BuyerId).ToHashSet();

        var found = newcomers.Where(one => addresses.ContainsKey(one.Buyer) && paid.Contains(one.Buyer)).ToList();
        if (found.Count > 0)
            await store.RememberAsync([.. found.Select(one => Of(one.Buyer, addresses[one.Buyer], one.Contact, null))], default);
        return [.. asked.Select(one => Missing(addresses.ContainsKey(one.Buyer), paid.Contains(one.Buyer)))];
    }

    private static IReadOnlyList<string> Missing(bool hasAddress, bool hasMethod) => (hasAddress, hasMethod) switch
    {
        (true, true) => [],
        (true, false) => [PaymentMethod],
        (false, true) => [Address],
        _ => [Address, PaymentMethod],
    };

    private static RememberedCheckout Of(Guid buyer, AccountAddress address, OrderContact contact, Guid? paymentMethodId) => new(
        buyer, address.AddressId, new PostalAddress(address.Name, address.Line1, address.Line2, address.City, address.PostalCode, address.Country), contact, paymentMethodId);

    // An account's token says both; there is no account without an e-mail address.
    private static OrderContact ContactOf(ClaimsPrincipal user)
    {
        var email = Buyer.Email(user) ?? throw new InvalidOperationException("The token of an account has no e-mail address.");
        return new OrderContact(email, Buyer.Name(user) ?? email);
    }

    private sealed record Newcomer(Guid Buyer, OrderContact Contact);
}
