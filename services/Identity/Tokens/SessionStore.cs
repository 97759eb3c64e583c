using System.Buffers.Text;
using System.Security.Cryptography;
using Npgsql;

namespace Marketplace.Identity.Tokens;

/// <summary>A sign-in and the one refresh token that continues it.</summary>
public sealed record SessionTicket(Guid SessionId, Guid AccountId, string RefreshToken);

public enum RefreshVerdict
{
    Continued,

    /// <summary>Never issued, expired, or its session has ended.</summary>
    NotValid,

    /// <summary>It had been used before. Two hold it, one of them a thief: the whole session has been ended.</summary>
    Reused,
}

public readonly record struct Refreshed(RefreshVerdict Verdict, SessionTicket? Ticket = null);

public sealed class SessionStore(NpgsqlDataSource database, TimeProvider time)
{
    private const int TokenBytes = 32;

    // A session that is never left would otherwise collect a row every few minutes. An older token is refused all the same.
    private static readonly TimeSpan UsedTokensKeptFor = TimeSpan.FromDays(7);

    public async Task<SessionTicket> StartAsync(Guid accountId, TimeSpan lifetime, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        var sessionId = Guid.CreateVersion7(now);
        var token = RandomNumberGenerator.GetBytes(TokenBytes);

        // The account's expired sessions go on the way, so that nobody has to sweep.
        await using var command = database.CreateCommand("""
            WITH expired AS (
                DELETE FROM sessions WHERE account_id = $2 AND expires_at < $3
            ), session AS (
                INSERT INTO sessions (session_id, account_id, started_at, expires_at) VALUES ($1, $2, $3, $4)
                RETURNING session_id
            )
            INSERT INTO refresh_tokens (token_hash, session_id, issued_at) SELECT $5, session_id, $3 FROM session
            """);
        command.Parameters.Add(new() { Value = sessionId });
        command.Parameters.Add(new() { Value = accountId });
        command.Parameters.Add(new() { Value = now });
        command.Parameters.Add(new() { Value = now + lifetime });
        command.Parameters.Add(new() { Value = SHA256.HashData(token) });
        await command.ExecuteNonQueryAsync(ct);
        return new(sessionId, accountId, Base64Url.EncodeToString(token));
    }

    /// <summary>
    /// Uses a token up and hands out the next. The update is the verdict: of two that come with the same token at once, one continues
    /// the session and the other ends it.
    /// </summary>
    public async Task<Refreshed> RefreshAsync(string refreshToken, TimeSpan lifetime, CancellationToken ct)
    {
        if (!TryHash(refreshToken, out var hash))
            return new(RefreshVerdict.NotValid);

        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var use = new NpgsqlCommand("""
            UPDATE refresh_tokens t SET used_at = $2
            FROM sessions s
            WHERE t.token_hash = $1 AND t.used_at IS NULL
              AND s.session_id = t.session_id AND s.revoked_at IS NULL AND s.expires_at > $2
            RETURNING s.session_id, s.account_id
            """, connection, tx)
        { Parameters = { new() { Value = hash }, new() { Value = now } } };

        (Guid SessionId, Guid AccountId)? session = null;
        await using (var reader = await use.ExecuteReaderAsync(ct))
        {
            if (await reader.ReadAsync(ct))
                session = (reader.GetGuid(0), reader.GetGuid(1));
        }

        if (session is not { } found)
        {
            var reused = await EndReusedAsync(connection, tx, hash, now, ct);
            await tx.CommitAsync(ct);
            return new(reused ? RefreshVerdict.Reused : RefreshVerdict.NotValid);
        }

        var next = RandomNumberGenerator.GetBytes(TokenBytes);
        await using var issue = new NpgsqlCommand("""
            WITH longer AS (
                UPDATE sessions SET expires_at = $4 WHERE session_id = $2
            ), old AS (
                DELETE FROM refresh_tokens WHERE session_id = $2 AND used_at < $5
            )
            INSERT INTO refresh_tokens (token_hash, session_id, issued_at) VALUES ($1, $2, $3)
            """, connection, tx)
        {
            Parameters =
            {
                new() { Value = SHA256.HashData(next) }, new() { Value = found.SessionId }, new() { Value = now },
                new() { Value = now + lifetime }, new() { Value = now - UsedTokensKeptFor },
            },
        };
        await issue.ExecuteNonQueryAsync(ct);
        await tx.CommitAsync(ct);
        return new(RefreshVerdict.Continued, new(found.SessionId, found.AccountId, Base64Url.EncodeToString(next)));
    }

    public async Task EndAsync(Guid sessionId, Guid accountId, string reason, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            UPDATE sessions SET revoked_at = $3, reason = $4
            WHERE session_id = $1 AND account_id = $2 AND revoked_at IS NULL
            """);
        command.Parameters.Add(new() { Value = sessionId });
        command.Parameters.Add(new() { Value = accountId });
        command.Parameters.Add(new() { Value = time.GetUtcNow() });
        command.Parameters.Add(new() { Value = reason });
        await command.ExecuteNonQueryAsync(ct);
    }

    private static async Task<bool> EndReusedAsync(NpgsqlConnection connection, NpgsqlTransaction tx, byte[] hash, DateTimeOffset now, CancellationToken ct)
    {
        await using var end = new NpgsqlCommand("""
            UPDATE sessions s SET revoked_at = coalesce(s.revoked_at, $2), reason = coalesce(s.reason, 'refresh token reused')
            FROM refresh_tokens t
            WHERE t.token_hash = $1 AND t.used_at IS NOT NULL AND s.session_id = t.session_id
            """, connection, tx)
        { Parameters = { new() { Value = hash }, new() { Value = now } } };
        return await end.ExecuteNonQueryAsync(ct) > 0;
    }

    private static bool TryHash(string refreshToken, out byte[] hash)
    {
        hash = [];
        if (refreshToken.Length > 100 || !Base64Url.IsValid(refreshToken))
            return false;
        hash = SHA256.HashData(Base64Url.DecodeFromChars(refreshToken));
        return true;
    }
}
