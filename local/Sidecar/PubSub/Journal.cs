using System.Buffers;
using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>
/// The log under one pub/sub component: which groups exist, every message some group has not finished, and which group finished which message.
/// A publish is acknowledged after one write() that many concurrent publishes share. That survives the death of this process, not of the machine.
/// </summary>
/// <remarks>
/// Segments are deleted oldest first, once nothing in them is waited for: an acknowledgement always stands after its message, so no deletion can bring a
/// finished message back. Where a few old messages hold many finished segments, they are written again at the end and the old segment goes.
/// </remarks>
internal sealed partial class Journal : IAsyncDisposable
{
    private const int Frame = 8;                       // length, checksum
    private const int SmallestRecord = 1;

    private readonly string folder;
    private readonly JournalLimits limits;
    private readonly ILogger log;
    private readonly Lock gate = new();
    private readonly SemaphoreSlim work = new(0, 1);
    private readonly Dictionary<int, JournalGroup> groups = [];
    private readonly Dictionary<(string Topic, string App), JournalGroup> byName = [];
    private readonly LinkedList<Segment> segments = [];
    private readonly Task writer;
    private Batch open = new();
    private Batch spare = new();
    private List<Message> restored;
    private long nextSequence = 1;
    private int nextGroup = 1;
    private int nextSegment = 1;
    private long resident;
    private bool damaged;
    private bool stopping;

    public Journal(string folder, ILogger log, JournalLimits? limits = null)
    {
        this.folder = folder;
        this.log = log;
        this.limits = limits ?? new JournalLimits();
        Directory.CreateDirectory(folder);
        restored = Read();
        Roll();
        DropFinished();
        writer = Task.Run(WriteAsync);
    }

    /// <summary>Called on the writer's thread with every message that has just become durable, in order.</summary>
    public Action<Message>? Written { get; set; }

    /// <summary>What was unfinished when the journal was opened, oldest first; once.</summary>
    public IReadOnlyList<Message> TakeRestored()
    {
        var taken = restored;
        restored = [];
        return taken;
    }

    public IReadOnlyList<JournalGroup> Groups
    {
        get { lock (gate) return [.. groups.Values]; }
    }

    public long SizeOnDisk
    {
        get { lock (gate) return segments.Sum(segment => segment.Length); }
    }

    /// <summary>Makes a group known; it receives what is published from now on, also while its app is away.</summary>
    public async Task<JournalGroup> JoinAsync(string topic, string app)
    {
        JournalGroup group;
        Task written;
        lock (gate)
        {
            if (byName.TryGetValue((topic, app), out var known)) return known;
            group = new JournalGroup(nextGroup++, topic, app);
            Remember(group);
            WriteGroup(open.Buffer, group);
            written = Announce();
        }
        await written;
        return group;
    }

    /// <summary>The app no longer listens to the topic: its waiting messages go.</summary>
    public void Leave(JournalGroup group)
    {
        lock (gate)
        {
            if (!groups.Remove(group.Id)) return;
            byName.Remove((group.Topic, group.App));
            using (new Record(open.Buffer, Kind.GroupLeft)) WriteInt(open.Buffer, group.Id);
            foreach (var segment in segments)
                foreach (var message in segment.Live.Where(message => message.Groups.Contains(group.Id)).ToList())
                    Finish(message, group.Id);
            _ = Announce();
        }
    }

    /// <summary>Keeps the message for every group of its topic; completes when it is durable. Without a group there is nobody to keep it for.</summary>
    public Task AppendAsync(string topic, in Sealed content)
    {
        lock (gate)
        {
            return Append(topic, content) ? Announce() : Task.CompletedTask;
        }
    }

    /// <summary>All or nothing in one write, as far as a torn write lets it.</summary>
    public Task AppendAsync(string topic, IReadOnlyList<Sealed> contents)
    {
        lock (gate)
        {
            var any = false;
            foreach (var content in contents) any |= Append(topic, content);
            return any ? Announce() : Task.CompletedTask;
        }
    }

    /// <summary>The group is through with the message. Not waited for: losing this record only means a redelivery.</summary>
    public void Done(Message message, int group)
    {
        lock (gate)
        {
            if (!Finish(message, group)) return;
            using (new Record(open.Buffer, Kind.Done))
            {
                WriteInt(open.Buffer, group);
                WriteLong(open.Buffer, message.Sequence);
            }
            _ = Announce();
        }
    }

    public byte[] Load(Message message)
    {
        while (true)
        {
            Segment segment;
            long offset;
            lock (gate)
            {
                if (message.Body is { } body) return body;
                (segment, offset) = (message.Segment!, message.Offset);
            }

            try
            {
                var bytes = new byte[message.Length];
                ReadFully(segment.Handle, bytes, offset);
                return bytes;
            }
            catch (ObjectDisposedException) when (message.Segment != segment)
            {
                // Moved to a newer segment while we were about to read: look again.
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        lock (gate)
        {
            if (stopping) return;
            stopping = true;
            _ = Announce();
        }
        await writer;
        foreach (var segment in segments) segment.Handle.Dispose();
        work.Dispose();
    }

    private bool Append(string topic, in Sealed content)
    {
        if (stopping) throw new IOException("The sidecar host is stopping.");
        var waiting = 0;
        foreach (var group in groups.Values)
            if (group.Takes(topic)) waiting++;
        if (waiting == 0) return false;

        var ids = new int[waiting];
        foreach (var group in groups.Values)
            if (group.Takes(topic)) ids[--waiting] = group.Id;
        var message = new Message(nextSequence++, topic, content.Key, content.Raw, content.Expires, ids, content.Body);
        open.Messages.Add((message, WriteMessage(open.Buffer, message, content.Body)));
        return true;
    }

    private Task Announce()
    {
        if (work.CurrentCount == 0) work.Release();
        return open.Durable.Task;
    }

    private async Task WriteAsync()
    {
        while (true)
        {
            await work.WaitAsync();
            Batch batch;
            bool last;
            Exception? fault = null;
            lock (gate)
            {
                try
                {
                    if (damaged || segments.Last!.Value.Length > limits.SegmentBytes) Roll();
                    damaged = false;
                    Compact();
                }
                catch (Exception e) when (IsDiskFault(e))
                {
                    fault = e;
                }
                (batch, last) = (open, stopping);
                (open, spare) = (spare, batch);
            }

            try
            {
                if (fault is null) Store(batch);
            }
            catch (Exception e) when (IsDiskFault(e))
            {
                fault = e;
            }

            if (fault is null)
            {
                Tell(batch);
                batch.Durable.SetResult();
            }
            else
            {
                // Its publishers are told, the next batch tries a new segment. Lost acknowledgements only mean redeliveries after a restart.
                damaged = true;
                LogNotWritten(log, folder, fault);
                batch.Durable.SetException(new IOException($"The journal in {folder} cannot be written: {fault.Message}", fault));
            }

            batch.Clear();
            lock (gate) DropFinished();
            if (last) return;
        }
    }

    private void Tell(Batch batch)
    {
        foreach (var (message, _) in batch.Messages)
        {
            if (message.Moved) continue;
            try
            {
                Written?.Invoke(message);
            }
            catch (Exception e)
            {
                // One message hit by a bug of ours must not end all publishing; it is delivered when the host starts again.
                LogNotDispatched(log, message.Sequence, message.Topic, e);
            }
        }
    }

    private static bool IsDiskFault(Exception e) => e is IOException or UnauthorizedAccessException;

    private void Store(Batch batch)
    {
        var segment = segments.Last!.Value;
        var start = segment.Length;
        RandomAccess.Write(segment.Handle, batch.Buffer.WrittenSpan, start);
        lock (gate)
        {
            segment.Length = start + batch.Buffer.WrittenCount;
            foreach (var (message, offset) in batch.Messages)
            {
                message.Segment?.Forget(message);
                message.Segment = segment;
                message.Offset = start + offset;
                if (message.Finished) continue;
                segment.Live.Add(message);
                segment.LiveBytes += message.Length;
                if (message.Body is null || message.Moved) continue;
                if (resident + message.Length > limits.ResidentBytes) message.Body = null;   // read back when its turn comes
                else resident += message.Length;
            }
        }
    }

    private bool Finish(Message message, int group)
    {
        var at = Array.IndexOf(message.Groups, group);
        if (at < 0) return false;
        message.Groups[at] = Message.Nobody;
        if (!message.Finished) return true;
        if (message.Segment is { } segment)
        {
            segment.Forget(message);
            if (message.Body is not null) resident -= message.Length;
        }
        message.Body = null;
        return true;
    }

    /// <summary>When most of the log is finished but its oldest segment is not, the few messages that hold it move to the end.</summary>
    private void Compact()
    {
        if (segments.Count < 3) return;
        long total = 0, live = 0;
        foreach (var segment in segments) (total, live) = (total + segment.Length, live + segment.LiveBytes);
        if (total < limits.CompactFromBytes || live * 4 > total) return;

        foreach (var message in segments.First!.Value.Live)
        {
            var body = message.Body;
            if (body is null)
            {
                body = new byte[message.Length];
                ReadFully(message.Segment!.Handle, body, message.Offset);
            }
            message.Moved = true;
            open.Messages.Add((message, WriteMessage(open.Buffer, message, body)));
        }
    }

    private void DropFinished()
    {
        while (segments.Count > 1 && segments.First!.Value is { Live.Count: 0 } done)
        {
            try
            {
                File.Delete(done.Path);
            }
            catch (Exception e) when (IsDiskFault(e))
            {
                LogNotDeleted(log, done.Path, e);   // it stays the first, and so do those behind it, which say that it is finished
                return;
            }
            segments.RemoveFirst();
            done.Handle.Dispose();
        }
    }

    /// <summary>Every segment starts with all groups and the next number, so that older ones are never needed to understand it.</summary>
    private void Roll()
    {
        var path = Path.Combine(folder, $"{nextSegment++:D8}.journal");
        var handle = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.Read | FileShare.Delete);
        var head = new ArrayBufferWriter<byte>();
        using (new Record(head, Kind.Head))
        {
            WriteLong(head, nextSequence);
            WriteInt(head, nextGroup);
        }
        foreach (var group in groups.Values) WriteGroup(head, group);
        try
        {
            RandomAccess.Write(handle, head.WrittenSpan, 0);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
        segments.AddLast(new Segment(path, handle) { Length = head.WrittenCount });
    }

    private List<Message> Read()
    {
        var pending = new SortedDictionary<long, Message>();
        foreach (var path in Directory.GetFiles(folder, "*.journal").Order(StringComparer.Ordinal))
        {
            nextSegment = Math.Max(nextSegment, int.Parse(Path.GetFileNameWithoutExtension(path)) + 1);
            var segment = new Segment(path, File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.Read | FileShare.Delete));
            segments.AddLast(segment);
            var bytes = File.ReadAllBytes(path);
            var at = 0;
            while (TryFrame(bytes, at, out var length))
            {
                Replay(bytes.AsSpan(at + Frame, length), segment, at, pending);
                at += Frame + length;
            }
            segment.Length = at;
            if (at < bytes.Length) LogTornTail(log, path, bytes.Length - at);   // the write the previous process died in
        }

        foreach (var message in pending.Values)
        {
            message.Segment!.Live.Add(message);
            message.Segment.LiveBytes += message.Length;
            if (resident + message.Length > limits.ResidentBytes) continue;
            message.Body = new byte[message.Length];
            ReadFully(message.Segment.Handle, message.Body, message.Offset);
            resident += message.Length;
        }
        return [.. pending.Values];
    }

    private void Replay(ReadOnlySpan<byte> record, Segment segment, long at, SortedDictionary<long, Message> pending)
    {
        var reader = new RecordReader(record);
        switch ((Kind)reader.Byte())
        {
            case Kind.Head:
                nextSequence = Math.Max(nextSequence, reader.Long());
                nextGroup = Math.Max(nextGroup, reader.Int());
                break;
            case Kind.Group:
                var id = reader.Int();
                Remember(new JournalGroup(id, reader.Text(), reader.Text()));
                nextGroup = Math.Max(nextGroup, id + 1);
                break;
            case Kind.GroupLeft:
                var left = reader.Int();
                if (groups.Remove(left, out var gone)) byName.Remove((gone.Topic, gone.App));
                foreach (var sequence in pending.Where(entry => Finish(entry.Value, left) && entry.Value.Finished).Select(entry => entry.Key).ToList())
                    pending.Remove(sequence);
                break;
            case Kind.Message:
                var message = ReadMessage(ref reader, segment, at);
                nextSequence = Math.Max(nextSequence, message.Sequence + 1);
                pending[message.Sequence] = message;   // a moved copy replaces the one it was made from
                break;
            case Kind.Done:
                var by = reader.Int();
                var done = reader.Long();
                nextSequence = Math.Max(nextSequence, done + 1);
                if (pending.TryGetValue(done, out var finished) && Finish(finished, by) && finished.Finished) pending.Remove(done);
                break;
            default:
                throw new InvalidDataException($"{segment.Path}: unknown record at {at}. The journal was written by a newer version; delete the folder to start afresh.");
        }
    }

    private static Message ReadMessage(ref RecordReader reader, Segment segment, long at)
    {
        var sequence = reader.Long();
        var expires = reader.Long();
        var raw = reader.Byte() != 0;
        var topic = string.Intern(reader.Text());
        var key = reader.Text();
        var ids = new int[reader.Int()];
        for (var i = 0; i < ids.Length; i++) ids[i] = reader.Int();
        var length = reader.Int();
        return new Message(sequence, topic, key.Length == 0 ? null : key, raw,
            expires == 0 ? null : DateTimeOffset.FromUnixTimeMilliseconds(expires), ids, length)
        {
            Segment = segment,
            Offset = at + Frame + reader.Position,
        };
    }

    private static int WriteMessage(ArrayBufferWriter<byte> buffer, Message message, byte[] body)
    {
        using (new Record(buffer, Kind.Message))
        {
            WriteLong(buffer, message.Sequence);
            WriteLong(buffer, message.Expires?.ToUnixTimeMilliseconds() ?? 0);
            buffer.Write([message.Raw ? (byte)1 : (byte)0]);
            WriteText(buffer, message.Topic);
            WriteText(buffer, message.Key ?? "");
            WriteInt(buffer, message.Groups.Length);
            foreach (var id in message.Groups) WriteInt(buffer, id);
            WriteInt(buffer, body.Length);
            var offset = buffer.WrittenCount;
            buffer.Write(body);
            return offset;
        }
    }

    private static void WriteGroup(ArrayBufferWriter<byte> buffer, JournalGroup group)
    {
        using var _ = new Record(buffer, Kind.Group);
        WriteInt(buffer, group.Id);
        WriteText(buffer, group.Topic);
        WriteText(buffer, group.App);
    }

    private void Remember(JournalGroup group)
    {
        groups[group.Id] = group;
        byName[(group.Topic, group.App)] = group;
    }

    private static bool TryFrame(ReadOnlySpan<byte> bytes, int at, out int length)
    {
        length = 0;
        if (at + Frame > bytes.Length) return false;
        length = BinaryPrimitives.ReadInt32LittleEndian(bytes[at..]);
        if (length < SmallestRecord || length > bytes.Length - at - Frame) return false;
        return Checksum(bytes.Slice(at + Frame, length)) == BinaryPrimitives.ReadUInt32LittleEndian(bytes[(at + 4)..]);
    }

    private static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        while (bytes.Length >= 8)
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
            bytes = bytes[8..];
        }
        foreach (var b in bytes) crc = BitOperations.Crc32C(crc, b);
        return crc;
    }

    private static void ReadFully(SafeFileHandle handle, Span<byte> into, long offset)
    {
        while (into.Length > 0)
        {
            var read = RandomAccess.Read(handle, into, offset);
            if (read == 0) throw new EndOfStreamException("The journal ends inside a message.");
            into = into[read..];
            offset += read;
        }
    }

    private static void WriteInt(ArrayBufferWriter<byte> buffer, int value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(buffer.GetSpan(4), value);
        buffer.Advance(4);
    }

    private static void WriteLong(ArrayBufferWriter<byte> buffer, long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(buffer.GetSpan(8), value);
        buffer.Advance(8);
    }

    private static void WriteText(ArrayBufferWriter<byte> buffer, string text)
    {
        WriteInt(buffer, Encoding.UTF8.GetByteCount(text));
        Encoding.UTF8.GetBytes(text, buffer);
    }

    [LoggerMessage(LogLevel.Warning, "Journal segment {Path} ends in {Bytes} unreadable bytes; they were never acknowledged and are ignored")]
    private static partial void LogTornTail(ILogger log, string path, int bytes);

    [LoggerMessage(LogLevel.Critical, "Event {Sequence} of {Topic} is stored, but could not be handed to its listeners")]
    private static partial void LogNotDispatched(ILogger log, long sequence, string topic, Exception error);

    [LoggerMessage(LogLevel.Warning, "Journal segment {Path} is finished and cannot be deleted yet")]
    private static partial void LogNotDeleted(ILogger log, string path, Exception error);

    [LoggerMessage(LogLevel.Error, "The journal in {Folder} cannot be written; what was being published is refused")]
    private static partial void LogNotWritten(ILogger log, string folder, Exception error);

    private enum Kind : byte
    {
        Head = 1,
        Group = 2,
        GroupLeft = 3,
        Message = 4,
        Done = 5,
    }

    /// <summary>Reserves the frame and fills it in when the record is complete.</summary>
    private readonly ref struct Record
    {
        private readonly ArrayBufferWriter<byte> buffer;
        private readonly int start;

        public Record(ArrayBufferWriter<byte> buffer, Kind kind)
        {
            this.buffer = buffer;
            start = buffer.WrittenCount;
            buffer.GetSpan(Frame + 1)[Frame] = (byte)kind;
            buffer.Advance(Frame + 1);
        }

        public void Dispose()
        {
            MemoryMarshal.TryGetArray(buffer.WrittenMemory, out var written);
            var record = written.AsSpan()[start..];
            BinaryPrimitives.WriteInt32LittleEndian(record, record.Length - Frame);
            BinaryPrimitives.WriteUInt32LittleEndian(record[4..], Checksum(record[Frame..]));
        }
    }

    private ref struct RecordReader(ReadOnlySpan<byte> bytes)
    {
        private readonly ReadOnlySpan<byte> bytes = bytes;

        public int Position { get; private set; }

        public byte Byte() => bytes[Position++];

        public int Int()
        {
            var value = BinaryPrimitives.ReadInt32LittleEndian(bytes[Position..]);
            Position += 4;
            return value;
        }

        public long Long()
        {
            var value = BinaryPrimitives.ReadInt64LittleEndian(bytes[Position..]);
            Position += 8;
            return value;
        }

        public string Text()
        {
            var length = Int();
            var text = Encoding.UTF8.GetString(bytes.Slice(Position, length));
            Position += length;
            return text;
        }
    }

    private sealed class Batch
    {
        public ArrayBufferWriter<byte> Buffer { get; private set; } = new(16 * 1024);
        public List<(Message Message, int Offset)> Messages { get; } = [];
        public TaskCompletionSource Durable { get; private set; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Clear()
        {
            if (Buffer.Capacity > 4 << 20) Buffer = new(16 * 1024);
            Buffer.ResetWrittenCount();
            Messages.Clear();
            Durable = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }
}

/// <summary>Sizes at which the journal starts a new file, moves old messages, and leaves bodies on disk.</summary>
internal sealed record JournalLimits(long SegmentBytes = 16 << 20, long CompactFromBytes = 64 << 20, long ResidentBytes = 64 << 20);

/// <summary>An app that listens to a topic, all its instances together. A star at the end of the topic stands for at least one further character.</summary>
internal sealed record JournalGroup(int Id, string Topic, string App)
{
    public bool Takes(string topic) => Topic == topic
        || (Topic.Length > 0 && Topic[^1] == '*' && topic.Length >= Topic.Length && topic.AsSpan().StartsWith(Topic.AsSpan(0, Topic.Length - 1)));
}

internal sealed class Segment(string path, SafeFileHandle handle)
{
    public string Path { get; } = path;
    public SafeFileHandle Handle { get; } = handle;
    public long Length { get; set; }
    public HashSet<Message> Live { get; } = [];
    public long LiveBytes { get; set; }

    public void Forget(Message message)
    {
        if (Live.Remove(message)) LiveBytes -= message.Length;
    }
}

/// <summary>One published message; shared by the groups that still wait for it. Its mutable parts belong to the journal's lock.</summary>
internal sealed class Message(long sequence, string topic, string? key, bool raw, DateTimeOffset? expires, int[] groups, int length)
{
    public const int Nobody = -1;

    public Message(long sequence, string topic, string? key, bool raw, DateTimeOffset? expires, int[] groups, byte[] body)
        : this(sequence, topic, key, raw, expires, groups, body.Length) => Body = body;

    public long Sequence { get; } = sequence;
    public string Topic { get; } = topic;
    public string? Key { get; } = key;
    public bool Raw { get; } = raw;
    public DateTimeOffset? Expires { get; } = expires;
    public int Length { get; } = length;

    /// <summary>The groups that have not finished it; <see cref="Nobody"/> in place of those that have.</summary>
    public int[] Groups { get; } = groups;
    public byte[]? Body { get; set; }
    public Segment? Segment { get; set; }
    public long Offset { get; set; }
    public bool Moved { get; set; }
    public bool Finished => Array.TrueForAll(Groups, group => group == Nobody);
}
