using System.Text;
using Marketplace.Catalog.Imports;
using Xunit;

namespace Marketplace.Catalog.Tests.Imports;

public sealed class CsvRowsTests
{
    private const string Awkward =
        "\uFEFFsku,title,description\r\n" +
        "A1,Plain,text\r\n" +
        "\r\n" +
        "B2,\"With, comma\",\"two\r\nlines and a \"\"quote\"\"\"\n" +
        "C3,5\" pipe,\n" +
        ",,\n" +
        "D4,\"\",\"\"\"\"\r" +
        "E5,Ünïcödé 灯,last without a line break";

    private static readonly string[][] Expected =
    [
        ["sku", "title", "description"],
        ["A1", "Plain", "text"],
        [""],
        ["B2", "With, comma", "two\r\nlines and a \"quote\""],
        ["C3", "5\" pipe", ""],
        ["", "", ""],
        ["D4", "", "\""],
        ["E5", "Ünïcödé 灯", "last without a line break"],
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(100_000)]
    public async Task Fields_are_read_alike_however_the_bytes_arrive(int atATime)
    {
        var rows = await ReadAsync(Encoding.UTF8.GetBytes(Awkward), atATime);

        Assert.All(rows, row => Assert.Null(row.Problem));
        Assert.Equal(Expected, rows.Select(row => row.Fields.ToArray()));
        Assert.Equal([1L, 2, 3, 4, 5, 6, 7, 8], rows.Select(row => row.Number));
        Assert.Equal([1L, 2, 3, 4, 6, 7, 8, 9], rows.Select(row => row.Line));
    }

    [Fact]
    public async Task From_the_end_of_every_row_reading_goes_on_as_if_it_had_never_stopped()
    {
        var text = Encoding.UTF8.GetBytes(Awkward);
        var whole = await ReadAsync(text, 5);

        for (var stopped = 0; stopped < whole.Count; stopped++)
        {
            using var first = new CsvRows(new Trickle(text, 4), default);
            for (var i = 0; i <= stopped; i++)
                await first.NextAsync(last: true, CancellationToken.None);
            var rest = await ReadAsync(text[(int)first.Place.Bytes..], 3, first.Place);
            Assert.Equal(whole.Skip(stopped + 1).Select(Text), rest.Select(Text));
        }
    }

    [Fact]
    public async Task A_part_that_ends_inside_a_row_leaves_that_row_for_the_next_part()
    {
        var text = Encoding.UTF8.GetBytes(Awkward);
        var whole = (await ReadAsync(text, 100)).Select(Text).ToList();
        for (var cut = 0; cut <= text.Length; cut++)
        {
            using var first = new CsvRows(new Trickle(text[..cut], 50), default);
            var rows = new List<string>();
            while (await first.NextAsync(last: false, CancellationToken.None) is { } row)
                rows.Add(Text(row));
            Assert.Equal(cut - first.Place.Bytes, first.Unfinished);
            rows.AddRange((await ReadAsync(text[(int)first.Place.Bytes..], 50, first.Place)).Select(Text));
            Assert.Equal(whole, rows);
        }
    }

    [Theory]
    [InlineData("A1,\"never closed,x\nB2,fine,y\nC3,fine,z\n")]
    [InlineData("A1,\"never closed,x\nB2,\"fine\",y\nC3,fine,z\n")]
    [InlineData("A1,\"closed\" too early,x\nB2,fine,\"y\"\nC3,fine,z")]
    public async Task A_broken_quote_costs_its_own_row_only(string text)
    {
        foreach (var atATime in (int[])[1, 10, 1000])
        {
            var rows = await ReadAsync(Encoding.UTF8.GetBytes(text), atATime);
            Assert.Equal(3, rows.Count);
            Assert.NotNull(rows[0].Problem);
            Assert.Equal(1, rows[0].BrokenField);
            Assert.Equal(["B2", "fine", "y"], rows[1].Fields);
            Assert.Equal(["C3", "fine", "z"], rows[2].Fields);
            Assert.Equal(text.Length, rows[2].End);
        }
    }

    [Fact]
    public async Task Bytes_that_are_no_text_cost_their_own_row_only()
    {
        byte[] text = [.. "A1,"u8, 0xC3, 0x28, .. "\nB2,"u8, 0, .. "\nC3,fine\n"u8];
        var rows = await ReadAsync(text, 2);
        Assert.Contains("UTF-8", rows[0].Problem, StringComparison.Ordinal);
        Assert.Contains("NUL", rows[1].Problem, StringComparison.Ordinal);
        Assert.Equal(["C3", "fine"], rows[2].Fields);
    }

    [Theory]
    [InlineData("x")]
    [InlineData("\"x")]
    [InlineData("x\",")]
    public async Task A_row_of_megabytes_is_refused_in_bounded_memory_and_the_next_is_read(string piece)
    {
        var text = Encoding.UTF8.GetBytes($"A1,{string.Concat(Enumerable.Repeat(piece, 3 * 1024 * 1024 / piece.Length))}\nB2,fine\n");
        using var reader = new CsvRows(new Trickle(text, 30_000), default);
        var rows = new List<CsvRow>();
        while (await reader.NextAsync(last: true, CancellationToken.None) is { } row)
            rows.Add(row);
        Assert.InRange(reader.Held, 1, 2 * CsvRows.LongestRow);
        Assert.Equal(2, rows.Count);
        Assert.NotNull(rows[0].Problem);
        Assert.Equal(("B2", 2L, 2L, (long)text.Length), (rows[1].Fields[0], rows[1].Number, rows[1].Line, rows[1].End));
    }

    [Fact]
    public async Task A_row_too_long_for_any_part_is_passed_over_part_by_part()
    {
        var text = Encoding.UTF8.GetBytes($"A1,{new string('x', 5 * 1024 * 1024)}\nB2,fine\n");
        var place = default(CsvPlace);
        var rows = new List<CsvRow>();
        for (var parts = 0; place.Bytes < text.Length; parts++)
        {
            Assert.True(parts < 10, "every part must get further");
            using var part = new CsvRows(new Trickle(text[(int)place.Bytes..][..(int)Math.Min(2 * 1024 * 1024, text.Length - place.Bytes)], 100_000), place);
            while (await part.NextAsync(last: false, CancellationToken.None) is { } row)
                rows.Add(row);
            place = part.Place;
        }

        Assert.Equal([null, "B2"], rows.Select(row => row.Problem is null ? row.Fields[0] : null));
    }

    [Fact]
    public async Task The_size_of_the_file_does_not_matter_to_the_memory()
    {
        const int rows = 40_000;
        using var reader = new CsvRows(new Endless(Encoding.UTF8.GetBytes($"A1,\"{new string('x', 2_000)}\",more\n"), rows), default);
        var (read, most) = (0, 0);
        while (await reader.NextAsync(last: true, CancellationToken.None) is not null)
            (read, most) = (read + 1, Math.Max(most, reader.Held));

        Assert.Equal((rows, rows * 2_011L), (read, reader.Place.Bytes));
        Assert.InRange(most, 1, 256 * 1024);
    }

    [Fact]
    public async Task Random_tables_come_back_as_they_were_written()
    {
        var random = new Random(20260);
        const string letters = "a,;\"\r\n é灯=";
        for (var round = 0; round < 300; round++)
        {
            var table = Enumerable.Range(0, random.Next(1, 6)).Select(_ => Enumerable.Range(0, 3).Select(_ =>
                new string([.. Enumerable.Range(0, random.Next(0, 6)).Select(_ => letters[random.Next(letters.Length)])])).ToArray()).ToArray();
            var text = string.Concat(table.Select(row => string.Join(',', row.Select(field => $"\"{field.Replace("\"", "\"\"", StringComparison.Ordinal)}\"")) + (round % 2 == 0 ? "\n" : "\r\n")));
            Assert.Equal(table, (await ReadAsync(Encoding.UTF8.GetBytes(text), random.Next(1, 20))).Select(row => row.Fields.ToArray()));
        }
    }

    private static string Text(CsvRow row) => $"{row.Number} {row.Line} {row.End} {row.Problem} {string.Join('|', row.Fields)}";

    private static async Task<List<CsvRow>> ReadAsync(byte[] text, int atATime, CsvPlace from = default)
    {
        using var reader = new CsvRows(new Trickle(text, atATime), from);
        var rows = new List<CsvRow>();
        while (await reader.NextAsync(last: true, CancellationToken.None) is { } row)
            rows.Add(row);
        return rows;
    }

    /// <summary>One row over and over.</summary>
    private sealed class Endless(byte[] row, int times) : Stream
    {
        private long at;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => (long)row.Length * times;

        public override long Position { get => at; set => throw new NotSupportedException(); }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (at == Length)
                return new(0);
            var piece = row.AsMemory((int)(at % row.Length));
            piece = piece[..Math.Min(piece.Length, buffer.Length)];
            piece.CopyTo(buffer);
            at += piece.Length;
            return new(piece.Length);
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush() => throw new NotSupportedException();
    }

    /// <summary>A body that arrives in small pieces.</summary>
    private sealed class Trickle(byte[] bytes, int atATime) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer[..Math.Min(atATime, buffer.Length)], cancellationToken);
    }
}
