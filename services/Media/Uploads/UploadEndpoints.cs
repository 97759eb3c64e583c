using System.Security.Claims;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Media.Clients;
using Marketplace.Media.Storage;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Options;
using Microsoft.OpenApi;

namespace Marketplace.Media.Uploads;

public sealed record UploadAccepted(string ImageId, string Status);

/// <summary>
/// A seller's picture for a listing. It is stored under the hash of its bytes before anybody hears of it: a repeat of the whole request,
/// after whatever broke, stores the same again and tells the same.
/// </summary>
public static partial class UploadEndpoints
{
    // A form has some bytes around its file.
    private const long LargestBody = UploadOptions.LargestFile + (64 * 1024);

    public static void MapUploads(this IEndpointRouteBuilder routes) => routes
        .MapPost("/api/v1/products/{productId:guid}/images", UploadAsync)
        .RequireAuthorization(Policies.Seller)
        .AddEndpointFilter<Outage>()
        .WithMetadata(new RequestSizeLimitAttribute(LargestBody))
        .AddOpenApiOperationTransformer((operation, _, _) =>
        {
            // Said here and not by Accepts, which would refuse other types before the bytes are looked at.
            var file = new OpenApiSchema { Type = JsonSchemaType.String, Format = "binary" };
            operation.RequestBody = new OpenApiRequestBody
            {
                Required = true,
                Content = new Dictionary<string, OpenApiMediaType>
                {
                    ["image/*"] = new OpenApiMediaType { Schema = file },
                    ["multipart/form-data"] = new OpenApiMediaType { Schema = new OpenApiSchema { Type = JsonSchemaType.Object, Properties = new Dictionary<string, IOpenApiSchema> { [UploadBody.Field] = file } } },
                },
            };
            return Task.CompletedTask;
        })
        .Produces<UploadAccepted>(StatusCodes.Status202Accepted)
        .ProducesProblem(StatusCodes.Status404NotFound)
        .ProducesProblem(StatusCodes.Status409Conflict)
        .ProducesProblem(StatusCodes.Status413PayloadTooLarge)
        .ProducesProblem(StatusCodes.Status415UnsupportedMediaType)
        .ProducesProblem(StatusCodes.Status422UnprocessableEntity)
        .WithSummary("A picture of a listing, as the body itself or as the field `file` of a form; at most 15 MB.")
        .WithTags("media");

    private static async Task<IResult> UploadAsync(
        Guid productId, HttpRequest request, ClaimsPrincipal user, ICatalogClient catalog, MediaStore store, MediaNews news, UploadSlots slots,
        IOptions<UploadOptions> options, ILogger<UploadedFile> log, CancellationToken ct)
    {
        var seller = SellerId.Of(user);
        if (await catalog.OwnerAsync(productId, ct) is not { } listing || listing.SellerId != seller.Value)
            return await RefuseAsync(request, Problems.Of(StatusCodes.Status404NotFound, "not-found", "There is no such product."), options.Value.MostTime, ct);
        if (listing.Images >= listing.MostImages)
            return await RefuseAsync(request, Problems.Of(StatusCodes.Status409Conflict, "too-many-pictures", $"A listing has at most {listing.MostImages} pictures; remove one first."), options.Value.MostTime, ct);

        using var slot = await slots.EnterAsync(ct);
        if (slot is null)
        {
            request.HttpContext.Response.Headers.RetryAfter = "5";
            return Problems.Of(StatusCodes.Status503ServiceUnavailable, "unavailable", "Too many pictures are arriving; try again shortly.");
        }

        UploadReading reading;
        using (var patience = CancellationTokenSource.CreateLinkedTokenSource(ct))
        {
            patience.CancelAfter(options.Value.MostTime);
            try
            {
                reading = await UploadBody.ReadAsync(request, patience.Token);
            }
            catch (OperationCanceledException) when (!ct.IsCancellationRequested)
            {
                return Problems.Of(StatusCodes.Status408RequestTimeout, "request-timeout", "The picture took too long to arrive.");
            }
        }

        if (reading.File is not { } file)
            return await RefuseAsync(request, Refusal(reading), options.Value.MostTime, ct);
        if (!file.Kind.IsCalled(file.Said))
            return Problems.Validation((UploadBody.Field, $"The file is said to be {file.Said} and is a {file.Kind.Name}."));
        if (PictureHeader.Read(file.Bytes) is not { } header)
            return Problems.Validation((UploadBody.Field, $"The file begins like a {file.Kind.Name} and cannot be read as one."));
        if (header.Excess(options.Value) is { } excess)
            return Problems.Validation((UploadBody.Field, excess));

        await store.PutAsync(MediaNames.Original(file.ImageId), file.Bytes, ct);
        var uploaded = new ImageUploaded(productId, seller.Value, file.ImageId, file.Kind.ContentType, file.Bytes.Length);
        await news.TellAsync(uploaded, ImageUploaded.Topic, productId, ct);
        LogUploaded(log, productId, file.ImageId, file.Bytes.Length, header.Width, header.Height);
        return TypedResults.Accepted((string?)null, new UploadAccepted(file.ImageId, "processing"));
    }

    private static IResult Refusal(UploadReading reading) => reading switch
    {
        { Refusal: BodyRefusal.TooLarge } => Problems.Of(StatusCodes.Status413PayloadTooLarge, "body-too-large", "The picture is larger than 15 MB."),
        { Refusal: BodyRefusal.NoFile } => Problems.Validation((UploadBody.Field, $"The form has no field named {UploadBody.Field}.")),
        { Refusal: BodyRefusal.Broken } => Problems.Of(StatusCodes.Status400BadRequest, "bad-request", "The form cannot be taken apart."),
        { Kind.Name: "empty", Kind.Refusal: { } why } => Problems.Validation((UploadBody.Field, why)),
        { Kind.Refusal: { } why } => Problems.Of(StatusCodes.Status415UnsupportedMediaType, "unsupported-media-type", "This is no kind of picture that is taken.", why,
            new Dictionary<string, object?> { ["errors"] = new Dictionary<string, string[]> { [UploadBody.Field] = [why] } }),
        var other => throw new System.Diagnostics.UnreachableException($"{other}"),
    };

    /// <summary>What is left of the body is read first: a sender who is still sending would see the connection break instead of the answer.</summary>
    private static async Task<IResult> RefuseAsync(HttpRequest request, IResult refusal, TimeSpan mostTime, CancellationToken ct)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
        patience.CancelAfter(mostTime);
        try
        {
            await request.Body.CopyToAsync(Stream.Null, patience.Token);
        }
        catch (Exception e) when (e is BadHttpRequestException || (e is OperationCanceledException && !ct.IsCancellationRequested))
        {
            return refusal;                                     // longer than the server reads or anybody waits: it is refused either way
        }

        return refusal;
    }

    [LoggerMessage(LogLevel.Information, "Picture {ImageId} of product {ProductId} is stored: {Bytes} bytes, {Width} by {Height}")]
    private static partial void LogUploaded(ILogger log, Guid productId, string imageId, int bytes, int width, int height);
}
