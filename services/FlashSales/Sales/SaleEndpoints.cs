using System.Diagnostics;
using System.Globalization;
using System.Security.Claims;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.FlashSales.Sales;

public static class SaleEndpoints
{
    private const int LargestPage = 100;

    // Phase and what remains move by the second; that long one answer serves everybody.
    private const string SharedBriefly = "public, max-age=1";
    private const string Own = "private, no-store";

    private static readonly string[] Statuses = [SaleStatus.Scheduled, SaleStatus.Cancelled, SaleStatus.Ended];

    public static void MapSales(this IEndpointRouteBuilder routes)
    {
        var shoppers = routes.MapGroup("/api/v1/flash-sales").WithTags("flash-sales");
        shoppers.MapGet("/", UpcomingAsync).WithSummary("Sales that run or will, the next to start first.");
        shoppers.MapGet("/{saleId:guid}", ShowAsync).WithSummary("One sale: its countdown, its phase and what remains.");

        var seller = routes.MapGroup("/api/v1/seller/flash-sales").RequireAuthorization(Policies.Seller).WithTags("flash-sales");
        seller.MapPost("/", ScheduleAsSellerAsync).Produces<ManagedSale>(StatusCodes.Status201Created).WithSummary("Schedule a sale: its units leave ordinary stock.");
        seller.MapGet("/", ListAsSellerAsync).WithSummary("My sales, the newest first.");
        seller.MapGet("/{saleId:guid}", ReadAsSellerAsync).WithSummary("One of my sales, with its ETag.");
        seller.MapPut("/{saleId:guid}", ChangeAsSellerAsync).WithSummary("Other terms, before the start (If-Match).");
        seller.MapPost("/{saleId:guid}/end", EndAsSellerAsync).WithSummary("Call it off before the start, end it afterwards.");

        var operations = routes.MapGroup("/api/v1/operations/flash-sales").RequireAuthorization(Policies.Operator).WithTags("flash-sales");
        operations.MapPost("/", ScheduleAsOperatorAsync).Produces<ManagedSale>(StatusCodes.Status201Created).WithSummary("Schedule a sale for the seller of the product.");
        operations.MapGet("/", ListAsOperatorAsync).WithSummary("Everybody's sales, the newest first.");
        operations.MapGet("/{saleId:guid}", ReadAsOperatorAsync).WithSummary("One sale, with its ETag.");
        operations.MapPut("/{saleId:guid}", ChangeAsOperatorAsync).WithSummary("Other terms, before the start (If-Match).");
        operations.MapPost("/{saleId:guid}/end", EndAsOperatorAsync).WithSummary("Call it off before the start, end it afterwards.");
        routes.MapOversight();
    }

    private static async Task<Results<Ok<ShopperSales>, ProblemHttpResult>> UpcomingAsync(
        SaleStore sales, TimeProvider time, HttpResponse response, Guid? productId, Guid? seller, string? cursor, int? limit, CancellationToken ct)
    {
        (DateTimeOffset, Guid)? after = null;
        if (!string.IsNullOrEmpty(cursor))
        {
            if (!Cursor.TryDecode(cursor, out var parts) || parts is not [var startsAt, var saleId]
                || !DateTimeOffset.TryParseExact(startsAt, "O", CultureInfo.InvariantCulture, DateTimeStyles.RoundtripKind, out var at) || !Guid.TryParse(saleId, out var id))
                return Problems.Validation(("cursor", "This is not a cursor of this list."));
            after = (at.ToUniversalTime(), id);
        }

        if (PageSize.Wrong(limit, LargestPage) is { } wrong)
            return wrong;

        var page = limit ?? 20;
        var found = await sales.UpcomingAsync(productId, seller, after, page + 1, ct);
        var now = time.GetUtcNow();
        var shown = found.Take(page).ToArray();
        response.Headers.CacheControl = SharedBriefly;
        return TypedResults.Ok(new ShopperSales(
            now, [.. shown.Select(each => ShopperSale.Of(each.Sale, each.Counts, now))],
            found.Count > page ? Cursor.Encode(shown[^1].Sale.StartsAt, shown[^1].Sale.SaleId) : null));
    }

    private static async Task<Results<Ok<ShopperSale>, NotFound>> ShowAsync(Guid saleId, SaleStore sales, TimeProvider time, HttpResponse response, CancellationToken ct)
    {
        if (await sales.AnnouncedAsync(saleId, ct) is not { } found)
            return TypedResults.NotFound();

        response.Headers.CacheControl = SharedBriefly;
        return TypedResults.Ok(ShopperSale.Of(found.Sale, found.Counts, time.GetUtcNow()));
    }

    private static Task<IResult> ScheduleAsSellerAsync(
        ScheduleRequest request, ClaimsPrincipal user, HttpContext http, Idempotency idempotency, Scheduling scheduling, SaleStore sales, TimeProvider time, CancellationToken ct) =>
        ScheduleAsync(request, SellerId.Of(user), "/api/v1/seller/flash-sales", user, http, idempotency, scheduling, sales, time, ct);

    private static Task<IResult> ScheduleAsOperatorAsync(
        ScheduleRequest request, ClaimsPrincipal user, HttpContext http, Idempotency idempotency, Scheduling scheduling, SaleStore sales, TimeProvider time, CancellationToken ct) =>
        ScheduleAsync(request, null, "/api/v1/operations/flash-sales", user, http, idempotency, scheduling, sales, time, ct);

    // A sale counts from the moment inventory has its units, not from the reply: a repeat after a crash in between finds it by its key.
    private static async Task<IResult> ScheduleAsync(
        ScheduleRequest request, SellerId? seller, string path, ClaimsPrincipal user, HttpContext http, Idempotency idempotency, Scheduling scheduling, SaleStore sales,
        TimeProvider time, CancellationToken ct)
    {
        await using var once = await idempotency.BeginAsync(http, request, ct);
        if (once.Answer is { } answer)
            return answer;
        IReadOnlyList<(string, string)> errors = [.. request.ProductId == Guid.Empty ? (IEnumerable<(string, string)>)[("productId", "Say which product.")] : [], .. request.Terms.Errors(time.GetUtcNow())];
        if (errors.Count > 0)
            return Problems.Validation([.. errors]);

        var askedKey = Scheduling.AskedKey($"{Buyer.Id(user)}\n{path}", http.Request.Headers[Idempotency.Header].ToString());
        var outcome = await scheduling.ScheduleAsync(request, seller, askedKey, ct);
        if (outcome.Refusal != SaleRefusal.None)
            return Refused(outcome);

        var sale = ManagedSale.Of((await sales.AsOperatorAsync(outcome.SaleId, ct))!, time.GetUtcNow());
        http.Response.Headers.ETag = sale.ETag;
        return await once.CommitAsync(StatusCodes.Status201Created, sale, $"{path}/{sale.SaleId}", ct);
    }

    private static Task<Results<Ok<ManagedSales>, ProblemHttpResult>> ListAsSellerAsync(
        ClaimsPrincipal user, SaleStore sales, TimeProvider time, HttpResponse response, string? status, string? cursor, int? limit, CancellationToken ct) =>
        ListAsync((before, page) => sales.OfSellerAsync(SellerId.Of(user), status, before, page, ct), status, cursor, limit, time, response);

    private static Task<Results<Ok<ManagedSales>, ProblemHttpResult>> ListAsOperatorAsync(
        SaleStore sales, TimeProvider time, HttpResponse response, Guid? seller, string? status, string? cursor, int? limit, CancellationToken ct) =>
        ListAsync((before, page) => sales.AsOperatorAsync(seller, status, before, page, ct), status, cursor, limit, time, response);

    private static async Task<Results<Ok<ManagedSales>, ProblemHttpResult>> ListAsync(
        Func<Guid?, int, Task<IReadOnlyList<CountedSale>>> list, string? status, string? cursor, int? limit, TimeProvider time, HttpResponse response)
    {
        Guid? before = null;
        if (!string.IsNullOrEmpty(cursor))
        {
            if (!Cursor.TryDecode(cursor, out var parts) || parts is not [var text] || !Guid.TryParse(text, out var id))
                return Problems.Validation(("cursor", "This is not a cursor of this list."));
            before = id;
        }

        if (status is not null && !Statuses.Contains(status))
            return Problems.Validation(("status", $"One of {string.Join(", ", Statuses)}."));
        if (PageSize.Wrong(limit, LargestPage) is { } wrong)
            return wrong;

        var page = limit ?? 20;
        var found = await list(before, page + 1);
        var now = time.GetUtcNow();
        var shown = found.Take(page).ToArray();
        response.Headers.CacheControl = Own;
        return TypedResults.Ok(new ManagedSales(
            now, [.. shown.Select(each => ManagedSale.Of(each, now))], found.Count > page ? Cursor.Encode(shown[^1].Sale.SaleId) : null));
    }

    private static async Task<Results<Ok<ManagedSale>, NotFound>> ReadAsSellerAsync(
        Guid saleId, ClaimsPrincipal user, SaleStore sales, TimeProvider time, HttpResponse response, CancellationToken ct) =>
        Shown(await sales.OfSellerAsync(SellerId.Of(user), saleId, ct), time, response);

    private static async Task<Results<Ok<ManagedSale>, NotFound>> ReadAsOperatorAsync(
        Guid saleId, SaleStore sales, TimeProvider time, HttpResponse response, CancellationToken ct) => Shown(await sales.AsOperatorAsync(saleId, ct), time, response);

    private static Results<Ok<ManagedSale>, NotFound> Shown(CountedSale? found, TimeProvider time, HttpResponse response)
    {
        if (found is null)
            return TypedResults.NotFound();

        var sale = ManagedSale.Of(found, time.GetUtcNow());
        response.Headers.ETag = sale.ETag;
        response.Headers.CacheControl = Own;
        return TypedResults.Ok(sale);
    }

    private static Task<Results<Ok<ManagedSale>, NotFound, ProblemHttpResult>> ChangeAsSellerAsync(
        Guid saleId, ChangeRequest request, ClaimsPrincipal user, HttpContext http, Scheduling scheduling, SaleStore sales, TimeProvider time, CancellationToken ct) =>
        ChangeAsync(saleId, request, SellerId.Of(user), http, scheduling, sales, time, ct);

    private static Task<Results<Ok<ManagedSale>, NotFound, ProblemHttpResult>> ChangeAsOperatorAsync(
        Guid saleId, ChangeRequest request, HttpContext http, Scheduling scheduling, SaleStore sales, TimeProvider time, CancellationToken ct) =>
        ChangeAsync(saleId, request, null, http, scheduling, sales, time, ct);

    private static async Task<Results<Ok<ManagedSale>, NotFound, ProblemHttpResult>> ChangeAsync(
        Guid saleId, ChangeRequest request, SellerId? seller, HttpContext http, Scheduling scheduling, SaleStore sales, TimeProvider time, CancellationToken ct)
    {
        if (http.Request.Headers.IfMatch.Count == 0)
            return Problems.Of(StatusCodes.Status428PreconditionRequired, "precondition-required", "Say which version you are changing (If-Match).");
        // Whose it is and whether it may be changed come before what is wrong with the change.
        if (await (seller is { } own ? sales.OfSellerAsync(own, saleId, ct) : sales.AsOperatorAsync(saleId, ct)) is not { } found)
            return TypedResults.NotFound();
        if (found.Sale.Status != SaleStatus.Scheduled)
            return Refused(new SaleOutcome(SaleRefusal.Over));
        if (found.Sale.HasStarted(time.GetUtcNow()))
            return Refused(new SaleOutcome(SaleRefusal.Started));

        var errors = request.Terms.Errors(time.GetUtcNow()).ToList();
        if (request.ProductId is { } product && product != found.Sale.ProductId)
            errors.Add(("productId", "A sale keeps its product; end it and schedule another."));
        if (errors.Count > 0)
            return Problems.Validation([.. errors]);

        var outcome = await scheduling.ChangeAsync(saleId, seller, Revision(http.Request), request, ct);
        return outcome.Refusal switch
        {
            SaleRefusal.None => await ShownAsync(outcome.SaleId, sales, time, http.Response, ct),
            SaleRefusal.NotYours => TypedResults.NotFound(),
            _ => Refused(outcome),
        };
    }

    private static Task<Results<Ok<ManagedSale>, NotFound, ProblemHttpResult>> EndAsSellerAsync(
        Guid saleId, ClaimsPrincipal user, HttpResponse response, Scheduling scheduling, SaleStore sales, TimeProvider time, CancellationToken ct) =>
        EndAsync(saleId, SellerId.Of(user), response, scheduling, sales, time, ct);

    private static Task<Results<Ok<ManagedSale>, NotFound, ProblemHttpResult>> EndAsOperatorAsync(
        Guid saleId, HttpResponse response, Scheduling scheduling, SaleStore sales, TimeProvider time, CancellationToken ct) =>
        EndAsync(saleId, null, response, scheduling, sales, time, ct);

    private static async Task<Results<Ok<ManagedSale>, NotFound, ProblemHttpResult>> EndAsync(
        Guid saleId, SellerId? seller, HttpResponse response, Scheduling scheduling, SaleStore sales, TimeProvider time, CancellationToken ct) =>
        (await scheduling.EndAsync(saleId, seller, ct)).Refusal switch
        {
            SaleRefusal.None => await ShownAsync(saleId, sales, time, response, ct),
            SaleRefusal.NotYours => TypedResults.NotFound(),
            var other => throw new UnreachableException($"Ending a sale was refused: {other}."),
        };

    private static async Task<Ok<ManagedSale>> ShownAsync(Guid saleId, SaleStore sales, TimeProvider time, HttpResponse response, CancellationToken ct)
    {
        var sale = ManagedSale.Of((await sales.AsOperatorAsync(saleId, ct))!, time.GetUtcNow());
        response.Headers.ETag = sale.ETag;
        response.Headers.CacheControl = Own;
        return TypedResults.Ok(sale);
    }

    /// <summary>Null for <c>*</c>: whichever it is. A tag that was never ours is revision 0, which no sale has.</summary>
    private static long? Revision(HttpRequest request) => request.GetTypedHeaders().IfMatch switch
    {
        [{ Tag.Value: "*" }] => null,
        [{ IsWeak: false, Tag.Value: { } tag }] when long.TryParse(tag.AsSpan().Trim('"'), NumberStyles.None, CultureInfo.InvariantCulture, out var revision) => revision,
        _ => 0,
    };

    private static ProblemHttpResult Refused(SaleOutcome outcome) => outcome.Refusal switch
    {
        SaleRefusal.NoSuchProduct => Problems.Of(
            StatusCodes.Status404NotFound, "product-not-found", "There is no such product that could be sold.", "Where a listing has variants, name one of these."),
        SaleRefusal.OtherCurrency => Problems.Validation(("price.currency", $"The product is priced in {outcome.Currency}.")),
        SaleRefusal.NotEnoughStock => Problems.Of(
            StatusCodes.Status409Conflict, "not-enough-stock", "There are not that many units in stock.", $"The sale can have {outcome.Available} units.",
            new Dictionary<string, object?> { ["available"] = outcome.Available }),
        SaleRefusal.KeyReused => Problems.Of(
            StatusCodes.Status422UnprocessableEntity, "idempotency-key-reused", $"This {Idempotency.Header} was used for another request.",
            extensions: new Dictionary<string, object?> { ["field"] = Idempotency.Header }),
        SaleRefusal.NoAnswer => Problems.Of(
            StatusCodes.Status503ServiceUnavailable, "unavailable", "Whether there are enough units in stock cannot be found out right now.", "Nothing was changed; try again shortly."),
        SaleRefusal.Stale => Problems.Of(
            StatusCodes.Status412PreconditionFailed, "precondition-failed", "The sale was changed since you read it.", "Read it again and repeat your change on top."),
        SaleRefusal.Started => Problems.Of(
            StatusCodes.Status409Conflict, "sale-started", "The sale has started.", "It can be ended, not changed."),
        SaleRefusal.Over => Problems.Of(StatusCodes.Status409Conflict, "sale-over", "The sale is over."),
        SaleRefusal.Busy => Problems.Of(StatusCodes.Status409Conflict, "request-in-progress", "The sale is being changed at this moment; try again in a second."),
        var other => throw new UnreachableException($"{other}"),
    };
}
