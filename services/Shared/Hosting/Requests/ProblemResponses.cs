using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Net.Http.Headers;
using Npgsql;

namespace Marketplace.Hosting;

public static class ProblemDocuments
{
    /// <summary>For an app that puts its own pipeline together; <see cref="MarketplaceDefaults.UseMarketplaceDefaults"/> has it in.</summary>
    public static IApplicationBuilder UseProblemDocuments(this IApplicationBuilder app) => app.UseMiddleware<ProblemResponses>();
}

/// <summary>
/// The one place where a fault becomes an answer, and where an answer with only a status gets its document. Outermost, so that
/// nothing leaves as an empty 4xx or as an HTML page.
/// </summary>
internal sealed partial class ProblemResponses(RequestDelegate next, ILogger<ProblemResponses> log)
{
    public const long LargestBody = 1024 * 1024;
    private static readonly string[] Required = ["The field is required."];

    public async Task InvokeAsync(HttpContext http)
    {
        try
        {
            await next(http);
            if (http.Response is { StatusCode: >= 400 and < 600, HasStarted: false, ContentLength: null or 0, ContentType: null or "" })
                await WriteAsync(http, http.Response.StatusCode == StatusCodes.Status403Forbidden && Buyer.IsGuest(http.User) ? NotAsGuest() : Problems.ForStatus(http.Response.StatusCode));
        }
        catch (Exception gone) when (gone is OperationCanceledException or IOException && http.RequestAborted.IsCancellationRequested)
        {
            http.Response.StatusCode = StatusCodes.Status499ClientClosedRequest;    // nobody is listening any more
        }
        catch (Exception fault) when (!http.Response.HasStarted)
        {
            await AnswerAsync(http, fault);
        }
    }

    private async Task AnswerAsync(HttpContext http, Exception fault)
    {
        // Without this, headers set before the fault (an ETag, a Location) would describe an answer that never came.
        http.Response.Clear();

        if (fault is BadHttpRequestException bad)
        {
            if (bad.StatusCode == StatusCodes.Status400BadRequest && http.GetEndpoint()?.Metadata.GetMetadata<EventHandlerOf>() is { } handler)
            {
                LogUnreadableEvent(handler.Topic, bad.Message);
                await Delivery.Drop().ExecuteAsync(http);
                return;
            }

            await WriteAsync(http, BadRequest(bad));
            return;
        }

        if (fault is PostgresException { SqlState: PostgresErrorCodes.CharacterNotInRepertoire or PostgresErrorCodes.UntranslatableCharacter })
        {
            // A NUL in a text is valid JSON and cannot be stored; nobody's rule should have to think of it. Where the statement was just being
            // prepared, Npgsql 10.0 takes it for prepared and the connection's next use of it fails (npgsql issue 6391): use none of them again.
            http.RequestServices.GetService<NpgsqlDataSource>()?.Clear();
            await WriteAsync(http, Problems.Document(StatusCodes.Status400BadRequest, "bad-request", "A text holds characters that cannot be stored."));
            return;
        }

        if (fault is InvalidOperationException && UnknownCharset(http.Request.ContentType) is { } charset)
        {
            // The framework takes a charset that no encoding is called for a fault of the server.
            await WriteAsync(http, Problems.Document(StatusCodes.Status415UnsupportedMediaType, "unsupported-media-type", "The body must be application/json.",
                $"There is no charset {charset}; JSON is UTF-8."));
            return;
        }

        if (Faults.IsTransient(fault))
        {
            LogUnavailable(http.Request.Method, http.Request.Path, fault.GetType().Name, fault.Message);
            http.Response.Headers.RetryAfter = "1";
            if (fault is NpgsqlException)
                http.Response.Headers[Degradation.Header] = "database";     // whoever can answer from memory instead tells why
            await WriteAsync(http, Problems.ForStatus(StatusCodes.Status503ServiceUnavailable));
            return;
        }

        LogFault(fault, http.Request.Method, http.Request.Path);
        await WriteAsync(http, Problems.ForStatus(StatusCodes.Status500InternalServerError));
    }

    private static ProblemDetails NotAsGuest() => Problems.Document(StatusCodes.Status403Forbidden, "forbidden", "You may not do this.", "A guest may not; sign in, or open an account.");

    private static ProblemDetails BadRequest(BadHttpRequestException bad)
    {
        if (bad.StatusCode != StatusCodes.Status400BadRequest)
            return Problems.ForStatus(bad.StatusCode);

        var unbound = UnboundParameter().Match(bad.Message);
        if (unbound.Success)
        {
            var (name, wanted) = (unbound.Groups["name"].Value, WantedFor(unbound.Groups["type"].Value));
            return Problems.Document(bad.StatusCode, "bad-request", "The request cannot be understood.", $"Parameter {name} must be {wanted}, not {unbound.Groups["value"].Value}.",
                new Dictionary<string, object?> { ["field"] = name, ["errors"] = new Dictionary<string, string[]> { [name] = [$"Must be {wanted}."] } });
        }

        // No body, or one that says null; the framework's words for it are to whoever wrote the handler.
        if (bad.Message.Contains("no body was provided", StringComparison.Ordinal))
            return Problems.Document(bad.StatusCode, "bad-request", "The request cannot be understood.", "There is no body; this address expects JSON.");

        if (bad.InnerException is not JsonException json)
            return Problems.Document(bad.StatusCode, "bad-request", "The request cannot be understood.", bad.Message);

        var missing = MissingFields().Match(json.Message);
        if (missing.Success)
        {
            var fields = missing.Groups["names"].Value.Replace("'", "", StringComparison.Ordinal);
            return Problems.Document(bad.StatusCode, "malformed-json", "Fields are missing from the body.", $"Missing: {fields}.",
                new Dictionary<string, object?> { ["errors"] = fields.Split(", ").ToDictionary(field => field, _ => Required) });
        }

        var field = json.Path is { Length: > 2 } path && path.StartsWith("$.", StringComparison.Ordinal) ? path[2..] : "$";
        var line = json.LineNumber + 1;
        var position = json.BytePositionInLine + 1;
        return Problems.Document(
            bad.StatusCode, "malformed-json", "The body is not the JSON this address expects.",
            $"Field {field}, line {line}, position {position}.",
            new Dictionary<string, object?>
            {
                ["field"] = field,
                ["line"] = line,
                ["position"] = position,
                ["errors"] = new Dictionary<string, string[]> { [field] = [$"Not valid at line {line}, position {position}."] },
            });
    }

    // "Nullable<int>", "Guid[]": what the handler is written in says nothing to a client.
    private static string WantedFor(string type) => type.Replace("Nullable<", "", StringComparison.Ordinal).TrimEnd('>', '[', ']') switch
    {
        "int" or "long" or "short" => "a whole number",
        "double" or "float" or "decimal" => "a number",
        "bool" => "true or false",
        "Guid" => "an id",
        "DateOnly" => "a date",
        "DateTime" or "DateTimeOffset" => "a date and time",
        _ => "of another form",
    };

    private static string? UnknownCharset(string? contentType)
    {
        if (!MediaTypeHeaderValue.TryParse(contentType, out var type) || !type.Charset.HasValue)
            return null;
        var charset = HeaderUtilities.RemoveQuotes(type.Charset).ToString();
        try
        {
            _ = Encoding.GetEncoding(charset);
            return null;
        }
        catch (Exception unknown) when (unknown is ArgumentException or NotSupportedException)
        {
            return charset;
        }
    }

    public static Task WriteAsync(HttpContext http, ProblemDetails problem)
    {
        Complete(http, problem);
        http.Response.StatusCode = problem.Status!.Value;
        http.Response.Headers.CacheControl = "no-store";
        return http.Response.WriteAsJsonAsync(problem, JsonSerializerOptions.Web, Problems.ContentType, http.RequestAborted);
    }

    public static void Complete(HttpContext http, ProblemDetails problem) =>
        problem.Extensions.TryAdd("traceId", Activity.Current?.TraceId.ToString() ?? http.TraceIdentifier);

    [GeneratedRegex("^Failed to bind parameter \"(?<type>\\S+) (?<name>\\S+)\" from \"(?<value>.*)\"\\.$", RegexOptions.Singleline)]
    private static partial Regex UnboundParameter();

    [GeneratedRegex("missing required properties including: (?<names>'.*')")]
    private static partial Regex MissingFields();

    [LoggerMessage(LogLevel.Error, "{Method} {Path} failed")]
    private partial void LogFault(Exception fault, string method, PathString path);

    [LoggerMessage(LogLevel.Warning, "{Method} {Path} cannot be answered now ({Kind}: {Reason})")]
    private partial void LogUnavailable(string method, PathString path, string kind, string reason);

    [LoggerMessage(LogLevel.Warning, "An event of {Topic} cannot be read and becomes a dead letter: {Reason}")]
    private partial void LogUnreadableEvent(string topic, string reason);
}

/// <summary>Refuses by the announced length before anything is read; a body without one is cut off by the server's own limit.</summary>
internal sealed class BodyLimit(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext http)
    {
        var limit = http.GetEndpoint()?.Metadata.GetMetadata<IRequestSizeLimitMetadata>() is { } own ? own.MaxRequestBodySize : ProblemResponses.LargestBody;
        if (http.Request.ContentLength is not { } length || limit is null || length <= limit)
            return next(http);

        http.Response.StatusCode = StatusCodes.Status413PayloadTooLarge;
        return Task.CompletedTask;
    }
}

/// <summary>Documents written by the framework itself (failed attributes, <c>TypedResults.Problem</c>) take the same shape.</summary>
internal sealed class ProblemWriter : IProblemDetailsWriter
{
    public bool CanWrite(ProblemDetailsContext context) => true;

    public ValueTask WriteAsync(ProblemDetailsContext context)
    {
        var problem = context.ProblemDetails;
        if (problem is HttpValidationProblemDetails { Errors.Count: > 0 } invalid)
            problem = Problems.ValidationDocument(invalid.Errors.ToDictionary(error => CamelCase(error.Key), error => error.Value, StringComparer.Ordinal));

        problem.Status ??= context.HttpContext.Response.StatusCode;
        if (problem.Type is null || !problem.Type.StartsWith('/'))
        {
            var plain = Problems.ForStatus(problem.Status.Value);
            problem.Type = plain.Type;
            problem.Title = plain.Title;
        }

        return new ValueTask(ProblemResponses.WriteAsync(context.HttpContext, problem));
    }

    // "Lines[0].Quantity" → "lines[0].quantity", as the field is called on the wire.
    private static string CamelCase(string field) =>
        string.Join('.', field.Split('.').Select(segment => JsonNamingPolicy.CamelCase.ConvertName(segment)));
}

internal static class Faults
{
    /// <summary>Somebody else is away: worth trying again, and no fault of what was asked.</summary>
    public static bool IsTransient(Exception fault) => fault switch
    {
        NpgsqlException database => database.IsTransient || database.SqlState is PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CannotConnectNow,
        Grpc.Core.RpcException call => call.StatusCode is Grpc.Core.StatusCode.Unavailable or Grpc.Core.StatusCode.DeadlineExceeded or Grpc.Core.StatusCode.Cancelled,
        HttpRequestException or TimeoutException or OperationCanceledException => true,
        Dapr.DaprException { InnerException: { } inner } => IsTransient(inner),
        _ => false,
    };
}
