namespace Marketplace.Gateway.Routes;

/// <summary>Who may come in. Services check the token again; the door only spares them the callers who cannot pass.</summary>
public enum Access
{
    /// <summary>Anybody. A token, if one comes along, is passed on.</summary>
    Open,

    /// <summary>Anybody, and the answer is the same for all: it may come from the cache, and no token is passed on.</summary>
    Shared,

    /// <summary>A valid token, a guest's included.</summary>
    Token,

    Seller,
    Operator,

    /// <summary>A sender who proves itself in the body: passed on byte by byte, whatever its type.</summary>
    Webhook,
}

public enum Rate
{
    /// <summary>Per subject for those who are signed in, else per address.</summary>
    Ordinary,

    /// <summary>Per address and strict: here passwords are guessed and accounts are made.</summary>
    Credentials,

    Webhook,

    /// <summary>Per address and generous: a page of the shop shows dozens of pictures, each asked for once in a browser's life.</summary>
    Pictures,

    /// <summary>Per address and then per subject as well: what takes a place or a unit of a flash sale. A farm of accounts behind one address is one client.</summary>
    FlashSale,

    /// <summary>Per address and generous: everybody who waits asks every few seconds, and the answer comes from memory.</summary>
    Polls,
}

/// <summary>One line of the list of what the outside may ask. Route values are ids, numbers or names of ours: nothing free-form gets into a path behind the door.</summary>
/// <param name="LargestBody">Where the ordinary limit does not fit.</param>
/// <param name="Types">Media types of a body that is not JSON: <c>text/csv</c>, <c>image/*</c>.</param>
/// <param name="IgnoresQuery">The answer does not depend on it: what links of campaigns append makes no other answer, and is not passed on.</param>
/// <param name="InsteadOf">Where a shopper finds something like it while the service is away, by what was asked.</param>
/// <param name="IsFile">Passed on as a stream with what files need: parts of them (ranges) and how long they may be kept. Nobody's token goes along.</param>
/// <param name="Storm">What comes by the ten thousand in one second: it has a number of calls at a time, and connections, of its own.</param>
public sealed record PublicRoute(
    string App, string Method, string Pattern, Access Access, Rate Rate = Rate.Ordinary, long? LargestBody = null, IReadOnlyList<string>? Types = null, bool IsFile = false,
    bool IgnoresQuery = false, Func<IQueryCollection, string>? InsteadOf = null, Storm? Storm = null);

/// <summary>Calls of a flash sale that are counted together while they are under way.</summary>
public enum Storm
{
    Joins,
    Claims,
}

/// <summary>Everything the outside may ask. What is not here is not found, whatever a service answers to.</summary>
public static class PublicRoutes
{
    // One request's part of a file; it crosses as a stream. Sidecars have a limit of their own (maxBodySize of the gateway in dapr.yaml).
    private const long LargestImport = 100L * 1024 * 1024;

    // A picture of 15 MB, and the form around it.
    private const long LargestPicture = (15 * 1024 * 1024) + (64 * 1024);

    // Read whole before a call counts as under way, so that a slow sender holds none of them up.
    private const long SmallBody = 4 * 1024;

    private const string Picture = "/api/v1/media/{imageId:regex(^[0-9a-f]{{64}}$)}/{file:regex(^(200|800|2000)\\.(webp|jpg)$)}";

    private static readonly string[] Csv = ["text/csv"];
    private static readonly string[] Pictures = ["image/*", "application/octet-stream", "multipart/form-data"];
    private static readonly string[] AppsWithDatabase = ["identity", "catalog", "inventory", "ordering", "payments", "fulfilment", "notifications", "flashsales"];

    public static IReadOnlyList<PublicRoute> All { get; } =
    [
        new("identity", "POST", "/api/v1/accounts", Access.Open, Rate.Credentials),
        new("identity", "POST", "/api/v1/sessions", Access.Open, Rate.Credentials),
        new("identity", "POST", "/api/v1/sessions/refresh", Access.Open, Rate.Credentials),
        new("identity", "DELETE", "/api/v1/sessions", Access.Token),
        new("identity", "POST", "/api/v1/guests", Access.Open, Rate.Credentials),
        new("identity", "GET", "/api/v1/me", Access.Token),
        new("identity", "GET", "/api/v1/me/addresses", Access.Token),
        new("identity", "POST", "/api/v1/me/addresses", Access.Token),
        new("identity", "PUT", "/api/v1/me/addresses/{addressId:guid}", Access.Token),
        new("identity", "DELETE", "/api/v1/me/addresses/{addressId:guid}", Access.Token),
        new("identity", "POST", "/api/v1/sellers", Access.Token),
        new("identity", "GET", "/api/v1/sellers/{sellerId:guid}", Access.Open),
        new("identity", "GET", "/api/v1/seller/profile", Access.Seller),
        new("identity", "PUT", "/api/v1/seller/profile", Access.Seller),
        new("identity", "GET", "/.well-known/openid-configuration", Access.Open),
        new("identity", "GET", "/.well-known/jwks.json", Access.Open),

        new("catalog", "GET", "/api/v1/products", Access.Shared),
        new("catalog", "GET", "/api/v1/products/{productId:guid}", Access.Shared, IgnoresQuery: true),
        new("catalog", "GET", "/api/v1/categories", Access.Shared, IgnoresQuery: true),
        new("catalog", "POST", "/api/v1/products", Access.Seller),
        new("catalog", "POST", "/api/v1/products/bulk", Access.Seller, LargestBody: 3 * 1024 * 1024),
        new("catalog", "PUT", "/api/v1/products/{productId:guid}", Access.Seller),
        new("catalog", "DELETE", "/api/v1/products/{productId:guid}", Access.Seller),
        new("catalog", "PUT", "/api/v1/products/{productId:guid}/publication", Access.Seller),
        new("catalog", "DELETE", "/api/v1/products/{productId:guid}/publication", Access.Seller),
        new("catalog", "PUT", "/api/v1/products/{productId:guid}/images", Access.Seller),
        new("catalog", "DELETE", "/api/v1/products/{productId:guid}/images/{imageId:regex(^[0-9a-f]{{64}}$)}", Access.Seller),
        new("catalog", "GET", "/api/v1/seller/products", Access.Seller),
        new("catalog", "GET", "/api/v1/seller/products/{productId:guid}", Access.Seller),
        new("catalog", "GET", "/api/v1/seller/products.csv", Access.Seller),
        new("catalog", "GET", "/api/v1/seller/imports", Access.Seller),
        new("catalog", "POST", "/api/v1/seller/imports", Access.Seller, LargestBody: LargestImport, Types: Csv),
        new("catalog", "GET", "/api/v1/seller/imports/{importId:guid}", Access.Seller),
        new("catalog", "HEAD", "/api/v1/seller/imports/{importId:guid}", Access.Seller),
        new("catalog", "PATCH", "/api/v1/seller/imports/{importId:guid}", Access.Seller, LargestBody: LargestImport, Types: Csv),
        new("catalog", "GET", "/api/v1/seller/imports/{importId:guid}/errors", Access.Seller),
        new("catalog", "GET", "/api/v1/products/{productId:guid}/prices", Access.Shared),
        new("catalog", "GET", "/api/v1/sellers/{sellerId:guid}/listings", Access.Shared),

        new("media", "POST", "/api/v1/products/{productId:guid}/images", Access.Seller, LargestBody: LargestPicture, Types: Pictures),
        new("media", "GET", Picture, Access.Open, Rate.Pictures, IsFile: true),
        new("media", "HEAD", Picture, Access.Open, Rate.Pictures, IsFile: true),

        new("search", "GET", "/api/v1/search", Access.Shared, InsteadOf: Shelf),
        new("search", "GET", "/api/v1/suggestions", Access.Shared),
        new("search", "POST", "/api/v1/operations/search/rebuild", Access.Operator),
        new("search", "GET", "/api/v1/operations/search/rebuild", Access.Operator),

        new("cart", "GET", "/api/v1/cart", Access.Token),
        new("cart", "PUT", "/api/v1/cart", Access.Token),
        new("cart", "DELETE", "/api/v1/cart", Access.Token),
        new("cart", "POST", "/api/v1/cart/lines", Access.Token),
        new("cart", "PUT", "/api/v1/cart/lines/{productId:guid}", Access.Token),
        new("cart", "DELETE", "/api/v1/cart/lines/{productId:guid}", Access.Token),
        new("cart", "POST", "/api/v1/cart/merge", Access.Token),

        new("inventory", "GET", "/api/v1/stock/{productId:guid}", Access.Open),
        new("inventory", "PUT", "/api/v1/stock", Access.Seller),
        new("inventory", "GET", "/api/v1/seller/stock", Access.Seller),

        new("ordering", "POST", "/api/v1/checkout", Access.Token),
        new("ordering", "GET", "/api/v1/orders", Access.Token),
        new("ordering", "GET", "/api/v1/orders/{orderId:guid}", Access.Token),
        new("ordering", "POST", "/api/v1/orders/{orderId:guid}/payment", Access.Token),
        new("ordering", "POST", "/api/v1/orders/{orderId:guid}/cancellation", Access.Token),
        new("ordering", "GET", "/api/v1/orders/{orderId:guid}/history", Access.Token),
        new("ordering", "GET", "/api/v1/operations/orders", Access.Operator),
        new("ordering", "POST", "/api/v1/operations/orders/{orderId:guid}/retry", Access.Operator),
        new("ordering", "POST", "/api/v1/operations/orders/{orderId:guid}/abort", Access.Operator),

        new("payments", "GET", "/api/v1/payment-methods", Access.Token),
        new("payments", "POST", "/api/v1/payment-methods", Access.Token),
        new("payments", "DELETE", "/api/v1/payment-methods/{methodId:guid}", Access.Token),
        new("payments", "GET", "/api/v1/payments", Access.Token),
        new("payments", "POST", "/api/v1/operations/payments/{orderId:guid}/refund", Access.Operator),
        new("payments", "POST", "/webhooks/stripe", Access.Webhook, Rate.Webhook),

        new("fulfilment", "GET", "/api/v1/shipments", Access.Token),
        new("fulfilment", "GET", "/api/v1/seller/shipments", Access.Seller),
        new("fulfilment", "POST", "/api/v1/seller/shipments/{shipmentId:guid}/advance", Access.Seller),
        new("fulfilment", "POST", "/api/v1/operations/shipments/{shipmentId:guid}/advance", Access.Operator),

        new("notifications", "GET", "/api/v1/notifications", Access.Token),

        // A standing in the queue is not among them: FlashSales/QueueEndpoints.cs answers it here.
        new("flashsales", "GET", "/api/v1/flash-sales", Access.Shared),
        new("flashsales", "GET", "/api/v1/flash-sales/{saleId:guid}", Access.Shared, IgnoresQuery: true),
        new("flashsales", "GET", "/api/v1/flash-sales/express-checkout", Access.Token, Storm: Storm.Joins),
        new("flashsales", "PUT", "/api/v1/flash-sales/express-checkout", Access.Token, Storm: Storm.Joins, LargestBody: SmallBody),
        new("flashsales", "POST", "/api/v1/flash-sales/{saleId:guid}/queue", Access.Token, Rate.FlashSale, Storm: Storm.Joins, LargestBody: SmallBody),
        new("flashsales", "DELETE", "/api/v1/flash-sales/{saleId:guid}/queue", Access.Token, Rate.FlashSale, Storm: Storm.Joins, LargestBody: SmallBody),
        new("flashsales", "POST", "/api/v1/flash-sales/{saleId:guid}/claims", Access.Token, Rate.FlashSale, Storm: Storm.Claims, LargestBody: SmallBody),
        new("flashsales", "GET", "/api/v1/flash-sales/{saleId:guid}/claims/mine", Access.Token, Storm: Storm.Claims),
        new("flashsales", "DELETE", "/api/v1/flash-sales/{saleId:guid}/claims/mine", Access.Token, Rate.FlashSale, Storm: Storm.Claims, LargestBody: SmallBody),
        .. SalesUnder("/api/v1/seller/flash-sales", Access.Seller),
        .. SalesUnder("/api/v1/operations/flash-sales", Access.Operator),
        new("flashsales", "GET", "/api/v1/operations/flash-sales/{saleId:guid}/progress", Access.Operator),
        new("flashsales", "GET", "/api/v1/operations/flash-sales/{saleId:guid}/audit", Access.Operator),

        .. AppsWithDatabase.SelectMany(app => new PublicRoute[]
        {
            new(app, "GET", $"/api/v1/operations/{app}/dead-letters", Access.Operator),
            new(app, "POST", $"/api/v1/operations/{app}/dead-letters/{{id:guid}}/replay", Access.Operator),
            new(app, "DELETE", $"/api/v1/operations/{app}/dead-letters/{{id:guid}}", Access.Operator),
            new(app, "GET", $"/api/v1/operations/{app}/outbox", Access.Operator),
            new(app, "POST", $"/api/v1/operations/{app}/outbox/{{position:long}}/retry", Access.Operator),
            new(app, "DELETE", $"/api/v1/operations/{app}/outbox/{{position:long}}", Access.Operator),
        }),
    ];

    private static PublicRoute[] SalesUnder(string path, Access access) =>
    [
        new("flashsales", "GET", path, access),
        new("flashsales", "POST", path, access),
        new("flashsales", "GET", $"{path}/{{saleId:guid}}", access),
        new("flashsales", "PUT", $"{path}/{{saleId:guid}}", access),
        new("flashsales", "POST", $"{path}/{{saleId:guid}}/end", access),
    ];

    /// <summary>The catalogue shows a category without an index.</summary>
    private static string Shelf(IQueryCollection asked) =>
        asked["category"].ToString() is { Length: > 0 and <= 100 } category ? $"/api/v1/products?category={Uri.EscapeDataString(category)}" : "/api/v1/products";

    public static IEnumerable<string> Apps => All.Select(route => route.App).Distinct();
}
