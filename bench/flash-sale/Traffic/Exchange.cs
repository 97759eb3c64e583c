namespace Marketplace.Bench.FlashSale.Traffic;

/// <summary>One request at a time and what becomes of its answer. Methods are called on the sockets' thread, never two at once.</summary>
internal abstract class Exchange
{
    /// <summary>When it should have been sent, as <see cref="System.Diagnostics.Stopwatch"/> counts.</summary>
    public long Due { get; set; }

    public abstract Kind Kind { get; }

    public abstract void Write(RequestWriter request);

    /// <summary>What the answer leads to at once, on the same connection; null when there is nothing to ask now.</summary>
    public abstract Exchange? OnReply(in Reply reply);

    /// <summary>No answer: the connection broke, could not be made, or stayed silent too long.</summary>
    public abstract void OnFailure(string why);
}

/// <summary>Valid until the method it is given to returns.</summary>
internal readonly ref struct Reply(int status, TimeSpan? retryAfter, ReadOnlySpan<byte> body)
{
    public int Status => status;

    public TimeSpan? RetryAfter => retryAfter;

    public ReadOnlySpan<byte> Body { get; } = body;
}
