using System.Buffers;
using System.Text.RegularExpressions;

namespace Marketplace.Catalog.Imports;

/// <summary>
/// How a text stands in our files. A spreadsheet takes a field that begins with one of <c>= + - @</c> for a formula, whoever wrote it, so an
/// export puts an apostrophe before it, and an import takes one away again: what was exported comes back as it was. Plain numbers are left alone.
/// </summary>
public static partial class CsvText
{
    private static readonly SearchValues<char> NeedsQuotes = SearchValues.Create(",;\t\"\r\n");

    public static string Field(string? text)
    {
        if (string.IsNullOrEmpty(text))
            return "";
        if (Formula().IsMatch(text) && !Number().IsMatch(text))
            text = "'" + text;
        // Blanks at the ends survive other programs only inside quotes.
        return text.AsSpan().ContainsAny(NeedsQuotes) || text[0] == ' ' || text[^1] == ' ' ? $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : text;
    }

    public static string Line(IEnumerable<string?> fields) => string.Join(',', fields.Select(Field)) + "\r\n";

    public static string Value(string field) => Guarded().IsMatch(field) ? field[1..] : field;

    [GeneratedRegex(@"\A'*[=+\-@]")]
    private static partial Regex Formula();

    [GeneratedRegex(@"\A'+[=+\-@]")]
    private static partial Regex Guarded();

    [GeneratedRegex(@"\A-?[0-9]+(\.[0-9]+)?\z")]
    private static partial Regex Number();
}
