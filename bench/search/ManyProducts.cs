using Marketplace.Contracts;
using Marketplace.Search.Engine;

namespace Marketplace.Bench.Search;

/// <summary>
/// A catalogue of any size, the same for the same seed: words made of syllables, used as often as words are (the n-th by frequency about
/// 1/n as often as the first), titles of three to seven of them, a description of twenty to forty, sixteen shelves, some thousand brands.
/// </summary>
internal sealed class ManyProducts
{
    private const int Vocabulary = 40_000;
    private static readonly string[] Begins = ["b", "br", "c", "ch", "d", "f", "fl", "g", "gl", "h", "j", "k", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "tr", "v", "w"];
    private static readonly string[] Middles = ["a", "e", "i", "o", "u", "ea", "ou", "ai"];
    private static readonly string[] Ends = ["", "n", "r", "l", "t", "ck", "m", "nd"];
    private static readonly string[] Colours = ["red", "blue", "green", "black", "white", "grey", "yellow", "pink"];
    private static readonly string[] Shelves =
        ["gifts", "homeware", "kitchen", "furniture", "lighting", "garden", "toys", "stationery", "books", "electronics", "clothing", "jewellery", "beauty", "sports", "pets", "seasonal"];

    private readonly int seed;
    private Random random;
    private readonly string[] words;
    private readonly double[] cumulated;

    public ManyProducts(int seed)
    {
        this.seed = seed;
        random = new Random(seed);
        var made = new HashSet<string>(StringComparer.Ordinal);
        while (made.Count < Vocabulary)
            made.Add(string.Concat(Enumerable.Range(0, random.Next(2, 5)).Select(_ => Begins[random.Next(Begins.Length)] + Middles[random.Next(Middles.Length)] + Ends[random.Next(Ends.Length)])));
        words = [.. made];
        cumulated = new double[Vocabulary];
        for (var (i, sum) = (0, 0.0); i < Vocabulary; i++)
            cumulated[i] = sum += 1.0 / (i + 10);
    }

    public string Word()
    {
        var at = Array.BinarySearch(cumulated, random.NextDouble() * cumulated[^1]);
        return words[Math.Min(at < 0 ? ~at : at, Vocabulary - 1)];
    }

    /// <summary>One after the other, so that a million need not be in memory; the same every time.</summary>
    public IEnumerable<IndexedListing> Make(int count)
    {
        random = new Random(seed + 1);
        var brands = Enumerable.Range(0, 1_000).Select(_ => Word()).ToArray();
        var sellers = Enumerable.Range(0, 500).Select(number => new Guid(number, 1, 0x7000, 0x80, 0, 0, 0, 0, 0, 0, 0)).ToArray();
        return Enumerable.Range(0, count).Select(number => new IndexedListing(
            new Guid(number + 1, 0, 0x7000, 0x80, 0, 0, 0, 0, 0, 0, 0), 1, sellers[random.Next(sellers.Length)], "A seller", Words(3, 7), Words(20, 40), brands[random.Next(brands.Length)],
            Shelves[random.Next(Shelves.Length)], Money.Gbp(99 + (long)(Math.Pow(random.NextDouble(), 3) * 50_000)), null, DateTimeOffset.UnixEpoch.AddMinutes(number),
            Attributes: [new IndexedAttribute("colour", Colours[random.Next(Colours.Length)]), new IndexedAttribute("size", $"{random.Next(5)}")]));
    }

    /// <summary>What shoppers type: words of some title; one in five misspelt.</summary>
    public IReadOnlyList<string> Queries(IReadOnlyList<string> titles, int count) => [.. Enumerable.Range(0, count).Select(_ =>
    {
        var title = titles[random.Next(titles.Count)].Split(' ');
        random.Shuffle(title);
        return string.Join(' ', title.Take(random.Next(1, 4)).Select(word => random.Next(5) == 0 && word.Length > 4 ? word.Remove(random.Next(word.Length), 1) : word));
    })];

    /// <summary>Words being typed, from the first letter to the last; one in ten with a wrong letter.</summary>
    public IReadOnlyList<string> Beginnings(IReadOnlyList<string> titles, int count) => [.. Enumerable.Range(0, count).Select(_ =>
    {
        var title = titles[random.Next(titles.Count)];
        var typed = title[..random.Next(1, Math.Min(title.Length, 20))];
        return random.Next(10) == 0 && typed.Length > 3 ? typed.Remove(random.Next(1, typed.Length), 1) : typed;
    })];

    private string Words(int fewest, int most) => string.Join(' ', Enumerable.Range(0, random.Next(fewest, most + 1)).Select(_ => Word()));
}
