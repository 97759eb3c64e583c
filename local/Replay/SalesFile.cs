using System.Globalization;
using System.IO.Compression;
using System.Numerics;
using System.Text;

namespace Marketplace.Local.Replay;

/// <summary>One row of the sales file, as published.</summary>
public sealed record SalesRow(int Line, string Invoice, string StockCode, string Description, int Quantity, DateTime At, decimal UnitPrice, string? Customer, string Country);

/// <summary>Reads the Online Retail file (plain or gzip) row by row: the year need not fit into memory.</summary>
public static class SalesFile
{
    private static readonly string[] Columns = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];

    public static IEnumerable<SalesRow> Read(string path)
    {
        using var file = File.OpenRead(path);
        using var text = new StreamReader(path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new GZipStream(file, CompressionMode.Decompress) : file);
        foreach (var row in Read(text, Path.GetFileName(path)))
            yield return row;
    }

    public static IEnumerable<SalesRow> Read(TextReader text, string name)
    {
        using var records = Csv.Read(text).GetEnumerator();
        if (!records.MoveNext())
            throw new SalesFileException($"{name} is empty.");
        var header = records.Current.Fields.Select(column => column.Trim()).ToList();
        var at = Columns.Select(column => header.IndexOf(column) is >= 0 and var index ? index : throw new SalesFileException($"{name} has no column {column}.")).ToArray();

        while (records.MoveNext())
        {
            var (line, fields) = records.Current;
            if (fields is [""])
                continue;
            if (fields.Count != header.Count)
                throw new SalesFileException($"{name}, line {line}: {fields.Count} fields instead of {header.Count}.");

            string Field(int column) => fields[at[column]].Trim();
            T Number<T>(int column, NumberStyles style) where T : INumberBase<T> => T.TryParse(Field(column), style, CultureInfo.InvariantCulture, out var value)
                ? value : throw new SalesFileException($"{name}, line {line}: {Columns[column]} is not a number: '{Field(column)}'.");

            var time = DateTime.TryParse(Field(4), CultureInfo.InvariantCulture, DateTimeStyles.None, out var parsed)
                ? parsed : throw new SalesFileException($"{name}, line {line}: InvoiceDate is not a time: '{Field(4)}'.");
            // Customer numbers went through a spreadsheet: 17850 is written 17850.0.
            var customer = Field(6) is { Length: > 0 } number ? number.Split('.')[0] : null;
            yield return new SalesRow(line, Field(0), Field(1), Field(2), Number<int>(3, NumberStyles.AllowLeadingSign), time,
                Number<decimal>(5, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint), customer, Field(7));
        }
    }
}

/// <summary>RFC 4180: fields in quotes may hold commas, line ends and doubled quotes.</summary>
public static class Csv
{
    public static IEnumerable<(int Line, IReadOnlyList<string> Fields)> Read(TextReader text)
    {
        var field = new StringBuilder();
        var fields = new List<string>();
        var (line, first, quoted) = (1, 1, false);
        int character;
        while ((character = text.Read()) >= 0)
        {
            if (character == '\n')
                line++;
            if (quoted)
            {
                if (character != '"')
                    field.Append((char)character);
                else if (text.Peek() == '"')
                    field.Append((char)text.Read());
                else
                    quoted = false;
                continue;
            }

            switch (character)
            {
                case '"' when field.Length == 0:
                    quoted = true;
                    break;
                case ',':
                    fields.Add(field.ToString());
                    field.Clear();
                    break;
                case '\r' when text.Peek() == '\n':
                    break;
                case '\n':
                    fields.Add(field.ToString());
                    field.Clear();
                    yield return (first, fields.ToArray());
                    fields.Clear();
                    first = line;
                    break;
                default:
                    field.Append((char)character);
                    break;
            }
        }

        if (quoted)
            throw new SalesFileException($"The quotes opened on line {first} are never closed.");
        if (field.Length == 0 && fields.Count == 0)
            yield break;
        fields.Add(field.ToString());
        yield return (first, fields.ToArray());
    }
}

public sealed class SalesFileException(string message) : Exception(message);
