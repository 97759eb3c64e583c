using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Security.Claims;
using Marketplace.Catalog.Categories;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;

namespace Marketplace.Catalog.Listings;

public sealed record ListingRequest(
    [property: Required, StringLength(200)] string Title,
    [property: Required, StringLength(50)] string Category,
    Money Price,
    [property: StringLength(8000)] string Description = "",
    [property: StringLength(100)] string Brand = "",
    [property: StringLength(2000)] string? ImageUrl = null,
    Guid? ProductId = null);

public sealed record BulkRequest([property: Required, Length(1, 500)] IReadOnlyList<ListingRequest> Products);

public sealed record BulkReply(IReadOnlyList<ListedProduct> Products);

public sealed record ListedProduct(Guid ProductId, long Revision);

public static class ListingEndpoints
{
    private const int LargestPage = 100;
    private const long LargestBulkBody = 3 * 1024 * 1024;

    // A price seen here is checked again at checkout; a second is enough to take a rush off this service.
    private const string SharedBriefly = "public, max-age=1";

    public static void MapListings(this IEndpointRouteBuilder routes)
    {
        var products = routes.MapGroup("/api/v1/products").WithTags("products");
        products.MapGet("/", ListAsync);

        var own = products.MapGroup("").RequireAuthorization(Policies.Seller);
        own.MapPost("/", CreateAsync);
        own.MapPost("/bulk", CreateManyAsync).WithMetadata(new RequestSizeLimitAttribute(LargestBulkBody));
        own.MapPut("/{productId:guid}", ChangeAsync);
        own.MapDelete("/{productId:guid}", DeleteAsync);

        routes.MapGet("/api/v1/seller/products", ListOwnAsync).RequireAuthorization(Policies.Seller).WithTags("products");
    }

    private static async Task<Results<Ok<Page>, ProblemHttpResult>> ListAsync(
        ListingStore listings, HttpResponse response, string? category, Guid? seller, string? cursor, int? limit, CancellationToken ct)
    {
        if (!TryReadCursor(cursor, out var after))
            return Problems.Validation(("cursor", "This is not a cursor of this list."));

        response.Headers.CacheControl = SharedBriefly;
        return TypedResults.Ok(await listings.PageAsync(string.IsNullOrEmpty(category) ? null : category, seller, after, Math.Clamp(limit ?? 20, 1, LargestPage), ct));
    }

    private static async Task<Results<Ok<Page>, ProblemHttpResult>> ListOwnAsync(
        ListingStore listings, ClaimsPrincipal user, HttpResponse response, string? cursor, int? limit, CancellationToken ct)
    {
        if (!TryReadCursor(cursor, out var after))
            return Problems.Validation(("cursor", "This is not a cursor of this list."));

        response.Headers.CacheControl = "private, no-store";
        return TypedResults.Ok(await listings.PageAsync(null, SellerId.Of(user).Value, after, Math.Clamp(limit ?? 20, 1, LargestPage), ct));
    }

    private static async Task<Results<Created<Listing>, ProblemHttpResult>> CreateAsync(
        ListingRequest request, ClaimsPrincipal user, ListingStore listings, CategoryStore categories, SellerNames names, HttpResponse response, CancellationToken ct)
    {
        var (text, errors) = await CheckAsync(request, categories, "", ct);
        if (text is null)
            return Problems.Validation([.. errors]);

        var created = await listings.CreateAsync(SellerId.Of(user), await names.OfAsync(user, ct), [(request.ProductId, text)], ct);
        if (created.Taken.Count > 0)
            return Taken(created.Taken);

        var listing = created.Listings[0];
        response.Headers.ETag = listing.ETag;
        return TypedResults.Created($"/api/v1/products/{listing.ProductId}", listing);
    }

    private static async Task<Results<Ok<BulkReply>, ProblemHttpResult>> CreateManyAsync(
        BulkRequest request, ClaimsPrincipal user, ListingStore listings, CategoryStore categories, SellerNames names, CancellationToken ct)
    {
        var texts = new List<(Guid?, ListingText)>(request.Products.Count);
        var errors = new List<(string, string)>();
        var ids = new HashSet<Guid>();
        for (var i = 0; i < request.Products.Count; i++)
        {
            if (request.Products[i] is not { } product)          // a null in a list is not caught by the serializer
            {
                errors.Add(($"products[{i}]", "A product is missing."));
                continue;
            }

            if (product.ProductId is { } id && !ids.Add(id))
                errors.Add(($"products[{i}].productId", "The same id comes twice."));
            var (text, wrong) = await CheckAsync(product, categories, $"products[{i}].", ct);
            errors.AddRange(wrong);
            if (text is not null)
                texts.Add((product.ProductId, text));
        }

        if (errors.Count > 0)
            return Problems.Validation([.. errors]);

        var created = await listings.CreateAsync(SellerId.Of(user), await names.OfAsync(user, ct), texts, ct);
        return created.Taken.Count > 0
            ? Taken(created.Taken)
            : TypedResults.Ok(new BulkReply([.. created.Listings.Select(listing => new ListedProduct(listing.ProductId, listing.Revision))]));
    }

    private static async Task<Results<Ok<Listing>, NotFound, ProblemHttpResult>> ChangeAsync(
        Guid productId, ListingRequest request, ClaimsPrincipal user, ListingStore listings, CategoryStore categories, SellerNames names, HttpContext http, CancellationToken ct)
    {
        if (IfMatch(http.Request) is not { } match)
            return Problems.Of(StatusCodes.Status428PreconditionRequired, "precondition-required", "Say which version you are changing (If-Match).");

        var (text, errors) = await CheckAsync(request, categories, "", ct);
        if (text is null)
            return Problems.Validation([.. errors]);

        var changed = await listings.ChangeAsync(SellerId.Of(user), productId, match.Revision, text, await names.OfAsync(user, ct), ct);
        switch (changed.Verdict)
        {
            case Change.NotYours:
                return TypedResults.NotFound();
            case Change.Stale:
                return Stale();
            default:
                http.Response.Headers.ETag = changed.Listing!.ETag;
                return TypedResults.Ok(changed.Listing);
        }
    }

    private static async Task<Results<NoContent, NotFound, ProblemHttpResult>> DeleteAsync(
        Guid productId, ClaimsPrincipal user, ListingStore listings, HttpContext http, CancellationToken ct) =>
        (await listings.DeleteAsync(SellerId.Of(user), productId, IfMatch(http.Request)?.Revision, ct)).Verdict switch
        {
            Change.Done => TypedResults.NoContent(),
            Change.NotYours => TypedResults.NotFound(),
            _ => Stale(),
        };

    private static async Task<(ListingText? Text, IReadOnlyList<(string Field, string Message)> Errors)> CheckAsync(
        ListingRequest request, CategoryStore categories, string prefix, CancellationToken ct) =>
        ListingText.Of(
            request.Title, request.Description, request.Brand, request.Category, await categories.ExistsAsync(request.Category, ct), request.Price, request.ImageUrl, prefix);

    private static bool TryReadCursor(string? cursor, out (DateTimeOffset, Guid)? after)
    {
        after = null;
        if (string.IsNullOrEmpty(cursor))
            return true;
        if (!Cursor.TryDecode(cursor, out var parts) || parts is not [var listedAt, var productId]
            || !DateTimeOffset.TryParseExact(listedAt, "O", CultureInfo.InvariantCulture, DateTimeStyles.RoundtripKind, out var at) || !Guid.TryParse(productId, out var id))
            return false;

        after = (at, id);
        return true;
    }

    /// <summary>Null when the header is absent; <c>*</c> is any revision; an ETag that was never ours matches none.</summary>
    private static Precondition? IfMatch(HttpRequest request)
    {
        var tags = request.GetTypedHeaders().IfMatch;
        if (tags.Count == 0)
            return request.Headers.IfMatch.Count == 0 ? null : new Precondition(0);
        if (tags[0].Tag.Value == "*")
            return new Precondition(null);
        return new Precondition(tags is [{ IsWeak: false } one] && long.TryParse(one.Tag.Value.AsSpan().Trim('"'), CultureInfo.InvariantCulture, out var revision) ? revision : 0);
    }

    private static ProblemHttpResult Stale() => Problems.Of(
        StatusCodes.Status412PreconditionFailed, "precondition-failed", "The listing was changed since you read it.", "Read it again and repeat your change on top.");

    private static ProblemHttpResult Taken(IReadOnlyList<Guid> ids) => Problems.Of(
        StatusCodes.Status409Conflict, "product-id-taken", "Some of these ids already stand for something else.",
        extensions: new Dictionary<string, object?> { ["productIds"] = ids });

    private readonly record struct Precondition(long? Revision);
}
