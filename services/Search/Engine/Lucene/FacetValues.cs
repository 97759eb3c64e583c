using System.Collections.Concurrent;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// Numbers for the values results are filtered and counted by, the same in every segment of the index. Values are alike whatever their
/// case; the label is as it was seen last.
/// </summary>
internal sealed class FacetValues
{
    private const int MostWords = 8;
    private readonly ConcurrentDictionary<(string Dimension, string Value), int> numbers = new();
    private readonly ConcurrentDictionary<string, int> dimensions = new(StringComparer.Ordinal);
    private readonly Lock growing = new();
    private Known[] known = new Known[256];
    private string[] names = [];
    private int count;

    public readonly record struct Known(int Dimension, string Value, string Label);

    private (Known Value, IReadOnlyList<string> Words)[] categories = [];

    /// <summary>Every category there ever was, with the words of its label.</summary>
    public IReadOnlyList<(Known Value, IReadOnlyList<string> Words)> Categories => Volatile.Read(ref categories);

    public int Count => Volatile.Read(ref count);

    public IReadOnlyList<string> Dimensions => Volatile.Read(ref names);

    public Known this[int number] => Volatile.Read(ref known)[number];

    /// <summary>-1 when nothing has it.</summary>
    public int DimensionOf(string name) => dimensions.GetValueOrDefault(name, -1);

    public int NumberOf(string dimension, string value) => numbers.GetValueOrDefault((dimension, FacetTerm.Alike(value)), -1);

    public int Add(string term)
    {
        var (dimension, value, label) = FacetTerm.Read(term);
        if (numbers.TryGetValue((dimension, value), out var number) && known[number].Label == label)
            return number;

        lock (growing)
        {
            if (numbers.TryGetValue((dimension, value), out number))
            {
                Rename(number, label);
                return number;
            }

            if (!dimensions.TryGetValue(dimension, out var which))
            {
                which = names.Length;
                Volatile.Write(ref names, [.. names, dimension]);
                dimensions[dimension] = which;
            }

            if (count == known.Length)
            {
                var larger = new Known[count * 2];
                known.CopyTo(larger, 0);
                Volatile.Write(ref known, larger);
            }

            number = count;
            known[number] = new Known(which, value, label);
            if (dimension == Facets.Category)
                Volatile.Write(ref categories, [.. categories, (known[number], ProductText.BeginningsOf(label, MostWords))]);
            Volatile.Write(ref count, count + 1);
            numbers[(dimension, value)] = number;
            return number;
        }
    }

    private void Rename(int number, string label)
    {
        var before = known[number];
        var after = before with { Label = label };
        var renamed = known.ToArray();
        renamed[number] = after;
        Volatile.Write(ref known, renamed);
        if (names[before.Dimension] == Facets.Category)
            Volatile.Write(ref categories, [.. categories.Select(category => category.Value == before ? (after, ProductText.BeginningsOf(label, MostWords)) : category)]);
    }
}
