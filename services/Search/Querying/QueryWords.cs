using System.Collections.Frozen;
using System.Text;
using Marketplace.Search.Engine;

namespace Marketplace.Search.Querying;

/// <summary>What was typed, read as words: with synonyms, and with how far each may be misspelt.</summary>
internal static class QueryWords
{
    public const int Most = 12;
    private const float OtherNumberWeight = 0.9f;

    private static readonly FrozenSet<string> Little = FrozenSet.ToFrozenSet(["a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"], StringComparer.Ordinal);

    public static IReadOnlyList<WantedWord> Of(string typed, Synonyms synonyms)
    {
        var words = ProductText.WordsOf(Plain(typed), Most);
        var wanted = new List<WantedWord>();
        for (var i = 0; i < words.Count;)
        {
            var entry = synonyms.At(words, i);
            var length = entry?.Typed.Length ?? 1;
            var (first, last) = (words[i], words[i + length - 1]);
            var asTyped = new Reading([.. Enumerable.Range(i, length).Select(at => words[at].Term)], entry?.AsTyped ?? 1, first.Written, length == 1 ? EditsFor(first) : 0);
            wanted.Add(new WantedWord(Plain(typed)[first.Start..last.End], [asTyped, .. entry?.Meant ?? [], .. length == 1 ? OtherNumber(first.Written) : []], length == 1 && Little.Contains(first.Term)));
            i += length;
        }

        return wanted.TrueForAll(word => word.Optional) ? wanted.ConvertAll(word => word with { Optional = false }) : wanted;
    }

    /// <summary>Up to two words must all be found; of more, three quarters: one odd word does not hide what was meant.</summary>
    public static int MustMatch(IReadOnlyList<WantedWord> words)
    {
        var needed = words.Count(word => !word.Optional);
        return needed <= 2 ? needed : (int)Math.Ceiling(needed * 0.75);
    }

    /// <summary>None up to 2 letters, one from 3 to 5, two beyond. Codes and sizes are meant as typed.</summary>
    private static int EditsFor(TextWord word) =>
        word.Term.Any(char.IsAsciiDigit) || word.Length <= 2 ? 0 : word.Length <= 5 ? 1 : 2;

    /// <summary>Shelf and shelves, knife and knives: the one plural that no ending is cut off for. Which of them is a word the catalogue knows.</summary>
    private static IEnumerable<Reading> OtherNumber(string word)
    {
        string[] others = word.Length < 4 ? []
            : word.EndsWith("ves", StringComparison.Ordinal) ? [word[..^3] + "f", word[..^3] + "fe"]
            : word.EndsWith('f') ? [word[..^1] + "ves"]
            : word.EndsWith("fe", StringComparison.Ordinal) ? [word[..^2] + "ves"]
            : [];
        return others.Select(other => new Reading([ProductText.TermOf(other)], OtherNumberWeight));
    }

    /// <summary>Control characters part words; broken halves of characters go.</summary>
    private static string Plain(string typed)
    {
        if (!typed.Any(letter => char.IsControl(letter) || char.IsSurrogate(letter)))
            return typed;

        var plain = new StringBuilder(typed.Length);
        foreach (var rune in typed.EnumerateRunes())
            plain.Append(rune == Rune.ReplacementChar || Rune.IsControl(rune) ? " " : rune.ToString());
        return plain.ToString();
    }
}
