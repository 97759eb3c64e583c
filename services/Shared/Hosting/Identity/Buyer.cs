using System.Security.Claims;

namespace Marketplace.Hosting;

/// <summary>Who shops: an account or a guest. Both carry their id in <c>sub</c>.</summary>
public static class Buyer
{
    public static Guid Id(ClaimsPrincipal user) => Guid.TryParse(user.FindFirstValue("sub"), out var id)
        ? id
        : throw new InvalidOperationException("The route asked for a buyer's id without requiring a signed-in user.");

    public static bool IsGuest(ClaimsPrincipal user) => user.IsInRole(Roles.Guest);

    public static string? Email(ClaimsPrincipal user) => user.FindFirstValue("email");

    public static string? Name(ClaimsPrincipal user) => user.FindFirstValue("name");
}

/// <summary>The words in a token's <c>roles</c>.</summary>
public static class Roles
{
    public const string Buyer = "buyer";
    public const string Guest = "guest";
    public const string Seller = "seller";
    public const string Operator = "operator";
}

/// <summary>Names for <c>RequireAuthorization(…)</c>. Without a name any valid token will do.</summary>
public static class Policies
{
    /// <summary>Anyone who can fill a cart: an account or a guest.</summary>
    public const string Buyer = "buyer";

    /// <summary>A signed-in account; a guest is refused.</summary>
    public const string Account = "account";

    /// <summary>A token with a seller's id in it.</summary>
    public const string Seller = "seller";

    public const string Operator = "operator";
}
