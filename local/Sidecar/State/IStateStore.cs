namespace Marketplace.Local.Sidecar.State;

/// <summary>
/// A store of bytes under full keys (the prefix of the app is already in them). ETags are the store's own text. Every method may be
/// called concurrently; what a returned task acknowledged survives the death of this process.
/// </summary>
public interface IStateStore : IAsyncDisposable
{
    /// <summary>What the metadata API lists, such as ETAG, TRANSACTIONAL, TTL, ACTOR.</summary>
    IReadOnlyList<string> Capabilities { get; }

    ValueTask<StateEntry?> GetAsync(string key, CancellationToken ct);

    /// <summary>One entry per key, in the order asked; null where there is none.</summary>
    ValueTask<IReadOnlyList<StateEntry?>> GetManyAsync(IReadOnlyList<string> keys, CancellationToken ct);

    ValueTask<StateResult> SetAsync(StateWrite write, CancellationToken ct);

    ValueTask<StateResult> DeleteAsync(StateWrite write, CancellationToken ct);

    /// <summary>Applies writes and deletes in order, all or nothing (Redis keeps its own rule: an ETag that fails does not undo the others).</summary>
    ValueTask<StateResult> TransactAsync(IReadOnlyList<StateWrite> writes, CancellationToken ct);

    /// <summary>
    /// Whether a failure means that these writes will never be taken, however often they are tried: a value or key that the store cannot hold.
    /// False for a store that is away, full or busy.
    /// </summary>
    bool IsRefusal(Exception failure) => false;

    /// <summary>Keys that start with the prefix, in ordinal order where the store can.</summary>
    IAsyncEnumerable<string> ListKeysAsync(string prefix, CancellationToken ct);
}

public sealed record StateEntry(ReadOnlyMemory<byte> Value, string ETag, DateTimeOffset? ExpiresAt = null);

/// <param name="Delete">Delete instead of write; only read by <see cref="IStateStore.TransactAsync"/>.</param>
/// <param name="Json">The value is JSON text (saved over HTTP or with contentType=application/json): stores with a JSON column keep it readable.</param>
/// <param name="TtlSeconds">Null keeps the store's rule for "no expiry given"; 0 or less clears an expiry.</param>
public readonly record struct StateWrite(
    string Key,
    ReadOnlyMemory<byte> Value = default,
    string? ETag = null,
    StateConcurrency Concurrency = StateConcurrency.Unspecified,
    int? TtlSeconds = null,
    bool Json = false,
    bool Delete = false);

public enum StateConcurrency
{
    Unspecified,
    FirstWrite,
    LastWrite,
}

public enum StateVerdict
{
    Done,

    /// <summary>The ETag is not the current one: 409 or Aborted.</summary>
    Mismatch,

    /// <summary>The ETag could never be one of this store: 400 or InvalidArgument.</summary>
    InvalidETag,

    /// <summary>Refused in another way: 500 or Internal.</summary>
    Refused,
}

public readonly record struct StateResult(StateVerdict Verdict, string? Message = null)
{
    public static readonly StateResult Done = new(StateVerdict.Done);
    public static readonly StateResult Mismatch = new(StateVerdict.Mismatch, "possible etag mismatch. error from state store");

    public bool Ok => Verdict == StateVerdict.Done;
}
