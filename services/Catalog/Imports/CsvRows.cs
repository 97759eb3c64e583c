using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace Marketplace.Catalog.Imports;

/// <summary>One row of a file.</summary>
/// <param name="Number">As a spreadsheet counts: the header is 1, empty rows count.</param>
/// <param name="Line">Of the text, where the row begins. Differs from the number when fields hold line breaks.</param>
/// <param name="End">Bytes from the start of the file to behind the row's line break.</param>
/// <param name="Problem">Set when the row cannot be read: then there are no fields.</param>
/// <param name="BrokenField">Index of the field the problem lies in, where that is known.</param>
public sealed record CsvRow(long Number, long Line, long End, IReadOnlyList<string> Fields, string? Problem = null, int? BrokenField = null)
{
    public bool IsEmpty => Problem is null && Fields.All(string.IsNullOrWhiteSpace);
}

/// <summary>How far a file has been read. Kept in the import's row, so that another request, perhaps another process, goes on here.</summary>
/// <param name="Bytes">Up to the end of the last row.</param>
/// <param name="Skipping">In the middle of a row that is too long to be read.</param>
public readonly record struct CsvPlace(long Bytes, long Rows, long Lines, bool Skipping);

/// <summary>
/// The rows of a CSV text (RFC 4180, UTF-8) as they come in, with the exact byte at which each ends: that is where a broken upload goes on.
/// Holds one row and some read-ahead, whatever the size of the file.
/// <para>
/// Own code and not a library's, for two things that none of them does: telling bytes while it reads a stream, and losing only one row to a
/// quote that is never closed. Such a row ends at its first line break, and reading goes on behind that.
/// </para>
/// </summary>
public sealed class CsvRows(Stream body, CsvPlace from) : IDisposable
{
    public const int LongestRow = 1024 * 1024;
    private const int ReadAhead = 64 * 1024;

    private readonly List<Field> fields = [];
    private byte[] buffer = ArrayPool<byte>.Shared.Rent(ReadAhead);
    private int start;
    private int end;
    private bool bodyEnded;

    /// <summary>The byte between two fields.</summary>
    public byte Delimiter { get; set; } = (byte)',';

    /// <summary>Behind the last row that <see cref="NextAsync"/> gave.</summary>
    public CsvPlace Place { get; private set; } = from;

    /// <summary>What is read but belongs to a row whose end has not come.</summary>
    public int Unfinished => end - start;

    /// <summary>Bytes of memory for the text that is being read.</summary>
    public int Held => buffer.Length;

    /// <summary>The next row; null when the body holds no further whole row.</summary>
    /// <param name="last">The end of the body is the end of the file: a row needs no line break there, and a quote must be closed.</param>
    public async ValueTask<CsvRow?> NextAsync(bool last, CancellationToken ct)
    {
        while (true)
        {
            if (TryTake(last && bodyEnded, out var row))
            {
                if (row is not null)
                    return row;
                continue;
            }

            if (bodyEnded)
                return null;
            await FillAsync(ct);
        }
    }

    /// <summary>The first bytes of the file, as many as there are but a row's length at most, without taking them.</summary>
    public async ValueTask<ReadOnlyMemory<byte>> PeekAsync(CancellationToken ct)
    {
        while (!bodyEnded && end - start < LongestRow && buffer.AsSpan(start, end - start).IndexOf((byte)'\n') < 0)
            await FillAsync(ct);
        return buffer.AsMemory(start, end - start);
    }

    public void Dispose() => ArrayPool<byte>.Shared.Return(Interlocked.Exchange(ref buffer, []));

    private async ValueTask FillAsync(CancellationToken ct)
    {
        if (start > 0)
        {
            buffer.AsSpan(start, end - start).CopyTo(buffer);
            (start, end) = (0, end - start);
        }

        if (buffer.Length - end < ReadAhead / 2)
        {
            var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
            buffer.AsSpan(0, end).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(Interlocked.Exchange(ref buffer, larger));
        }

        var read = await body.ReadAsync(buffer.AsMemory(end), ct);
        end += read;
        bodyEnded = read == 0;
    }

    /// <summary>False when more bytes are needed. A row may be null: something was taken that is no row (the rest of one that is too long).</summary>
    private bool TryTake(bool isEnd, out CsvRow? row)
    {
        row = null;
        var data = buffer.AsSpan(start, end - start);
        if (Place.Skipping)
            return TrySkip(data, isEnd);
        if (data.Length == 0)
            return false;

        var bom = Place.Bytes == 0 && data.StartsWith("\uFEFF"u8) ? 3 : 0;
        if (Place.Bytes == 0 && data.Length < 3 && !isEnd && "\uFEFF"u8.StartsWith(data))
            return false;

        switch (Scan(data[bom..], isEnd, out var length, out var problem))
        {
            case Scanned.Row:
                row = Decode(data, bom, bom + length);
                return true;
            case Scanned.Broken:
                row = Broken(data, problem!, isEnd);
                return true;
            case var _ when data.Length > LongestRow:
                row = Broken(data, $"This row is longer than {LongestRow} bytes, or a quote in it is never closed.", isEnd);
                return true;
            default:
                return false;
        }
    }

    private CsvRow Decode(ReadOnlySpan<byte> data, int bom, int length)
    {
        var texts = new string[fields.Count];
        for (var i = 0; i < texts.Length; i++)
        {
            var field = data.Slice(bom + fields[i].Start, fields[i].Length);
            if (!Utf8.IsValid(field))
                return Taken(data, length, [], "This text is not UTF-8. Save the file with that encoding.", i);
            if (field.Contains((byte)0))
                return Taken(data, length, [], "This text holds a NUL character, which cannot be stored.", i);
            var text = Encoding.UTF8.GetString(field);
            texts[i] = fields[i].HasQuotes ? text.Replace("\"\"", "\"", StringComparison.Ordinal) : text;
        }

        return Taken(data, length, texts);
    }

    // The row's first line is lost and no more: what a missing quote would swallow are other rows.
    private CsvRow Broken(ReadOnlySpan<byte> data, string problem, bool isEnd)
    {
        var field = fields.Count;
        var lineBreak = data.IndexOfAny((byte)'\n', (byte)'\r');
        if (lineBreak < 0 || (lineBreak == data.Length - 1 && data[lineBreak] == '\r' && !isEnd))
        {
            var row = Taken(data, data.Length, [], problem, field);
            Place = Place with { Skipping = !isEnd };
            return row;
        }

        return Taken(data, lineBreak + (data[lineBreak] == '\r' && lineBreak + 1 < data.Length && data[lineBreak + 1] == '\n' ? 2 : 1), [], problem, field);
    }

    private CsvRow Taken(ReadOnlySpan<byte> data, int length, IReadOnlyList<string> texts, string? problem = null, int? field = null)
    {
        var row = new CsvRow(Place.Rows + 1, Place.Lines + 1, Place.Bytes + length, texts, problem, field);
        Place = new CsvPlace(row.End, row.Number, Place.Lines + LinesIn(data[..length]), Skipping: false);
        start += length;
        return row;
    }

    private bool TrySkip(ReadOnlySpan<byte> data, bool isEnd)
    {
        var lineBreak = data.IndexOf((byte)'\n');
        var length = lineBreak < 0 ? data.Length : lineBreak + 1;
        if (length == 0 && !isEnd)
            return false;

        Place = new CsvPlace(Place.Bytes + length, Place.Rows, Place.Lines + (lineBreak < 0 ? 0 : 1), Skipping: lineBreak < 0 && !isEnd);
        start += length;
        return true;
    }

    private static int LinesIn(ReadOnlySpan<byte> row)
    {
        var lines = row.Count((byte)'\n');
        return lines > 0 ? lines : row.Count((byte)'\r');
    }

    /// <summary>Finds the end of the row that begins here, and its fields.</summary>
    private Scanned Scan(ReadOnlySpan<byte> data, bool isEnd, out int length, out string? problem)
    {
        fields.Clear();
        (length, problem) = (0, null);
        for (var at = 0; ; at++)                                // once per field; steps over the delimiter
        {
            if (at < data.Length && data[at] == '"')
            {
                var begin = at + 1;
                var hasQuotes = false;
                for (at = begin; ; at += 2, hasQuotes = true)   // steps over a doubled quote
                {
                    var quote = data[at..].IndexOf((byte)'"');
                    if (quote < 0)
                    {
                        problem = "A quote is opened here and never closed.";
                        return isEnd ? Scanned.Broken : Scanned.Unfinished;
                    }

                    at += quote;
                    if (at + 1 == data.Length && !isEnd)
                        return Scanned.Unfinished;
                    if (at + 1 == data.Length || data[at + 1] != '"')
                        break;
                }

                fields.Add(new Field(begin, at - begin, hasQuotes));
                at++;
                if (at < data.Length && data[at] != Delimiter && data[at] is not ((byte)'\n' or (byte)'\r'))
                {
                    fields.RemoveAt(fields.Count - 1);
                    problem = "There is text behind a closing quote. A quote inside a field is written twice.";
                    return Scanned.Broken;
                }
            }
            else
            {
                var next = data[at..].IndexOfAny(Delimiter, (byte)'\n', (byte)'\r');
                if (next < 0 && !isEnd)
                    return Scanned.Unfinished;
                fields.Add(new Field(at, next < 0 ? data.Length - at : next, false));
                at = next < 0 ? data.Length : at + next;
            }

            if (at == data.Length)
            {
                length = at;
                return isEnd ? Scanned.Row : Scanned.Unfinished;
            }

            if (data[at] == '\r' && at + 1 == data.Length && !isEnd)
                return Scanned.Unfinished;                      // its line feed may still come
            if (data[at] != Delimiter)
            {
                length = at + (data[at] == '\r' && at + 1 < data.Length && data[at + 1] == '\n' ? 2 : 1);
                return Scanned.Row;
            }
        }
    }

    private enum Scanned
    {
        Row,
        Broken,
        Unfinished,
    }

    private readonly record struct Field(int Start, int Length, bool HasQuotes);
}
