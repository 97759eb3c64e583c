using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Marketplace.Gateway.Limits;

/// <summary>Whom a limit counts: a subject, an IPv4 address, or the /64 of an IPv6 address (which is what one household or one attacker holds).</summary>
public readonly record struct ClientKey(ulong High, ulong Low)
{
    public static ClientKey Of(Guid subject)
    {
        Span<byte> bytes = stackalloc byte[16];
        subject.TryWriteBytes(bytes);
        return new(BinaryPrimitives.ReadUInt64LittleEndian(bytes), BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]));
    }

    public static ClientKey Of(IPAddress? address)
    {
        if (address is null)
            return default;
        Span<byte> bytes = stackalloc byte[16];
        if (address.AddressFamily == AddressFamily.InterNetworkV6 && !address.IsIPv4MappedToIPv6)
        {
            address.TryWriteBytes(bytes, out _);
            return new(BinaryPrimitives.ReadUInt64BigEndian(bytes), 6);
        }
        address.MapToIPv4().TryWriteBytes(bytes, out _);
        return new(BinaryPrimitives.ReadUInt32BigEndian(bytes), 4);
    }
}

/// <param name="Reset">Until everything is available again.</param>
/// <param name="RetryAfter">Until the next request is let in; zero when this one is.</param>
public readonly record struct Verdict(bool Admitted, int Remaining, TimeSpan Reset, TimeSpan RetryAfter);

/// <summary>
/// So many requests per client in a window, spread evenly (the generic cell rate algorithm): a client's whole history is one number, the
/// time at which it has paid off what it asked. It tells exactly what remains and when, which the framework's limiters do not, and a
/// request costs one dictionary look-up and no allocation.
/// </summary>
public sealed class RateGate(int permits, TimeSpan window, TimeProvider time, int mostClients = 100_000)
{
    private readonly long windowTicks = window.Ticks;
    private readonly long costTicks = Math.Max(1, window.Ticks / permits);
    private readonly ConcurrentDictionary<ClientKey, Debt> debts = new();

    // Those who come when the table is full of others share one account: the limit fails closed, and memory is bounded.
    private readonly Debt crowd = new();
    private long sweptAt;

    public int Permits => permits;

    public int Clients => debts.Count;

    public TimeSpan Window => window;

    public Verdict Ask(ClientKey client)
    {
        var now = time.GetUtcNow().UtcTicks;
        var debt = DebtOf(client, now);
        while (true)
        {
            var before = Volatile.Read(ref debt.PaidOffAt);
            var after = Math.Max(before, now) + costTicks;
            var owed = after - now;
            if (owed > windowTicks)
                return new(false, 0, TimeSpan.FromTicks(owed - costTicks), TimeSpan.FromTicks(owed - windowTicks));
            if (Interlocked.CompareExchange(ref debt.PaidOffAt, after, before) == before)
                return new(true, (int)((windowTicks - owed) / costTicks), TimeSpan.FromTicks(owed), TimeSpan.Zero);
        }
    }

    private Debt DebtOf(ClientKey client, long now)
    {
        if (debts.TryGetValue(client, out var debt))
            return debt;

        var last = Volatile.Read(ref sweptAt);
        if (now - last > windowTicks && Interlocked.CompareExchange(ref sweptAt, now, last) == last)
        {
            // Who owes nothing is the same as somebody new.
            foreach (var (key, known) in debts)
            {
                if (Volatile.Read(ref known.PaidOffAt) <= now)
                    debts.TryRemove(key, out _);
            }
        }
        return debts.Count < mostClients ? debts.GetOrAdd(client, static _ => new()) : crowd;
    }

    private sealed class Debt
    {
        public long PaidOffAt;
    }
}
