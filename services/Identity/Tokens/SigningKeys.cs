using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Marketplace.Hosting;
using Microsoft.Extensions.Options;
using Microsoft.IdentityModel.Tokens;
using Npgsql;

namespace Marketplace.Identity.Tokens;

public sealed class SigningKeyOptions
{
    /// <summary>
    /// Name of the secret that wraps private keys in the table (AES-256-GCM under its SHA-256). Empty: they are stored as they are, and
    /// who can read the table can sign tokens.
    /// </summary>
    public string WrappingSecret { get; set; } = "";

    public TimeSpan RotateAfter { get; set; } = TimeSpan.FromDays(90);

    /// <summary>How long a replica goes without looking whether another one made a new key.</summary>
    public TimeSpan ReloadAfter { get; set; } = TimeSpan.FromMinutes(5);
}

/// <summary>A public key as listeners fetch it (RFC 7517).</summary>
public sealed record PublicKey(string Kty, string Crv, string X, string Y, string Kid, string Use, string Alg);

public sealed record PublicKeys(IReadOnlyList<PublicKey> Keys);

/// <summary>
/// The ES256 keys in the table: the newest signs, every one that a living token may name is published. The first replica that finds none,
/// or only an old one, makes one under a lock; the others find it.
/// </summary>
public sealed partial class SigningKeys(
    NpgsqlDataSource database, SecretStore secrets, IOptions<SigningKeyOptions> options, TimeProvider time, ILogger<SigningKeys> log) : IDisposable
{
    // Longer than any token lives: a guest's lives a day.
    private static readonly TimeSpan PublishedAfterRotation = TimeSpan.FromDays(2);

    private readonly SigningKeyOptions options = options.Value;
    private readonly SemaphoreSlim loading = new(1);
    private KeySet? known;

    public async ValueTask<SigningCredentials> SignerAsync(CancellationToken ct) => (await KeysAsync(ct)).Signer;

    public async ValueTask<PublicKeys> PublishedAsync(CancellationToken ct) => (await KeysAsync(ct)).Published;

    public void Dispose() => loading.Dispose();

    private async ValueTask<KeySet> KeysAsync(CancellationToken ct)
    {
        var keys = Volatile.Read(ref known);
        if (keys is not null && time.GetUtcNow() - keys.ReadAt < options.ReloadAfter)
            return keys;

        await loading.WaitAsync(ct);
        try
        {
            if (known is { } fresh && time.GetUtcNow() - fresh.ReadAt < options.ReloadAfter)
                return fresh;
            keys = await LoadAsync(ct);
            Volatile.Write(ref known, keys);
            return keys;
        }
        catch (NpgsqlException e) when (known is not null)
        {
            // The keys in hand are still right. Without this, a database that is away for a moment would sign everybody out.
            LogNotReloaded(e);
            return known = known with { ReadAt = time.GetUtcNow() };
        }
        finally
        {
            loading.Release();
        }
    }

    private async Task<KeySet> LoadAsync(CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        var rows = await ReadAsync(connection, tx, now, ct);
        if (rows.Count == 0 || now - rows[0].CreatedAt > options.RotateAfter)
        {
            await using (var lockKeys = new NpgsqlCommand("SELECT pg_advisory_xact_lock(hashtext('signing_keys'))", connection, tx))
                await lockKeys.ExecuteNonQueryAsync(ct);

            // Another replica may have been first while we waited.
            rows = await ReadAsync(connection, tx, now, ct);
            if (rows.Count == 0 || now - rows[0].CreatedAt > options.RotateAfter)
            {
                rows.Insert(0, await CreateAsync(connection, tx, now, ct));
                LogCreated(rows[0].KeyId);
            }
        }
        await tx.CommitAsync(ct);

        var signer = new ECDsaSecurityKey(await PrivateKeyAsync(rows[0], ct)) { KeyId = rows[0].KeyId };
        return new(
            new(signer, SecurityAlgorithms.EcdsaSha256),
            new([.. rows.Select(row => new PublicKey(
                "EC", "P-256", Base64Url.EncodeToString(row.X), Base64Url.EncodeToString(row.Y), row.KeyId, "sig", SecurityAlgorithms.EcdsaSha256))]),
            now);
    }

    private async Task<List<KeyRow>> ReadAsync(NpgsqlConnection connection, NpgsqlTransaction tx, DateTimeOffset now, CancellationToken ct)
    {
        await using var read = new NpgsqlCommand("""
            SELECT key_id, public_x, public_y, private_key, wrapped_by, created_at
            FROM signing_keys WHERE created_at > $1
            ORDER BY created_at DESC, key_id DESC
            """, connection, tx)
        { Parameters = { new() { Value = now - options.RotateAfter - PublishedAfterRotation } } };

        List<KeyRow> rows = [];
        await using var reader = await read.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            rows.Add(new(
                reader.GetString(0), reader.GetFieldValue<byte[]>(1), reader.GetFieldValue<byte[]>(2), reader.GetFieldValue<byte[]>(3),
                reader.IsDBNull(4) ? null : reader.GetString(4), reader.GetFieldValue<DateTimeOffset>(5)));
        }
        return rows;
    }

    private async Task<KeyRow> CreateAsync(NpgsqlConnection connection, NpgsqlTransaction tx, DateTimeOffset now, CancellationToken ct)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var point = key.ExportParameters(includePrivateParameters: false).Q;
        var keyId = Guid.CreateVersion7(now).ToString("N");
        var wrappedBy = options.WrappingSecret.Length > 0 ? options.WrappingSecret : null;
        var stored = key.ExportPkcs8PrivateKey();
        if (wrappedBy is not null)
            stored = Wrap(stored, await WrappingKeyAsync(wrappedBy, ct), keyId);

        var row = new KeyRow(keyId, point.X!, point.Y!, stored, wrappedBy, now);
        await using var insert = new NpgsqlCommand("""
            INSERT INTO signing_keys (key_id, public_x, public_y, private_key, wrapped_by, created_at) VALUES ($1, $2, $3, $4, $5, $6)
            """, connection, tx)
        {
            Parameters =
            {
                new() { Value = row.KeyId }, new() { Value = row.X }, new() { Value = row.Y },
                new() { Value = row.PrivateKey }, new() { Value = (object?)row.WrappedBy ?? DBNull.Value }, new() { Value = row.CreatedAt },
            },
        };
        await insert.ExecuteNonQueryAsync(ct);
        return row;
    }

    private async Task<ECDsa> PrivateKeyAsync(KeyRow row, CancellationToken ct)
    {
        var pkcs8 = row.WrappedBy is { } secret ? Unwrap(row.PrivateKey, await WrappingKeyAsync(secret, ct), row.KeyId) : row.PrivateKey;
        var key = ECDsa.Create();
        key.ImportPkcs8PrivateKey(pkcs8, out _);
        return key;
    }

    private async Task<byte[]> WrappingKeyAsync(string secretName, CancellationToken ct)
    {
        var secret = await secrets.GetAsync(secretName, ct);
        return secret.Length >= 16
            ? SHA256.HashData(Encoding.UTF8.GetBytes(secret))
            : throw new InvalidOperationException($"Secret {secretName}, which wraps the signing keys, is shorter than 16 characters.");
    }

    internal static byte[] Wrap(byte[] plain, byte[] key, string keyId)
    {
        using var aes = new AesGcm(key, TagBytes);
        var wrapped = new byte[NonceBytes + TagBytes + plain.Length];
        var nonce = wrapped.AsSpan(0, NonceBytes);
        RandomNumberGenerator.Fill(nonce);
        aes.Encrypt(nonce, plain, wrapped.AsSpan(NonceBytes + TagBytes), wrapped.AsSpan(NonceBytes, TagBytes), Encoding.UTF8.GetBytes(keyId));
        return wrapped;
    }

    internal static byte[] Unwrap(byte[] wrapped, byte[] key, string keyId)
    {
        using var aes = new AesGcm(key, TagBytes);
        var plain = new byte[wrapped.Length - NonceBytes - TagBytes];
        aes.Decrypt(
            wrapped.AsSpan(0, NonceBytes), wrapped.AsSpan(NonceBytes + TagBytes), wrapped.AsSpan(NonceBytes, TagBytes), plain, Encoding.UTF8.GetBytes(keyId));
        return plain;
    }

    private const int NonceBytes = 12;
    private const int TagBytes = 16;

    [LoggerMessage(LogLevel.Information, "New signing key {KeyId}")]
    private partial void LogCreated(string keyId);

    [LoggerMessage(LogLevel.Warning, "The signing keys could not be read again; those in hand stay in use")]
    private partial void LogNotReloaded(Exception why);

    private sealed record KeySet(SigningCredentials Signer, PublicKeys Published, DateTimeOffset ReadAt);

    private sealed record KeyRow(string KeyId, byte[] X, byte[] Y, byte[] PrivateKey, string? WrappedBy, DateTimeOffset CreatedAt);
}
