using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;

namespace Marketplace.WaitingRoom;

/// <summary>
/// Signs tickets and reads them (HMAC-SHA-256, RFC 2104, cut to 16 bytes). The first key signs, every one is accepted, so that a key is
/// changed by adding the new one where tickets are read, then putting it in front, and dropping the old one after the last sale that knew it.
/// </summary>
/// <remarks>base64url (RFC 4648 §5) of: version (1), sale (16), buyer (16), late (1), number (8), expiry in Unix seconds (8), signature (16); integers big-endian.</remarks>
public sealed class TicketKeys
{
    /// <summary>Where the keys are kept, and the setting that stands in for it in tests.</summary>
    public const string Secret = "queue-ticket-keys";
    public const string Setting = "QueueTickets:Keys";

    public const int SmallestKey = 32;
    public const int TextLength = 88;

    private const byte Version = 1;
    private const int Signed = 1 + 16 + 16 + 1 + 8 + 8;
    private const int Signature = 16;
    private const int Size = Signed + Signature;

    private readonly byte[][] keys;

    public TicketKeys(IReadOnlyList<byte[]> keys)
    {
        if (keys.Count == 0 || keys.Any(key => key.Length < SmallestKey))
            throw new ArgumentException($"At least one key, each of {SmallestKey} bytes or more.", nameof(keys));
        this.keys = [.. keys];
    }

    /// <summary>As <see cref="Secret"/> holds them: base64, separated by commas, the one that signs first.</summary>
    public static TicketKeys Parse(string secret) =>
        new([.. secret.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(Convert.FromBase64String)]);

    public string Sign(Ticket ticket)
    {
        Span<byte> bytes = stackalloc byte[Size];
        bytes[0] = Version;
        ticket.SaleId.TryWriteBytes(bytes[1..], bigEndian: true, out _);
        ticket.BuyerId.TryWriteBytes(bytes[17..], bigEndian: true, out _);
        bytes[33] = ticket.Late ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteInt64BigEndian(bytes[34..], ticket.Number);
        BinaryPrimitives.WriteInt64BigEndian(bytes[42..], ticket.Expires.ToUnixTimeSeconds());
        Write(keys[0], bytes[..Signed], bytes[Signed..]);
        return Base64Url.EncodeToString(bytes);
    }

    // Past this year nothing is sold; what a caller with a key makes up must not reach DateTimeOffset's own limits.
    private static readonly long LastExpiry = new DateTimeOffset(9999, 1, 1, 0, 0, 0, TimeSpan.Zero).ToUnixTimeSeconds();

    /// <summary>The ticket is given unless the fault is <see cref="TicketFault.Malformed"/> or <see cref="TicketFault.Forged"/>.</summary>
    public TicketFault Read(ReadOnlySpan<char> text, DateTimeOffset now, out Ticket? ticket)
    {
        ticket = null;
        Span<byte> bytes = stackalloc byte[Size];
        if (text.Length != TextLength || !Base64Url.IsValid(text) || !Base64Url.TryDecodeFromChars(text, bytes, out var written) || written != Size
            || bytes[0] != Version || bytes[33] > 1)
            return TicketFault.Malformed;
        if (!IsSigned(bytes))
            return TicketFault.Forged;

        var number = BinaryPrimitives.ReadInt64BigEndian(bytes[34..]);
        var expires = BinaryPrimitives.ReadInt64BigEndian(bytes[42..]);
        if (number < 0 || expires < 0 || expires > LastExpiry)
            return TicketFault.Malformed;
        ticket = new Ticket(
            new Guid(bytes[1..17], bigEndian: true), new Guid(bytes[17..33], bigEndian: true), bytes[33] == 1, number, DateTimeOffset.FromUnixTimeSeconds(expires));
        return now >= ticket.Expires ? TicketFault.Expired : TicketFault.None;
    }

    private bool IsSigned(ReadOnlySpan<byte> bytes)
    {
        Span<byte> ours = stackalloc byte[Signature];
        foreach (var key in keys)
        {
            Write(key, bytes[..Signed], ours);
            if (CryptographicOperations.FixedTimeEquals(ours, bytes[Signed..]))
                return true;
        }
        return false;
    }

    private static void Write(byte[] key, ReadOnlySpan<byte> signed, Span<byte> to)
    {
        Span<byte> whole = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(key, signed, whole);
        whole[..Signature].CopyTo(to);
    }
}
