using System.Security.Claims;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Hosting;

/// <summary>
/// <c>Idempotency-Key</c>: the effect and the reply commit together, so a repeat gets the reply of the first time and never a
/// second effect. Keys are per subject, method, route and key; a repeat with another body is refused.
/// </summary>
public sealed class Idempotency(NpgsqlDataSource database, OutboxSignal outbox)
{
    public const string Header = "Idempotency-Key";
    public const string ReplayedHeader = "Idempotent-Replayed";
    public const int LongestKey = 255;

    /// <summary>
    /// Opens the transaction the effect belongs to. When <see cref="IdempotentRequest.Answer"/> is set, return it and do nothing.
    /// </summary>
    public async Task<IdempotentRequest> BeginAsync(HttpContext http, object request, CancellationToken ct)
    {
        if (http.Request.Headers[Header] is not [{ Length: > 0 and <= LongestKey } key])
            return IdempotentRequest.Answered(KeyNeeded());

        var subject = http.User.FindFirstValue("sub") ?? "anonymous";
        var route = (http.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? http.Request.Path.Value ?? "";
        var scope = new Scope(subject, http.Request.Method, route, key, HashOf(http, request));

        var connection = await database.OpenConnectionAsync(ct);
        try
        {
            var tx = await connection.BeginTransactionAsync(ct);
            var (locked, stored) = await LookAsync(connection, tx, scope, ct);
            if (locked && stored is null)
                return new IdempotentRequest(connection, tx, scope, outbox);

            await connection.DisposeAsync();
            return IdempotentRequest.Answered(stored switch
            {
                null => InProgress(http),
                { SameRequest: false } => Problems.Of(
                    StatusCodes.Status422UnprocessableEntity, "idempotency-key-reused", $"This {Header} was used for another request.",
                    extensions: new Dictionary<string, object?> { ["field"] = Header }),
                _ => new StoredReply(stored.Status, stored.Body, stored.Location, Replayed: true),
            });
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    public static ProblemHttpResult KeyNeeded() => Problems.Of(
        StatusCodes.Status400BadRequest, "idempotency-key-missing", $"Send one {Header} header of 1 to {LongestKey} characters.",
        extensions: new Dictionary<string, object?> { ["field"] = Header });

    // Two statements, one round trip. They must be two: each sees what had committed when it began, and the second may only look
    // once the lock is held, or a request that committed in between would be done again.
    private static async Task<(bool Locked, Stored? Stored)> LookAsync(NpgsqlConnection connection, NpgsqlTransaction tx, Scope scope, CancellationToken ct)
    {
        await using var batch = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                new("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 7309))") { Parameters = { new() { Value = scope.LockName } } },
                new("""
                    SELECT request_hash, status, body, location FROM idempotency_keys
                    WHERE subject = $1 AND method = $2 AND route = $3 AND key = $4
                    """)
                {
                    Parameters = { new() { Value = scope.Subject }, new() { Value = scope.Method }, new() { Value = scope.Route }, new() { Value = scope.Key } },
                },
            },
        };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        var locked = reader.GetBoolean(0);
        await reader.NextResultAsync(ct);
        if (!await reader.ReadAsync(ct))
            return (locked, null);

        return (locked, new Stored(
            reader.GetFieldValue<byte[]>(0).AsSpan().SequenceEqual(scope.RequestHash),
            reader.GetInt32(1),
            await reader.IsDBNullAsync(2, ct) ? null : reader.GetFieldValue<byte[]>(2),
            await reader.IsDBNullAsync(3, ct) ? null : reader.GetString(3)));
    }

    // Route values are part of the request: the same key for another order is another request, not a repeat.
    private static byte[] HashOf(HttpContext http, object request)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var (name, value) in http.Request.RouteValues.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            hash.AppendData(JsonSerializer.SerializeToUtf8Bytes(new[] { name, value?.ToString() }));
        hash.AppendData(JsonSerializer.SerializeToUtf8Bytes(request, request.GetType(), JsonSerializerOptions.Web));
        return hash.GetHashAndReset();
    }

    private static IResult InProgress(HttpContext http)
    {
        http.Response.Headers.RetryAfter = "1";
        return Problems.Of(StatusCodes.Status409Conflict, "request-in-progress", "The same request is being worked on; ask again in a moment.");
    }

    internal sealed record Scope(string Subject, string Method, string Route, string Key, byte[] RequestHash)
    {
        public string LockName => $"{Subject}\n{Method}\n{Route}\n{Key}";
    }

    private sealed record Stored(bool SameRequest, int Status, byte[]? Body, string? Location);
}

/// <summary>One run of an idempotent request. Leaving it without <see cref="CommitAsync"/> undoes everything and frees the key.</summary>
public sealed class IdempotentRequest : IAsyncDisposable
{
    private readonly NpgsqlConnection? connection;
    private readonly NpgsqlTransaction? transaction;
    private readonly Idempotency.Scope? scope;
    private readonly OutboxSignal? outbox;

    internal IdempotentRequest(NpgsqlConnection connection, NpgsqlTransaction transaction, Idempotency.Scope scope, OutboxSignal outbox) =>
        (this.connection, this.transaction, this.scope, this.outbox) = (connection, transaction, scope, outbox);

    private IdempotentRequest(IResult answer) => Answer = answer;

    /// <summary>What to reply at once: a stored reply, or why this request is not run.</summary>
    public IResult? Answer { get; }

    public NpgsqlConnection Connection => connection ?? throw AlreadyAnswered();

    public NpgsqlTransaction Transaction => transaction ?? throw AlreadyAnswered();

    /// <summary>Stores the reply beside the effect and commits both.</summary>
    public async Task<IResult> CommitAsync(int status, object? body, string? location = null, CancellationToken ct = default)
    {
        var json = body is null ? null : JsonSerializer.SerializeToUtf8Bytes(body, body.GetType(), JsonSerializerOptions.Web);
        await using var store = new NpgsqlCommand("""
            INSERT INTO idempotency_keys (subject, method, route, key, request_hash, status, body, location)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            """, Connection, Transaction)
        {
            Parameters =
            {
                new() { Value = scope!.Subject },
                new() { Value = scope.Method },
                new() { Value = scope.Route },
                new() { Value = scope.Key },
                new() { Value = scope.RequestHash },
                new() { Value = status },
                new() { Value = (object?)json ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bytea },
                new() { Value = (object?)location ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
            },
        };
        await store.ExecuteNonQueryAsync(ct);
        await Transaction.CommitAsync(ct);
        outbox!.Notify();
        return new StoredReply(status, json, location, Replayed: false);
    }

    public async ValueTask DisposeAsync()
    {
        if (transaction is not null)
            await transaction.DisposeAsync();
        if (connection is not null)
            await connection.DisposeAsync();
    }

    internal static IdempotentRequest Answered(IResult answer) => new(answer);

    private static InvalidOperationException AlreadyAnswered() => new("This request is already answered: return Answer instead of doing it.");
}

/// <summary>The same bytes the first time and every time after.</summary>
internal sealed record StoredReply(int Status, byte[]? Body, string? Location, bool Replayed) : IResult
{
    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var response = httpContext.Response;
        response.StatusCode = Status;
        if (Location is not null)
            response.Headers.Location = Location;
        if (Replayed)
            response.Headers[Idempotency.ReplayedHeader] = "true";
        if (Body is null)
            return;

        response.ContentType = "application/json; charset=utf-8";
        response.ContentLength = Body.Length;
        await response.Body.WriteAsync(Body, httpContext.RequestAborted);
    }
}
