using Marketplace.Contracts;
using Marketplace.Local.Seed;
using Marketplace.Search.Engine;

namespace Marketplace.Bench.Relevance;

/// <param name="Right">Ends of titles (or whole titles) that are what was asked for: grade 2.</param>
/// <param name="Fair">Those a shopper would look at too: grade 1.</param>
internal sealed record JudgedQuery(string Kind, string Words, IReadOnlyList<string> Right, IReadOnlyList<string> Fair)
{
    private const int Seen = 10;

    /// <summary>NDCG@10 against the best possible order of the whole catalogue; share of the first three that are right or fair; one by the place of the first right one.</summary>
    public (double Gain, double Precision, double Reciprocal) Judge(IReadOnlyList<string> found, IReadOnlyList<string> catalogue)
    {
        var ideal = GainOf([.. catalogue.Select(GradeOf).OrderDescending().Take(Seen)]);
        var grades = found.Select(GradeOf).ToList();
        var possible = Math.Min(3, catalogue.Count(title => GradeOf(title) > 0));
        var first = grades.FindIndex(grade => grade == 2);
        return (ideal == 0 ? throw new InvalidOperationException($"Nothing in the catalogue is right for '{Words}'.") : GainOf(grades) / ideal,
            grades.Take(possible).Count(grade => grade > 0) / (double)possible, first < 0 ? 0 : 1.0 / (first + 1));
    }

    private int GradeOf(string title) => Right.Any(thing => Fits(title, thing)) ? 2 : Fair.Any(thing => Fits(title, thing)) ? 1 : 0;

    /// <summary><c>Table Lamp</c> is any table lamp, <c>Nordic …</c> anything Nordic, <c>Nordic Table Lamp</c> that one.</summary>
    private static bool Fits(string title, string thing) => thing.EndsWith('…')
        ? title.StartsWith(thing[..^1], StringComparison.OrdinalIgnoreCase)
        : title.EndsWith(thing, StringComparison.OrdinalIgnoreCase) && (title.Length == thing.Length || title[^(thing.Length + 1)] == ' ');

    private static double GainOf(IReadOnlyList<int> grades) => grades.Take(Seen).Select((grade, place) => (Math.Pow(2, grade) - 1) / Math.Log2(place + 2)).Sum();
}

internal static class Judged
{
    /// <summary>Lines of <c>judged.txt</c>; see there.</summary>
    public static IReadOnlyList<JudgedQuery> Read(string path) => [.. File.ReadLines(path)
        .Where(line => line.Trim().Length > 0 && !line.StartsWith('#'))
        .Select(line => line.Split('|', StringSplitOptions.TrimEntries) switch
        {
            [var kind, var words, var right] => new JudgedQuery(kind, words, Split(right), []),
            [var kind, var words, var right, var fair] => new JudgedQuery(kind, words, Split(right), Split(fair)),
            _ => throw new InvalidDataException($"A judged query is kind | words | right | fair, not: {line}"),
        })];

    public static IReadOnlyList<IndexedListing> SeedCatalogue() => [.. Demo.Products.Select((product, number) => new IndexedListing(
        product.ProductId, 1, Guid.Empty, product.Seller.Name, product.Title, product.Description, product.Seller.Name, product.Category, Money.Gbp(product.PriceMinor), null,
        DateTimeOffset.UnixEpoch.AddMinutes(number)))];

    private static string[] Split(string things) => things.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
}
