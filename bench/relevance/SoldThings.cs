using System.IO.Compression;
using System.Text;
using Marketplace.Contracts;
using Marketplace.Search.Engine;

namespace Marketplace.Bench.Relevance;

/// <summary>The products of Online Retail (Daqing Chen, UCI Machine Learning Repository, DOI 10.24432/C5BW33): what was sold under a stock code, by the title staff typed most often.</summary>
internal static class SoldThings
{
    private static readonly HashSet<string> NoProducts = new(StringComparer.OrdinalIgnoreCase)
    {
        "POST", "DOT", "M", "D", "C2", "BANK CHARGES", "AMAZONFEE", "S", "CRUK", "PADS", "B",
    };

    /// <param name="path">The file as published, gzipped or not.</param>
    public static async Task<IReadOnlyList<IndexedListing>> ReadAsync(string path)
    {
        var titles = new Dictionary<string, Dictionary<string, (int Rows, long Pence)>>(StringComparer.OrdinalIgnoreCase);
        await using var file = File.OpenRead(path);
        using var lines = new StreamReader(path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new GZipStream(file, CompressionMode.Decompress) : file, Encoding.UTF8);
        await lines.ReadLineAsync();
        while (await lines.ReadLineAsync() is { } line)
        {
            var fields = FieldsOf(line);
            if (fields is not [_, var code, var title, var quantity, _, var price, ..] || NoProducts.Contains(code) || code.StartsWith("gift_", StringComparison.OrdinalIgnoreCase))
                continue;
            title = string.Join(' ', title.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
            // Titles are typed in capitals; what is not is a note about the stock (damaged, found, ?).
            if (!int.TryParse(quantity, out var units) || units <= 0 || !decimal.TryParse(price, out var pounds) || pounds <= 0 || title.Length < 3 || title.Count(char.IsUpper) < title.Count(char.IsLower) + 2)
                continue;

            if (!titles.TryGetValue(code, out var typed))
                titles[code] = typed = new Dictionary<string, (int, long)>(StringComparer.Ordinal);
            var (rows, _) = typed.GetValueOrDefault(title);
            typed[title] = (rows + 1, (long)(pounds * 100));
        }

        return [.. titles.OrderBy(product => product.Key, StringComparer.Ordinal).Select((product, number) =>
        {
            var (title, (_, pence)) = product.Value.OrderByDescending(typed => typed.Value.Rows).ThenBy(typed => typed.Key, StringComparer.Ordinal).First();
            return new IndexedListing(
                new Guid(number + 1, 0, 0x7000, 0x80, 0, 0, 0, 0, 0, 0, 0), 1, Guid.Empty, "Online Retail", title, "", "", "gifts", Money.Gbp(Math.Max(1, pence)), null, DateTimeOffset.UnixEpoch.AddMinutes(number));
        })];
    }

    private static List<string> FieldsOf(string line)
    {
        var (fields, field, quoted) = (new List<string>(), new StringBuilder(), false);
        for (var i = 0; i < line.Length; i++)
        {
            var letter = line[i];
            if (letter == '"' && quoted && i + 1 < line.Length && line[i + 1] == '"')
            {
                field.Append(line[i++]);
            }
            else if (letter == '"')
            {
                quoted = !quoted;
            }
            else if (letter == ',' && !quoted)
            {
                fields.Add(field.ToString());
                field.Clear();
            }
            else
            {
                field.Append(letter);
            }
        }

        fields.Add(field.ToString());
        return fields;
    }
}
