using System.Buffers.Text;

namespace Marketplace.Bench.FlashSale.Traffic;

/// <summary>
/// Reads one HTTP/1.1 answer after the other out of the bytes of a connection: those with a length, those in chunks, those without a body.
/// A stream of events is handed out line by line as it comes.
/// </summary>
internal sealed class ResponseReader
{
    private byte[] buffer = new byte[8192];
    private byte[] body = new byte[8192];
    private int start;
    private int end;
    private int bodyLength;
    private int remaining;
    private State state = State.Head;
    private bool chunked;

    private enum State
    {
        Head,
        Body,
        ChunkSize,
        Chunk,
        ChunkEnd,
        Trailer,
        Complete,
    }

    public int Status { get; private set; }

    public TimeSpan? RetryAfter { get; private set; }

    public bool KeepAlive { get; private set; }

    public bool IsEventStream { get; private set; }

    public ReadOnlySpan<byte> Body => body.AsSpan(0, bodyLength);

    public bool HasHead => state != State.Head;

    /// <summary>Where to put what the socket gives.</summary>
    public Memory<byte> Free()
    {
        if (start == end) start = end = 0;
        if (buffer.Length - end < 2048)
        {
            var held = end - start;
            if (held > buffer.Length / 2) Array.Resize(ref buffer, buffer.Length * 2);
            buffer.AsSpan(start, held).CopyTo(buffer);
            (start, end) = (0, held);
        }

        return buffer.AsMemory(end);
    }

    public void Filled(int bytes) => end += bytes;

    /// <summary>Ready for the next answer.</summary>
    public void Reset()
    {
        state = State.Head;
        bodyLength = 0;
    }

    /// <summary>True when the answer is whole. Faults are <see cref="InvalidDataException"/>.</summary>
    public bool Read()
    {
        while (true)
        {
            var bytes = buffer.AsSpan(start, end - start);
            switch (state)
            {
                case State.Head:
                    var headEnd = bytes.IndexOf("\r\n\r\n"u8);
                    if (headEnd < 0) return false;
                    ReadHead(bytes[..(headEnd + 2)]);
                    start += headEnd + 4;
                    break;
                case State.Body or State.Chunk:
                    var taken = Math.Min(remaining, bytes.Length);
                    Keep(bytes[..taken]);
                    start += taken;
                    remaining -= taken;
                    if (remaining > 0) return false;
                    state = state == State.Body ? State.Complete : State.ChunkEnd;
                    break;
                case State.ChunkSize:
                    var line = bytes.IndexOf("\r\n"u8);
                    if (line < 0) return false;
                    if (!Utf8Parser.TryParse(bytes[..line], out remaining, out _, 'x')) throw new InvalidDataException("A chunk without a size.");
                    start += line + 2;
                    state = remaining == 0 ? State.Trailer : State.Chunk;
                    break;
                case State.ChunkEnd or State.Trailer:
                    if (bytes.Length < 2) return false;
                    start += 2;
                    state = state == State.ChunkEnd ? State.ChunkSize : State.Complete;
                    break;
                case State.Complete:
                    return true;
            }
        }
    }

    /// <summary>The next line of a stream of events, without its end; false when it has not come yet.</summary>
    public bool TakeLine(out ReadOnlySpan<byte> line)
    {
        line = default;
        var length = Body.IndexOf((byte)'\n');
        if (length < 0) return false;
        line = Body[..length].ToArray();
        body.AsSpan(length + 1, bodyLength - length - 1).CopyTo(body);
        bodyLength -= length + 1;
        return true;
    }

    private void ReadHead(ReadOnlySpan<byte> head)
    {
        if (head.Length < 14 || !head.StartsWith("HTTP/1.1 "u8) || !Utf8Parser.TryParse(head[9..12], out int status, out _)) throw new InvalidDataException("Not an HTTP/1.1 answer.");
        (Status, RetryAfter, KeepAlive, IsEventStream, chunked) = (status, null, true, false, false);
        remaining = 0;
        var rest = head[(head.IndexOf("\r\n"u8) + 2)..];
        while (rest.Length > 2)
        {
            var field = rest[..rest.IndexOf("\r\n"u8)];
            rest = rest[(field.Length + 2)..];
            if (Is(field, "content-length:"u8, out var value)) remaining = Utf8Parser.TryParse(value, out int length, out _) ? length : throw new InvalidDataException("A length that is no number.");
            else if (Is(field, "transfer-encoding:"u8, out _)) chunked = true;
            else if (Is(field, "retry-after:"u8, out value) && Utf8Parser.TryParse(value, out int seconds, out _)) RetryAfter = TimeSpan.FromSeconds(seconds);
            else if (Is(field, "connection:"u8, out value) && value.SequenceEqual("close"u8)) KeepAlive = false;
            else if (Is(field, "content-type:"u8, out value)) IsEventStream = value.StartsWith("text/event-stream"u8);
        }

        state = status is 204 or 304 ? State.Complete : chunked ? State.ChunkSize : remaining > 0 ? State.Body : State.Complete;
    }

    private static bool Is(ReadOnlySpan<byte> field, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        if (field.Length < name.Length) return false;
        for (var at = 0; at < name.Length; at++)
            if ((field[at] | (field[at] is >= (byte)'A' and <= (byte)'Z' ? 0x20 : 0)) != name[at]) return false;
        value = field[name.Length..].TrimStart((byte)' ');
        return true;
    }

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        if (bodyLength + bytes.Length > body.Length) Array.Resize(ref body, Math.Max(body.Length * 2, bodyLength + bytes.Length));
        bytes.CopyTo(body.AsSpan(bodyLength));
        bodyLength += bytes.Length;
    }
}
