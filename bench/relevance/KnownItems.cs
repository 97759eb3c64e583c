namespace Marketplace.Bench.Relevance;

/// <param name="Wanted">The title that is looked for: products of the same title count as one.</param>
internal sealed record KnownItem(string Wanted, string Clean, string Misspelt);

/// <summary>
/// What somebody types who knows the product: words of its title in any order, some left out but three kept (where it has three), now and
/// then the plural. Misspelt: the same with one typing error in every word of six letters or more. The same for the same seed.
/// </summary>
internal static class KnownItems
{
    private const int FewestWords = 3;
    private const int PluralOneIn = 5;
    private const int ShortestMisspelt = 6;

    public static IReadOnlyList<KnownItem> Of(IEnumerable<string> titles, int seed)
    {
        var random = new Random(seed);
        return [.. titles.Distinct(StringComparer.OrdinalIgnoreCase).Order(StringComparer.Ordinal).Select(title => Of(title, random))];
    }

    private static KnownItem Of(string title, Random random)
    {
        var words = title.ToLowerInvariant().Split(' ').Select(word => word.Trim(',', '.', ';', ':', '"', '(', ')', '*', '!', '?', '/', '-', '\'')).Where(word => word.Length > 0).ToArray();
        random.Shuffle(words);
        var kept = words.Take(words.Length <= FewestWords ? words.Length : random.Next(FewestWords, words.Length + 1)).Select(word => random.Next(PluralOneIn) == 0 ? PluralOf(word) : word).ToArray();
        return new KnownItem(title, string.Join(' ', kept), string.Join(' ', kept.Select(word => word.Count(char.IsAsciiLetter) >= ShortestMisspelt ? Misspelt(word, random) : word)));
    }

    private static string PluralOf(string word)
    {
        if (word.Length < 3 || !word.All(char.IsAsciiLetter) || word.EndsWith('s'))
            return word;
        if (word.EndsWith('y') && !"aeiou".Contains(word[^2], StringComparison.Ordinal))
            return word[..^1] + "ies";
        return word + (word.EndsWith('x') || word.EndsWith("ch", StringComparison.Ordinal) || word.EndsWith("sh", StringComparison.Ordinal) ? "es" : "s");
    }

    /// <summary>A letter left out, put in, taken for another, or swapped with its neighbour, anywhere in the word.</summary>
    private static string Misspelt(string word, Random random)
    {
        while (true)
        {
            var at = random.Next(word.Length);
            var letter = (char)('a' + random.Next(26));
            var wrong = random.Next(4) switch
            {
                0 => word.Remove(at, 1),
                1 => word.Insert(at, letter.ToString()),
                2 => word.Remove(at, 1).Insert(at, letter.ToString()),
                _ => at + 1 < word.Length ? string.Concat(word.AsSpan(0, at), word.AsSpan(at + 1, 1), word.AsSpan(at, 1), word.AsSpan(at + 2)) : word,
            };
            if (wrong != word)
                return wrong;
        }
    }
}
