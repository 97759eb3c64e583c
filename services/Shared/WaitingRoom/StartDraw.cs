using System.Buffers.Binary;
using System.Numerics;
using System.Security.Cryptography;

namespace Marketplace.WaitingRoom;

/// <summary>
/// Shuffles everybody who came before the start, without a table: a permutation of [0, early) under a seed that nobody knows before the
/// draw. Whoever holds the seed computes anybody's rank, and anybody can check a draw afterwards.
/// </summary>
/// <remarks>
/// A balanced Feistel network over the next even power of two, of six rounds, whose round function is HMAC-SHA-256 under the seed; a result outside of the range is
/// put in again until one lies inside (cycle walking: Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Fewer than four
/// passes on average.
/// </remarks>
public static class StartDraw
{
    public const int SeedSize = 32;
    private const int Rounds = 6;

    public static byte[] NewSeed() => RandomNumberGenerator.GetBytes(SeedSize);

    /// <summary>Where the draw put an early number: 0 is let in first.</summary>
    public static long RankOf(ReadOnlySpan<byte> seed, long early, long number)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(number);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(number, early);
        if (early == 1)
            return 0;

        var half = (64 - BitOperations.LeadingZeroCount((ulong)(early - 1)) + 1) / 2;
        var rank = (ulong)number;
        do
        {
            rank = Encrypt(seed, half, rank);
        }
        while (rank >= (ulong)early);
        return (long)rank;
    }

    private static ulong Encrypt(ReadOnlySpan<byte> seed, int half, ulong value)
    {
        var mask = (1UL << half) - 1;
        var (left, right) = (value >> half, value & mask);
        Span<byte> input = stackalloc byte[9];
        Span<byte> output = stackalloc byte[HMACSHA256.HashSizeInBytes];
        for (byte round = 0; round < Rounds; round++)
        {
            input[0] = round;
            BinaryPrimitives.WriteUInt64BigEndian(input[1..], right);
            HMACSHA256.HashData(seed, input, output);
            (left, right) = (right, left ^ (BinaryPrimitives.ReadUInt64BigEndian(output) & mask));
        }
        return (left << half) | right;
    }
}
