using System.ComponentModel.DataAnnotations;
using System.Diagnostics;
using System.Globalization;
using System.Security.Claims;
using System.Text.Json;
using Marketplace.Catalog.Attributes;
using Marketplace.Catalog.Categories;
using Marketplace.Catalog.Variants;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;

namespace Marketplace.Catalog.Listings;

/// <param name="Price">May be left out when every variant has its own.</param>
/// <param name="Status">draft or published; a new listing is published, a changed one stays what it was.</param>
/// <param name="Attributes">By name, as the category defines them: <c>{"screen-size": 6.1, "waterproof": true}</c>.</param>
/// <param name="OptionNames">What the variants differ in, in the order to show them; else as in the first variant.</param>
public sealed record ListingRequest(
    [property: Required, StringLength(ListingText.LongestTitle)] string Title,
    [property: Required, StringLength(50)] string Category,
    Money Price,
    [property: StringLength(ListingText.LongestDescription)] string Description = "",
    [property: StringLength(ListingText.LongestBrand)] string Brand = "",
    [property: StringLength(ListingText.LongestAddress)] string? ImageUrl = null,
    Guid? ProductId = null,
    [property: StringLength(ListingText.LongestSku)] string? Sku = null,
    string? Status = null,
    IReadOnlyDictionary<string, JsonElement>? Attributes = null,
    IReadOnlyList<string>? OptionNames = null,
    IReadOnlyList<VariantRequest?>? Variants = null);

public sealed record BulkRequest([property: Required, Length(1, 500)] IReadOnlyList<ListingRequest> Products);

public sealed record BulkReply(IReadOnlyList<ListedProduct> Products);

public sealed record ListedProduct(Guid ProductId, long Revision);

public static class ListingEndpoints
{
    private static readonly string[] SkuTaken = ["Another of your listings has this SKU."];
    private const int LargestPage = 100;
    private const long LargestBulkBody = 3 * 1024 * 1024;

    // A price seen here is checked again at checkout; a second is enough to take a rush off this service.
    private const string SharedBriefly = "public, max-age=1";
    private const string Own = "private, no-store";

    public static void MapListings(this IEndpointRouteBuilder routes)
    {
        var products = routes.MapGroup("/api/v1/products").WithTags("products");
        products.MapGet("/", ListAsync);

        var own = products.MapGroup("").RequireAuthorization(Policies.Seller);
        own.MapPost("/", CreateAsync);
        own.MapPost("/bulk", CreateManyAsync).WithMetadata(new RequestSizeLimitAttribute(LargestBulkBody));
        own.MapPut("/{productId:guid}", ChangeAsync);
        own.MapDelete("/{productId:guid}", DeleteAsync);
        own.MapPut("/{productId:guid}/publication", PublishAsync);
        own.MapDelete("/{productId:guid}/publication", UnpublishAsync);

        var shelf = routes.MapGroup("/api/v1/seller/products").RequireAuthorization(Policies.Seller).WithTags("products");
        shelf.MapGet("/", ListOwnAsync);
        shelf.MapGet("/{productId:guid}", GetOwnAsync);
    }

    private static async Task<Results<Ok<Page>, ProblemHttpResult>> ListAsync(
        ListingStore listings, HttpResponse response, string? category, Guid? seller, string? cursor, int? limit, CancellationToken ct)
    {
        if (!TryReadCursor(cursor, out var after))
            return Problems.Validation(("cursor", "This is not a cursor of this list."));
        if (PageSize.Wrong(limit, LargestPage) is { } wrong)
            return wrong;

        response.Headers.CacheControl = SharedBriefly;
        return TypedResults.Ok(await listings.PageAsync(string.IsNullOrEmpty(category) ? null : category, seller, after, limit ?? 20, ct));
    }

    private static async Task<Results<Ok<Page>, ProblemHttpResult>> ListOwnAsync(
        ListingStore listings, ClaimsPrincipal user, HttpResponse response, string? status, string? cursor, int? limit, CancellationToken ct)
    {
        if (!TryReadCursor(cursor, out var after))
            return Problems.Validation(("cursor", "This is not a cursor of this list."));
        if (status is not (null or "" or ListingStatus.Draft or ListingStatus.Published))
            return Problems.Validation(("status", "Either draft or published."));
        if (PageSize.Wrong(limit, LargestPage) is { } wrong)
            return wrong;

        response.Headers.CacheControl = Own;
        return TypedResults.Ok(await listings.PageOfAsync(SellerId.Of(user), string.IsNullOrEmpty(status) ? null : status, after, limit ?? 20, ct));
    }

    private static async Task<Results<Ok<Listing>, NotFound, StatusCodeHttpResult>> GetOwnAsync(
        Guid productId, ClaimsPrincipal user, ListingReader listings, Degradation degradation, HttpContext http, CancellationToken ct)
    {
        if (await listings.FindOwnAsync(SellerId.Of(user), productId, ct) is not { } shown)
            return TypedResults.NotFound();

        http.Response.Headers.CacheControl = Own;
        if (!shown.Complete)
        {
            // No tag: what lacks its attributes must not be taken for this revision, or be the base of a change.
            degradation.Tell(http, AttributeDocuments.StoreName);
            return TypedResults.Ok(shown.Listing);
        }

        http.Response.Headers.ETag = shown.Listing.ETag;
        return http.Request.GetTypedHeaders().IfNoneMatch.Any(tag => tag.Tag.Value is "*" || tag.Tag.Value == shown.Listing.ETag)
            ? TypedResults.StatusCode(StatusCodes.Status304NotModified)
            : TypedResults.Ok(shown.Listing);
    }

    private static async Task<Results<Created<Listing>, ProblemHttpResult>> CreateAsync(
        ListingRequest request, ClaimsPrincipal user, ListingStore listings, CategoryStore categories, SellerNames names, HttpResponse response, CancellationToken ct)
    {
        var (text, errors) = ListingText.Of(request, await categories.TreeWithAsync(request.Category, ct), isNew: true);
        if (text is null)
            return Problems.Validation([.. errors]);

        var created = await listings.CreateAsync(SellerId.Of(user), await names.OfAsync(user, ct), [(request.ProductId, text)], ct);
        if (created.Refusal is { } refusal)
            return Refused(refusal, [request], bulk: false);

        var listing = created.Listings[0];
        response.Headers.ETag = listing.ETag;
        return TypedResults.Created(listing.IsPublished ? $"/api/v1/products/{listing.ProductId}" : $"/api/v1/seller/products/{listing.ProductId}", listing);
    }

    private static async Task<Results<Ok<BulkReply>, ProblemHttpResult>> CreateManyAsync(
        BulkRequest request, ClaimsPrincipal user, ListingStore listings, CategoryStore categories, SellerNames names, CancellationToken ct)
    {
        var texts = new List<(Guid?, ListingText)>(request.Products.Count);
        var errors = new List<(string, string)>();
        var ids = new HashSet<Guid>();
        var skus = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < request.Products.Count; i++)
        {
            if (request.Products[i] is not { } product)          // a null in a list is not caught by the serializer
            {
                errors.Add(($"products[{i}]", "A product is missing."));
                continue;
            }

            if (product.ProductId is { } id && !ids.Add(id))
                errors.Add(($"products[{i}].productId", "The same id comes twice."));
            var (text, wrong) = ListingText.Of(product, await categories.TreeWithAsync(product.Category, ct), $"products[{i}].", isNew: true);
            errors.AddRange(wrong);
            if (text is null)
                continue;

            if (text.Variants.Select(variant => variant.Sku).Append(text.Sku).Any(sku => sku is not null && !skus.Add(sku)))
                errors.Add(($"products[{i}].sku", "A SKU comes twice."));
            texts.Add((product.ProductId, text));
        }

        if (errors.Count > 0)
            return Problems.Validation([.. errors]);

        var created = await listings.CreateAsync(SellerId.Of(user), await names.OfAsync(user, ct), texts, ct);
        return created.Refusal is { } refusal
            ? Refused(refusal, request.Products, bulk: true)
            : TypedResults.Ok(new BulkReply([.. created.Listings.Select(listing => new ListedProduct(listing.ProductId, listing.Revision))]));
    }

    private static async Task<Results<Ok<Listing>, NotFound, ProblemHttpResult>> ChangeAsync(
        Guid productId, ListingRequest request, ClaimsPrincipal user, ListingStore listings, CategoryStore categories, SellerNames names, HttpContext http, CancellationToken ct)
    {
        if (IfMatch(http.Request) is not { } match)
            return Problems.Of(StatusCodes.Status428PreconditionRequired, "precondition-required", "Say which version you are changing (If-Match).");

        var (text, errors) = ListingText.Of(request, await categories.TreeWithAsync(request.Category, ct));
        if (text is null)
            return Problems.Validation([.. errors]);

        return Answered(await listings.ChangeAsync(SellerId.Of(user), productId, match.Revision, text, await names.OfAsync(user, ct), ct), http, request);
    }

    private static async Task<Results<NoContent, NotFound, ProblemHttpResult>> DeleteAsync(
        Guid productId, ClaimsPrincipal user, ListingStore listings, HttpContext http, CancellationToken ct) =>
        (await listings.DeleteAsync(SellerId.Of(user), productId, IfMatch(http.Request)?.Revision, ct)).Verdict switch
        {
            Change.Done => TypedResults.NoContent(),
            Change.NotYours => TypedResults.NotFound(),
            _ => Stale(),
        };

    private static async Task<Results<Ok<Listing>, NotFound, ProblemHttpResult>> PublishAsync(
        Guid productId, ClaimsPrincipal user, ListingStore listings, HttpContext http, CancellationToken ct) =>
        Answered(await listings.PublishAsync(SellerId.Of(user), productId, IfMatch(http.Request)?.Revision, ct), http);

    private static async Task<Results<Ok<Listing>, NotFound, ProblemHttpResult>> UnpublishAsync(
        Guid productId, ClaimsPrincipal user, ListingStore listings, HttpContext http, CancellationToken ct) =>
        Answered(await listings.UnpublishAsync(SellerId.Of(user), productId, IfMatch(http.Request)?.Revision, ct), http);

    /// <summary>What a seller's change came to.</summary>
    internal static Results<Ok<Listing>, NotFound, ProblemHttpResult> Answered(Changed changed, HttpContext http, ListingRequest? request = null)
    {
        switch (changed.Verdict)
        {
            case Change.NotYours:
                return TypedResults.NotFound();
            case Change.Stale:
                return Stale();
            case Change.Refused:
                return Refused(changed.Refusal!, request is null ? [] : [request], bulk: false);
            default:
                http.Response.Headers.ETag = changed.Listing!.ETag;
                http.Response.Headers.CacheControl = Own;
                return TypedResults.Ok(changed.Listing);
        }
    }

    internal static bool TryReadCursor(string? cursor, out (DateTimeOffset, Guid)? after)
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

    /// <summary>Null when the header is absent; <c>*</c> is any revision; an ETag that was never ours matches none. A rating moves no revision.</summary>
    internal static Precondition? IfMatch(HttpRequest request)
    {
        var tags = request.GetTypedHeaders().IfMatch;
        if (tags.Count == 0)
            return request.Headers.IfMatch.Count == 0 ? null : new Precondition(0);
        if (tags[0].Tag.Value == "*")
            return new Precondition(null);
        if (tags is not [{ IsWeak: false, Tag.Value: { } tag }])
            return new Precondition(0);

        var plain = tag.AsSpan().Trim('"');
        var dot = plain.IndexOf('.');
        return new Precondition(long.TryParse(dot < 0 ? plain : plain[..dot], NumberStyles.None, CultureInfo.InvariantCulture, out var revision) ? revision : 0);
    }

    private static ProblemHttpResult Stale() => Problems.Of(
        StatusCodes.Status412PreconditionFailed, "precondition-failed", "The listing was changed since you read it.", "Read it again and repeat your change on top.");

    private static ProblemHttpResult Refused(Refusal refusal, IReadOnlyList<ListingRequest> requests, bool bulk)
    {
        switch (refusal)
        {
            case Refusal.IdsTaken taken:
                return Problems.Of(
                    StatusCodes.Status409Conflict, "product-id-taken", "Some of these ids already stand for something else.",
                    extensions: new Dictionary<string, object?> { ["productIds"] = taken.ProductIds });
            case Refusal.Incomplete incomplete:
                return Problems.Validation([.. incomplete.Missing.Select(name => ($"attributes.{name}", ListingText.NeededToPublish))]);
            case Refusal.OtherPictures:
                return Problems.Validation(("imageIds", "All pictures of the listing, each once."));
            case Refusal.UnknownVariants unknown:
                return Problems.Validation([.. Fields(unknown.Skus, "variantId").Select(field => (field, "This listing has no such variant."))]);
            case Refusal.SkusTaken taken:
                return Problems.Of(
                    StatusCodes.Status409Conflict, "sku-taken", "Another of your listings has this SKU.",
                    extensions: new Dictionary<string, object?>
                    {
                        ["skus"] = taken.Skus,
                        ["errors"] = Fields(taken.Skus, "sku").ToDictionary(field => field, _ => SkuTaken, StringComparer.Ordinal),
                    });
            default:
                throw new UnreachableException($"{refusal}");
        }

        IEnumerable<string> Fields(IReadOnlyList<string> skus, string field) => requests.SelectMany((request, i) =>
        {
            var prefix = bulk ? $"products[{i}]." : "";
            var own = request.Sku is { } sku && skus.Contains(sku.Trim()) ? [$"{prefix}sku"] : Enumerable.Empty<string>();
            return own.Concat((request.Variants ?? []).Select((variant, at) => (variant, at))
                .Where(each => each.variant is { } variant && skus.Contains(variant.Sku.Trim()))
                .Select(each => $"{prefix}variants[{each.at}].{field}"));
        });
    }

    internal readonly record struct Precondition(long? Revision);
}
