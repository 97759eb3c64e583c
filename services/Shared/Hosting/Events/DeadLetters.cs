using System.Text.Json;
using Dapr;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Hosting;

/// <summary>
/// Events this service could not handle. They arrive from its own dead-letter topic, lie in a table, and an operator looks at them,
/// replays them (to this service only: the others have had theirs) or discards them.
/// </summary>
internal static partial class DeadLetterRoutes
{
    public const string Path = "/events/dead-letters";
    private const int LargestPage = 100;

    public static void MapDeadLetters(this IEndpointRouteBuilder routes)
    {
        var app = routes.ServiceProvider.GetRequiredService<MarketplaceApp>();
        routes.MapPost(Path, KeepAsync)
            .WithTopic(new TopicOptions { PubsubName = PubSub.Name, Name = app.DeadLetterTopic })
            .WithMetadata(new AppTokenRequired([]))
            .AllowAnonymous()
            .ExcludeFromDescription();

        var letters = routes.MapGroup($"/api/v1/operations/{app.AppId}/dead-letters").RequireAuthorization(Policies.Operator).WithTags("operations");
        letters.MapGet("/", ListAsync);
        letters.MapPost("/{deadLetterId:guid}/replay", ReplayAsync);
        letters.MapDelete("/{deadLetterId:guid}", DiscardAsync);
    }

    private static async Task<Ok> KeepAsync(HttpRequest request, NpgsqlDataSource database, TimeProvider time, ILogger<DeadLetter> log, CancellationToken ct)
    {
        var (eventId, topic, envelope) = await ReadEnvelopeAsync(request, ct);
        await using var insert = database.CreateCommand("""
            INSERT INTO dead_letters (dead_letter_id, event_id, topic, envelope) VALUES ($1, $2, $3, $4)
            ON CONFLICT (topic, event_id) DO UPDATE SET times = dead_letters.times + 1, received_at = now(), envelope = excluded.envelope
            """);
        insert.Parameters.Add(new() { Value = Guid.CreateVersion7(time.GetUtcNow()) });
        insert.Parameters.Add(new() { Value = eventId });
        insert.Parameters.Add(new() { Value = topic });
        insert.Parameters.Add(new() { Value = envelope, NpgsqlDbType = NpgsqlDbType.Json });
        await insert.ExecuteNonQueryAsync(ct);
        LogKept(log, topic, eventId);
        return TypedResults.Ok();
    }

    private static async Task<Results<Ok<DeadLetterPage>, ProblemHttpResult>> ListAsync(NpgsqlDataSource database, string? cursor, int? limit, CancellationToken ct)
    {
        var before = Guid.AllBitsSet;
        if (cursor is not null && !(Cursor.TryDecode(cursor, out var parts) && parts is [var last] && Guid.TryParse(last, out before)))
            return Problems.Validation(("cursor", "This is not a cursor of this list."));
        if (PageSize.Wrong(limit, LargestPage) is { } wrong)
            return wrong;

        var size = limit ?? 50;
        await using var select = database.CreateCommand("""
            SELECT dead_letter_id, event_id, topic, envelope, times, received_at, last_error FROM dead_letters
            WHERE dead_letter_id < $1 ORDER BY dead_letter_id DESC LIMIT $2
            """);
        select.Parameters.Add(new() { Value = before });
        select.Parameters.Add(new() { Value = size + 1 });
        await using var reader = await select.ExecuteReaderAsync(ct);
        var letters = new List<DeadLetter>();
        while (await reader.ReadAsync(ct))
            letters.Add(Read(reader));
        var more = letters.Count > size;
        return TypedResults.Ok(new DeadLetterPage([.. letters.Take(size)], more ? Cursor.Encode(letters[size - 1].DeadLetterId) : null));
    }

    private static async Task<Results<NoContent, ProblemHttpResult>> ReplayAsync(
        Guid deadLetterId, NpgsqlDataSource database, IServiceScopeFactory scopes, EndpointDataSource endpoints, ILogger<DeadLetter> log, CancellationToken ct)
    {
        if (await FindAsync(database, deadLetterId, ct) is not { } letter)
            return Problems.Of(StatusCodes.Status404NotFound, "not-found", "There is nothing here.");

        var handler = endpoints.Endpoints.OfType<RouteEndpoint>()
            .FirstOrDefault(endpoint => endpoint.Metadata.GetMetadata<EventHandlerOf>()?.Topic == letter.Topic);
        if (handler is null)
            return Problems.Of(StatusCodes.Status409Conflict, "nobody-listens", $"This service does not listen to {letter.Topic}.");

        if (await DeliverAsync(handler, letter, scopes, ct) is { } failure)
        {
            await ExecuteAsync(database, "UPDATE dead_letters SET last_error = $2 WHERE dead_letter_id = $1", ct, deadLetterId, failure);
            return Problems.Of(StatusCodes.Status409Conflict, "replay-failed", "The event failed again and stays where it is.", failure);
        }

        await ExecuteAsync(database, "DELETE FROM dead_letters WHERE dead_letter_id = $1", ct, deadLetterId);
        LogReplayed(log, letter.Topic, letter.EventId);
        return TypedResults.NoContent();
    }

    private static async Task<Results<NoContent, ProblemHttpResult>> DiscardAsync(
        Guid deadLetterId, NpgsqlDataSource database, ILogger<DeadLetter> log, CancellationToken ct)
    {
        if (await ExecuteAsync(database, "DELETE FROM dead_letters WHERE dead_letter_id = $1", ct, deadLetterId) == 0)
            return Problems.Of(StatusCodes.Status404NotFound, "not-found", "There is nothing here.");

        LogDiscarded(log, deadLetterId);
        return TypedResults.NoContent();
    }

    /// <summary>Calls the handler as a delivery would, in this process and without the network. Null when it worked.</summary>
    private static async Task<string?> DeliverAsync(RouteEndpoint handler, DeadLetter letter, IServiceScopeFactory scopes, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var data = letter.Envelope.ValueKind == JsonValueKind.Object && letter.Envelope.TryGetProperty("data", out var inner) ? inner : letter.Envelope;
        var body = JsonSerializer.SerializeToUtf8Bytes(data);
        using var reply = new MemoryStream();
        var http = new DefaultHttpContext { RequestServices = scope.ServiceProvider, RequestAborted = ct };
        http.Features.Set<IHttpRequestBodyDetectionFeature>(new HasBody());
        http.Request.Method = HttpMethods.Post;
        http.Request.Path = handler.RoutePattern.RawText;
        http.Request.ContentType = "application/json";
        http.Request.ContentLength = body.Length;
        http.Request.Body = new MemoryStream(body);
        http.Response.Body = reply;
        http.SetEndpoint(handler);
        try
        {
            await handler.RequestDelegate!(http);
        }
        catch (Exception fault) when (!ct.IsCancellationRequested)  // told to the operator and kept beside the letter
        {
            return $"{fault.GetType().Name}: {fault.Message}";
        }

        if (http.Response.StatusCode is < 200 or > 299)
            return $"The handler answered {http.Response.StatusCode}.";
        return Verdict(reply.ToArray()) is { } verdict and not "SUCCESS" ? $"The handler answered {verdict}." : null;
    }

    private static string? Verdict(byte[] reply)
    {
        try
        {
            return reply.Length > 0 && JsonSerializer.Deserialize<JsonElement>(reply) is { ValueKind: JsonValueKind.Object } json
                && json.TryGetProperty("status", out var status) && status.ValueKind == JsonValueKind.String && status.GetString() is { Length: > 0 } text ? text : null;
        }
        catch (JsonException)
        {
            return null;                                        // to Dapr, too, an unreadable 2xx is success
        }
    }

    private static async Task<(string EventId, string Topic, string Envelope)> ReadEnvelopeAsync(HttpRequest request, CancellationToken ct)
    {
        using var reader = new StreamReader(request.Body);
        var text = await reader.ReadToEndAsync(ct);
        try
        {
            var envelope = JsonSerializer.Deserialize<JsonElement>(text);
            if (envelope.ValueKind == JsonValueKind.Object)
                return (Text(envelope, "id") ?? Guid.CreateVersion7().ToString(), Text(envelope, "topic") ?? "unknown", text);
        }
        catch (JsonException)
        {
            return (Guid.CreateVersion7().ToString(), "unknown", JsonSerializer.Serialize(text));   // better kept as text than lost
        }

        return (Guid.CreateVersion7().ToString(), "unknown", text);
    }

    private static string? Text(JsonElement envelope, string name) =>
        envelope.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static async Task<DeadLetter?> FindAsync(NpgsqlDataSource database, Guid deadLetterId, CancellationToken ct)
    {
        await using var select = database.CreateCommand("""
            SELECT dead_letter_id, event_id, topic, envelope, times, received_at, last_error FROM dead_letters WHERE dead_letter_id = $1
            """);
        select.Parameters.Add(new() { Value = deadLetterId });
        await using var reader = await select.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    private static DeadLetter Read(NpgsqlDataReader row) => new(
        row.GetGuid(0),
        row.GetString(1),
        row.GetString(2),
        JsonSerializer.Deserialize<JsonElement>(row.GetString(3)),
        row.GetInt32(4),
        row.GetFieldValue<DateTimeOffset>(5),
        row.IsDBNull(6) ? null : row.GetString(6));

    private static async Task<int> ExecuteAsync(NpgsqlDataSource database, string sql, CancellationToken ct, params object[] values)
    {
        await using var command = database.CreateCommand(sql);
        foreach (var value in values)
            command.Parameters.Add(new() { Value = value });
        return await command.ExecuteNonQueryAsync(ct);
    }

    private sealed class HasBody : IHttpRequestBodyDetectionFeature
    {
        public bool CanHaveBody => true;
    }

    [LoggerMessage(LogLevel.Error, "Event {EventId} of {Topic} could not be handled and is kept as a dead letter")]
    private static partial void LogKept(ILogger log, string topic, string eventId);

    [LoggerMessage(LogLevel.Information, "Dead letter of {Topic} replayed: event {EventId} is handled")]
    private static partial void LogReplayed(ILogger log, string topic, string eventId);

    [LoggerMessage(LogLevel.Information, "Dead letter {DeadLetterId} discarded by an operator")]
    private static partial void LogDiscarded(ILogger log, Guid deadLetterId);
}

internal sealed record DeadLetter(
    Guid DeadLetterId, string EventId, string Topic, JsonElement Envelope, int Times, DateTimeOffset ReceivedAt, string? LastError);

internal sealed record DeadLetterPage(IReadOnlyList<DeadLetter> Items, string? Next);
