using System.Buffers.Text;
using System.Text;
using Dapr;
using Dapr.Client;
using Grpc.Core;

namespace Marketplace.Catalog.ProductPages;

/// <summary>A listing as every shopper gets it: rendered once, with the ETag it goes by.</summary>
public sealed record RenderedPage(string ETag, ReadOnlyMemory<byte> Json);

public enum Shelf
{
    /// <summary>Nobody put it there, or it was there for long enough.</summary>
    Empty,

    Held,

    /// <summary>Put there before the store was last away. A withdrawal may have been missed since: only for want of anything better.</summary>
    Doubtful,

    /// <summary>The listing has just changed: nothing can be put there for a moment.</summary>
    Closed,

    /// <summary>The store does not answer.</summary>
    Away,
}

public readonly record struct Found(Shelf Shelf, RenderedPage? Page = null);

/// <summary>Where replicas leave rendered pages for each other. Nothing on it is needed.</summary>
public interface IPageShelf
{
    Task<Found> TakeAsync(Guid productId, CancellationToken ct);

    /// <summary>Leaves a page where none is. Refused, which is no fault, when another is there or the place is closed.</summary>
    Task PutAsync(Guid productId, RenderedPage page, CancellationToken ct);

    /// <summary>Takes the page away and closes its place. Throws <see cref="TimeoutException"/> while the store does not answer: it has to be done again.</summary>
    Task WithdrawAsync(Guid productId, CancellationToken ct);
}

/// <summary>
/// The shelf in the state store <c>cache</c>.
/// <para>
/// A reader may have read a row before it changed and come to put it here after the change was announced; for five minutes that would be
/// the price. So pages are put only where nothing is (a first write), and a withdrawal leaves a mark in the page's place that outlives
/// every reader who might still hold the old row: <see cref="Closed"/> is five times the age at which a reader gives up putting.
/// </para>
/// </summary>
public sealed partial class StateStoreShelf(DaprClient dapr, TimeProvider time, ILogger<StateStoreShelf> log) : IPageShelf
{
    public static readonly TimeSpan Kept = TimeSpan.FromMinutes(5);

    /// <summary>How long nothing can be put after a change.</summary>
    public static readonly TimeSpan Closed = TimeSpan.FromSeconds(5);

    private const string Store = "cache";
    private const int Tries = 5;
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LeftAlone = TimeSpan.FromSeconds(5);
    private static readonly StateOptions First = new() { Concurrency = ConcurrencyMode.FirstWrite };
    private static readonly ReadOnlyMemory<byte> ClosedMark = "closed"u8.ToArray();

    private long again;
    private long failedAt;

    public async Task<Found> TakeAsync(Guid productId, CancellationToken ct)
    {
        if (!MayAsk())
            return new(Shelf.Away);

        ReadOnlyMemory<byte> kept = default;
        if (!await TryAsync(async patient => kept = await dapr.GetByteStateAsync(Store, Key(productId), cancellationToken: patient), null, ct))
            return new(Shelf.Away);
        if (kept.IsEmpty)
            return new(Shelf.Empty);
        if (!TryRead(kept, out var page, out var putAt))
            return new(Shelf.Closed);
        return new(putAt > Volatile.Read(ref failedAt) ? Shelf.Held : Shelf.Doubtful, page);
    }

    public async Task PutAsync(Guid productId, RenderedPage page, CancellationToken ct)
    {
        if (MayAsk())
            await TryAsync(patient => dapr.SaveByteStateAsync(Store, Key(productId), Write(page), First, Keeping(Kept), patient), static () => { }, ct);
    }

    public async Task WithdrawAsync(Guid productId, CancellationToken ct)
    {
        // Not deleted and marked in one transaction: daprd's transactions on Redis leave out that a write is a first write, and then the next
        // one would pass. Between the two calls a reader may put the old page, each reader once.
        for (var tried = 1; tried <= Tries; tried++)
        {
            if (!await TryAsync(patient => dapr.DeleteStateAsync(Store, Key(productId), cancellationToken: patient), null, ct))
                break;
            var marked = true;
            if (!await TryAsync(patient => dapr.SaveByteStateAsync(Store, Key(productId), ClosedMark, First, Keeping(Closed), patient), () => marked = false, ct))
                break;
            if (marked)
                return;
        }

        throw new TimeoutException("The state store cache does not take back a product page.");
    }

    private static string Key(Guid productId) => $"product:{productId:N}";

    private static Dictionary<string, string> Keeping(TimeSpan time) => new() { ["ttlInSeconds"] = $"{(int)time.TotalSeconds}" };

    // "<unix ms> <ETag>\n<JSON>": read without taking the JSON apart.
    private ReadOnlyMemory<byte> Write(RenderedPage page)
    {
        var head = Encoding.UTF8.GetBytes($"{time.GetUtcNow().ToUnixTimeMilliseconds()} {page.ETag}\n");
        var bytes = new byte[head.Length + page.Json.Length];
        head.CopyTo(bytes, 0);
        page.Json.CopyTo(bytes.AsMemory(head.Length));
        return bytes;
    }

    private static bool TryRead(ReadOnlyMemory<byte> kept, out RenderedPage? page, out long putAt)
    {
        page = null;
        var end = kept.Span.IndexOf((byte)'\n');
        if (end < 0 || !Utf8Parser.TryParse(kept.Span[..end], out putAt, out var digits) || digits + 1 >= end)
        {
            putAt = 0;
            return false;
        }

        page = new RenderedPage(Encoding.UTF8.GetString(kept.Span[(digits + 1)..end]), kept[(end + 1)..]);
        return true;
    }

    /// <summary>While the store is left alone nobody asks; then one does, and the others wait for how it went.</summary>
    private bool MayAsk()
    {
        var until = Volatile.Read(ref again);
        var now = Now();
        return now >= until && (until == 0 || Interlocked.CompareExchange(ref again, now + (long)Patience.TotalMilliseconds, until) == until);
    }

    /// <param name="refused">For a first write; null where the store has nothing to refuse.</param>
    private async Task<bool> TryAsync(Func<CancellationToken, Task> ask, Action? refused, CancellationToken ct)
    {
        using var patient = CancellationTokenSource.CreateLinkedTokenSource(ct);
        patient.CancelAfter(Patience);
        try
        {
            await ask(patient.Token);
            Volatile.Write(ref again, 0);
            return true;
        }
        catch (Exception no) when (refused is not null && Call(no) is { StatusCode: StatusCode.Internal or StatusCode.Aborted or StatusCode.FailedPrecondition })
        {
            // A store that is broken says Internal too; the next one who takes from it finds that out.
            refused();
            return true;
        }
        catch (Exception away) when (away is DaprException or RpcException or OperationCanceledException or HttpRequestException && !ct.IsCancellationRequested)
        {
            var now = Now();
            Volatile.Write(ref failedAt, now);
            Volatile.Write(ref again, now + (long)LeftAlone.TotalMilliseconds);
            LogAway((Call(away) ?? away).Message);
            return false;
        }
    }

    private static RpcException? Call(Exception fault) => fault as RpcException ?? (fault as DaprException)?.InnerException as RpcException;

    private long Now() => time.GetUtcNow().ToUnixTimeMilliseconds();

    [LoggerMessage(LogLevel.Warning, "The state store cache does not answer, product pages are read from the database ({Reason})")]
    private partial void LogAway(string reason);
}
