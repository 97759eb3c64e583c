using System.Globalization;
using System.Security.Claims;
using System.Text;
using Marketplace.Catalog.Listings;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Net.Http.Headers;

namespace Marketplace.Catalog.Imports;

/// <summary>
/// A seller's catalogue as a CSV file on its way in. One request may bring the whole file, or several bring it in parts; each answer says
/// up to which byte it is done, and the next request begins exactly there (<c>Upload-Offset</c>). The format: docs/catalogue.md.
/// </summary>
public static class ImportEndpoints
{
    public const string OffsetHeader = "Upload-Offset";

    /// <summary><c>?0</c>: more of the file follows; <c>?1</c> or absent: this body ends it. As in the IETF's resumable uploads.</summary>
    public const string CompleteHeader = "Upload-Complete";

    private const string Csv = "text/csv";
    private const int LargestPage = 100;
    private const int ErrorsAtOnce = 1000;
    private const long LargestBody = 2L * 1024 * 1024 * 1024;

    public static IServiceCollection AddImports(this IServiceCollection services) =>
        services.AddSingleton<ImportStore>().AddSingleton<ImportedListings>().AddSingleton<ImportRun>();

    public static void MapImports(this IEndpointRouteBuilder routes)
    {
        var imports = routes.MapGroup("/api/v1/seller/imports").RequireAuthorization(Policies.Seller).WithTags("imports");
        imports.MapGet("/", ListAsync);
        imports.MapPost("/", StartAsync).Accepts<string>(Csv).WithMetadata(new RequestSizeLimitAttribute(LargestBody));
        imports.MapMethods("/{importId:guid}", [HttpMethods.Get, HttpMethods.Head], ShowAsync);
        imports.MapPatch("/{importId:guid}", GoOnAsync).Accepts<string>(Csv).WithMetadata(new RequestSizeLimitAttribute(LargestBody));
        imports.MapGet("/{importId:guid}/errors", ErrorsAsync).Produces<ImportErrorPage>();
    }

    private static async Task<Results<Created<Import>, Ok<Import>, ProblemHttpResult>> StartAsync(
        ClaimsPrincipal user, ImportStore imports, ImportRun run, SellerNames names, HttpContext http, CancellationToken ct)
    {
        if (Refused(http.Request) is { } refused)
            return refused;
        if (http.Request.Headers[Idempotency.Header] is not ([] or [{ Length: > 0 and <= Idempotency.LongestKey }]))
            return Idempotency.KeyNeeded();
        var key = http.Request.Headers[Idempotency.Header].SingleOrDefault();
        var last = EndsFile(http.Request);
        var seller = SellerId.Of(user);
        using var rows = new CsvRows(http.Request.Body, default);
        var (columns, errors) = await ReadHeaderAsync(rows, last, ct);
        if (errors.Count > 0)
            return Problems.Validation([.. errors]);

        var (import, isNew) = await imports.StartAsync(seller, key, columns, rows.Delimiter, rows.Place, ct);
        if (!isNew)
        {
            // The same file once more from its beginning, after an answer was lost: what is done is passed over.
            http.Response.Headers[Idempotency.ReplayedHeader] = "true";
            if (columns is null)
                return Answer(http, import, started: false);
            if (!columns.Names.SequenceEqual(import.Columns ?? columns.Names, StringComparer.Ordinal))
                return OtherFile();
            if (import.Status != Import.Open)
                return await CouldBeAsync(import, rows, last, ct) ? Answer(http, import, started: false) : OtherFile();
            while (rows.Place.Rows < import.Rows && rows.Place.Bytes < import.Offset && await rows.NextAsync(last, ct) is not null)
            {
            }

            if (!IsThere(rows.Place, import))
                return rows.Place.Bytes < import.Offset ? Misplaced(http, import) : OtherFile();
            if (await imports.TakeOverAsync(seller, import.ImportId, import.Offset, ct) is not { } taken)
                return await MisplacedAsync(http, imports, seller, import.ImportId, ct);
            import = taken;
        }

        if (columns is null)
            return Answer(http, import, started: isNew);
        var (end, stands) = await run.RunAsync(import, seller, await names.OfAsync(user, ct), rows, columns, last, ct);
        return end == RunEnd.Stored ? Answer(http, stands, started: isNew) : await MisplacedAsync(http, imports, seller, import.ImportId, ct);
    }

    private static async Task<Results<Ok<Import>, NotFound, ProblemHttpResult>> GoOnAsync(
        Guid importId, ClaimsPrincipal user, ImportStore imports, ImportRun run, SellerNames names, HttpContext http, CancellationToken ct)
    {
        if (Refused(http.Request) is { } refused)
            return refused;
        if (http.Request.Headers[OffsetHeader] is not [{ } text] || !long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var offset))
            return Problems.Of(
                StatusCodes.Status400BadRequest, "upload-offset-missing", $"Say at which byte of the file this part begins ({OffsetHeader}).",
                extensions: new Dictionary<string, object?> { ["field"] = OffsetHeader });

        var seller = SellerId.Of(user);
        if (await imports.TakeOverAsync(seller, importId, offset, ct) is not { } import)
            return await imports.FindAsync(seller, importId, ct) is { } other ? Misplaced(http, other) : TypedResults.NotFound();

        var last = EndsFile(http.Request);
        using var rows = new CsvRows(http.Request.Body, import.Place) { Delimiter = import.Delimiter };
        var columns = import.Columns is { } stored ? ImportColumns.Stored(stored) : null;
        if (columns is null)
        {
            (columns, var errors) = await ReadHeaderAsync(rows, last, ct);
            if (errors.Count > 0)
                return Problems.Validation([.. errors]);
            if (columns is null)
                return Answer(http, import);
        }

        var (end, stands) = await run.RunAsync(import, seller, await names.OfAsync(user, ct), rows, columns, last, ct);
        return end == RunEnd.Stored ? Answer(http, stands) : await MisplacedAsync(http, imports, seller, importId, ct);
    }

    private static async Task<Results<Ok<Import>, NotFound>> ShowAsync(Guid importId, ClaimsPrincipal user, ImportStore imports, HttpContext http, CancellationToken ct) =>
        await imports.FindAsync(SellerId.Of(user), importId, ct) is { } import ? Answer(http, import) : TypedResults.NotFound();

    private static async Task<Results<Ok<ImportPage>, ProblemHttpResult>> ListAsync(
        ImportStore imports, ClaimsPrincipal user, HttpResponse response, string? cursor, int? limit, CancellationToken ct)
    {
        (DateTimeOffset, Guid)? after = null;
        if (!string.IsNullOrEmpty(cursor))
        {
            if (!Cursor.TryDecode(cursor, out var parts) || parts is not [var startedAt, var importId]
                || !DateTimeOffset.TryParseExact(startedAt, "O", CultureInfo.InvariantCulture, DateTimeStyles.RoundtripKind, out var at) || !Guid.TryParse(importId, out var id))
                return Problems.Validation(("cursor", "This is not a cursor of this list."));
            after = (at, id);
        }

        if (PageSize.Wrong(limit, LargestPage) is { } wrong)
            return wrong;

        response.Headers.CacheControl = "private, no-store";
        return TypedResults.Ok(await imports.PageAsync(SellerId.Of(user), after, limit ?? 20, ct));
    }

    /// <summary>As pages of JSON, or (<c>Accept: text/csv</c>) all of them as a file that lies well beside the one that was sent.</summary>
    private static async Task<IResult> ErrorsAsync(
        Guid importId, ImportStore imports, ClaimsPrincipal user, HttpContext http, string? cursor, int? limit, CancellationToken ct)
    {
        if (await imports.FindAsync(SellerId.Of(user), importId, ct) is null)
            return TypedResults.NotFound();
        var after = 0L;
        if (!string.IsNullOrEmpty(cursor) && !(Cursor.TryDecode(cursor, out var parts) && parts is [var number] && long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out after)))
            return Problems.Validation(("cursor", "This is not a cursor of this list."));
        if (PageSize.Wrong(limit, ErrorsAtOnce) is { } wrong)
            return wrong;

        http.Response.Headers.CacheControl = "private, no-store";
        http.Response.Headers.Vary = HeaderNames.Accept;
        if (!http.Request.GetTypedHeaders().Accept.Any(type => type.MediaType.Equals(Csv, StringComparison.OrdinalIgnoreCase)))
            return TypedResults.Ok(await imports.ErrorsAsync(importId, after, limit ?? LargestPage, ct));

        http.Response.ContentType = "text/csv; charset=utf-8";
        http.Response.Headers.ContentDisposition = $"attachment; filename=\"import-{importId}-errors.csv\"";
        await using var writer = new StreamWriter(http.Response.Body, new UTF8Encoding(false), 16 * 1024);
        await writer.WriteAsync(CsvText.Line(["row", "line", "column", "message"]).AsMemory(), ct);
        for (string? next = ""; next is not null;)
        {
            var page = await imports.ErrorsAsync(importId, after, ErrorsAtOnce, ct);
            foreach (var error in page.Items)
                await writer.WriteAsync(CsvText.Line([$"{error.Row}", $"{error.Line}", error.Column, error.Message]).AsMemory(), ct);
            next = page.Next;
            if (Cursor.TryDecode(next, out var last))
                after = long.Parse(last[0], CultureInfo.InvariantCulture);
        }

        return TypedResults.Empty;
    }

    private static async Task<(ImportColumns? Columns, IReadOnlyList<(string Field, string Message)> Errors)> ReadHeaderAsync(CsvRows rows, bool last, CancellationToken ct)
    {
        var start = await rows.PeekAsync(ct);
        if (start.Span.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xFE]) || start.Span.StartsWith((ReadOnlySpan<byte>)[0xFE, 0xFF]))
            return (null, [("header", "This file is UTF-16. Save it as CSV with the encoding UTF-8.")]);
        rows.Delimiter = ImportColumns.DelimiterOf(start.Span);

        CsvRow? header;
        do
            header = await rows.NextAsync(last, ct);
        while (header is { IsEmpty: true });
        // Nothing yet of a file that comes in parts: the header is read with the next one.
        return header is null && !last ? (null, []) : ImportColumns.Of(header);
    }

    /// <summary>
    /// Whether the same file, read again from its beginning, has come to where the import is. Where a row that is too long was cut off
    /// depends on how its bytes came in, so within one the rows count and not the bytes; what is left of it is passed over from either.
    /// </summary>
    private static bool IsThere(CsvPlace place, Import import) =>
        import.Columns is null                                  // not even the header had come
        || place == import.Place
        || (place.Rows == import.Rows && (place.Skipping || import.Place.Skipping));

    /// <summary>Whoever corrects a file and sends it under the old key would take the old answer for the new one. Nothing tells a change that keeps the length.</summary>
    private static async Task<bool> CouldBeAsync(Import ended, CsvRows rows, bool last, CancellationToken ct)
    {
        if (ended.Status != Import.Completed)
            return true;                                        // given up somewhere in the middle
        while (rows.Place.Bytes <= ended.Offset && await rows.NextAsync(last, ct) is not null)
        {
        }

        return rows.Place.Bytes == ended.Offset || (!last && rows.Place.Bytes < ended.Offset);
    }

    private static ProblemHttpResult? Refused(HttpRequest request)
    {
        if (request.ContentLength is not 0 && request.ContentType is not null && !(MediaTypeHeaderValue.TryParse(request.ContentType, out var type)
                && type.MediaType.Equals(Csv, StringComparison.OrdinalIgnoreCase) && (!type.Charset.HasValue || type.Charset.Equals("utf-8", StringComparison.OrdinalIgnoreCase))))
            return Problems.Of(StatusCodes.Status415UnsupportedMediaType, "unsupported-media-type", "The body must be text/csv in UTF-8.");
        return request.Headers[CompleteHeader] is [] or ["?0"] or ["?1"]
            ? null
            : Problems.Of(
                StatusCodes.Status400BadRequest, "upload-complete-unreadable", $"{CompleteHeader} is ?1 for the file's last part, ?0 for the others.",
                extensions: new Dictionary<string, object?> { ["field"] = CompleteHeader });
    }

    private static bool EndsFile(HttpRequest request) => request.Headers[CompleteHeader] is not ["?0"];

    private static Results<Created<Import>, Ok<Import>, ProblemHttpResult> Answer(HttpContext http, Import import, bool started)
    {
        var answer = Answer(http, import);
        return started ? TypedResults.Created($"/api/v1/seller/imports/{import.ImportId}", import) : answer;
    }

    private static Ok<Import> Answer(HttpContext http, Import import)
    {
        http.Response.Headers.CacheControl = "private, no-store";
        http.Response.Headers[OffsetHeader] = import.Offset.ToString(CultureInfo.InvariantCulture);
        http.Response.Headers[CompleteHeader] = import.Status == Import.Open ? "?0" : "?1";
        return TypedResults.Ok(import);
    }

    private static async Task<ProblemHttpResult> MisplacedAsync(HttpContext http, ImportStore imports, SellerId seller, Guid importId, CancellationToken ct) =>
        Misplaced(http, await imports.FindAsync(seller, importId, ct) ?? throw new InvalidOperationException($"Import {importId} is gone."));

    private static ProblemHttpResult Misplaced(HttpContext http, Import import)
    {
        Answer(http, import);
        return Problems.Of(
            StatusCodes.Status409Conflict,
            import.Status == Import.Open ? "upload-offset" : "import-ended",
            import.Status == Import.Open ? "This import goes on at another byte." : "This import has ended.",
            $"It is {import.Status} at byte {import.Offset}.",
            new Dictionary<string, object?> { ["offset"] = import.Offset, ["import"] = import.Status });
    }

    private static ProblemHttpResult OtherFile() => Problems.Of(
        StatusCodes.Status422UnprocessableEntity, "idempotency-key-reused", $"This {Idempotency.Header} was used for another file.", "Give a file that has changed a key of its own.",
        extensions: new Dictionary<string, object?> { ["field"] = Idempotency.Header });
}
