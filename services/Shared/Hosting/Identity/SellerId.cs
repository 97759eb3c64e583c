using System.Security.Claims;

namespace Marketplace.Hosting;

/// <summary>
/// The seller who is signed in. Only a validated token makes one, so a query that takes a <see cref="SellerId"/> cannot be given
/// an id from a request body: mixing up tenants does not compile.
/// </summary>
public readonly record struct SellerId
{
    private SellerId(Guid value) => Value = value;

    public Guid Value { get; }

    public static SellerId Of(ClaimsPrincipal user) =>
        user.Identity is { IsAuthenticated: true } && Guid.TryParse(user.FindFirstValue("seller_id"), out var id)
            ? new SellerId(id)
            : throw new InvalidOperationException("The route asked for a seller without requiring Policies.Seller.");

    public override string ToString() => Value.ToString();
}
