using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;

namespace Marketplace.Hosting;

/// <summary>RFC 9457 documents. A client switches on <c>type</c>, which is stable; titles are for people.</summary>
public static class Problems
{
    public const string ContentType = "application/problem+json";

    public static ProblemHttpResult Of(
        int status, string slug, string title, string? detail = null, IDictionary<string, object?>? extensions = null) =>
        TypedResults.Problem(Document(status, slug, title, detail, extensions));

    /// <summary>The same shape as a failed attribute on a request record: every field with what is wrong with it.</summary>
    public static ProblemHttpResult Validation(params (string Field, string Message)[] errors) =>
        TypedResults.Problem(ValidationDocument(errors
            .GroupBy(error => error.Field, StringComparer.Ordinal)
            .ToDictionary(field => field.Key, field => field.Select(error => error.Message).ToArray(), StringComparer.Ordinal)));

    internal static ProblemDetails ValidationDocument(IDictionary<string, string[]> errors) => Document(
        StatusCodes.Status422UnprocessableEntity, "validation", "Some fields are not valid.", null,
        new Dictionary<string, object?> { ["errors"] = errors });

    internal static ProblemDetails Document(
        int status, string slug, string title, string? detail = null, IDictionary<string, object?>? extensions = null)
    {
        var document = new ProblemDetails { Status = status, Type = $"/problems/{slug}", Title = title, Detail = detail };
        foreach (var (name, value) in extensions ?? new Dictionary<string, object?>())
            document.Extensions[name] = value;
        return document;
    }

    /// <summary>For an answer that has a status and nothing else to say.</summary>
    internal static ProblemDetails ForStatus(int status) => status switch
    {
        400 => Document(status, "bad-request", "The request cannot be understood."),
        401 => Document(status, "unauthorized", "Sign in to do this."),
        403 => Document(status, "forbidden", "You may not do this."),
        404 => Document(status, "not-found", "There is nothing here."),
        405 => Document(status, "method-not-allowed", "This address does not take that method."),
        406 => Document(status, "not-acceptable", "None of the accepted formats is available."),
        408 => Document(status, "request-timeout", "The request took too long to arrive."),
        409 => Document(status, "conflict", "The request does not fit the current state."),
        412 => Document(status, "precondition-failed", "It was changed since you read it."),
        413 => Document(status, "body-too-large", "The request body is too large."),
        415 => Document(status, "unsupported-media-type", "The body must be application/json."),
        422 => Document(status, "validation", "Some fields are not valid."),
        428 => Document(status, "precondition-required", "Say which version you are changing (If-Match)."),
        429 => Document(status, "too-many-requests", "Too many requests; try again shortly."),
        431 => Document(status, "headers-too-large", "The request headers are too large."),
        500 => Document(status, "internal-error", "Something went wrong on our side."),
        502 => Document(status, "bad-gateway", "A service behind this one gave no usable answer."),
        503 => Document(status, "unavailable", "Not available right now; try again shortly."),
        504 => Document(status, "gateway-timeout", "A service behind this one took too long."),
        _ => Document(status, $"status-{status}", $"The request ended with status {status}."),
    };
}
