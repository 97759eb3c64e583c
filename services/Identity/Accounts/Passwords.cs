using System.Buffers.Text;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Security.Cryptography;
using Microsoft.Extensions.Options;

namespace Marketplace.Identity.Accounts;

public sealed class PasswordOptions
{
    /// <summary>OWASP's figure for PBKDF2 with SHA-256. A stored hash with fewer is renewed when its owner signs in.</summary>
    [Range(1_000, 10_000_000)]
    public int Iterations { get; set; } = 600_000;

    /// <summary>Hashes computed at once, 0 for one per processor but one: sign-ins must not starve the rest of the service.</summary>
    [Range(0, 64)]
    public int AtOnce { get; set; }
}

public enum PasswordVerdict
{
    Wrong,
    Right,

    /// <summary>Right, but kept with fewer iterations than we use now.</summary>
    RightButWeak,
}

/// <summary>PBKDF2-SHA256, kept as <c>pbkdf2-sha256$iterations$salt$hash</c>.</summary>
public sealed class Passwords : IDisposable
{
    public const int Shortest = 10;
    public const int Longest = 200;

    private const string Scheme = "pbkdf2-sha256";
    private const int SaltBytes = 16;
    private const int HashBytes = 32;

    private readonly int iterations;
    private readonly SemaphoreSlim gate;

    // What an unknown e-mail is checked against, so that it takes as long as a known one.
    private readonly string nobody;

    public Passwords(IOptions<PasswordOptions> options)
    {
        iterations = options.Value.Iterations;
        gate = new(options.Value.AtOnce > 0 ? options.Value.AtOnce : Math.Max(1, Environment.ProcessorCount - 1));
        nobody = Text(RandomNumberGenerator.GetBytes(SaltBytes), RandomNumberGenerator.GetBytes(HashBytes));
    }

    public async Task<string> HashAsync(string password, CancellationToken ct)
    {
        var salt = RandomNumberGenerator.GetBytes(SaltBytes);
        return Text(salt, await DeriveAsync(password, salt, iterations, ct));
    }

    /// <summary>Null for <paramref name="stored"/> stands for an unknown account: the work is done all the same and the verdict is "wrong".</summary>
    public async Task<PasswordVerdict> CheckAsync(string password, string? stored, CancellationToken ct)
    {
        var parts = (stored ?? nobody).Split('$');
        if (parts is not [Scheme, var count, var salt, var hash])
            throw new InvalidOperationException("A stored password hash has an unknown form.");

        var rounds = int.Parse(count, NumberStyles.None, CultureInfo.InvariantCulture);
        var derived = await DeriveAsync(password, Base64Url.DecodeFromChars(salt), rounds, ct);
        var same = CryptographicOperations.FixedTimeEquals(derived, Base64Url.DecodeFromChars(hash));
        if (!same || stored is null)
            return PasswordVerdict.Wrong;
        return rounds < iterations ? PasswordVerdict.RightButWeak : PasswordVerdict.Right;
    }

    public void Dispose() => gate.Dispose();

    private async Task<byte[]> DeriveAsync(string password, byte[] salt, int rounds, CancellationToken ct)
    {
        await gate.WaitAsync(ct);
        try
        {
            return Rfc2898DeriveBytes.Pbkdf2(password, salt, rounds, HashAlgorithmName.SHA256, HashBytes);
        }
        finally
        {
            gate.Release();
        }
    }

    private string Text(byte[] salt, byte[] hash) =>
        string.Create(CultureInfo.InvariantCulture, $"{Scheme}${iterations}${Base64Url.EncodeToString(salt)}${Base64Url.EncodeToString(hash)}");
}
