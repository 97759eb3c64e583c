namespace Marketplace.Search.Engine;

/// <summary>Whether a short text begins as typed: for lists that fit into memory.</summary>
public static class Beginnings
{
    public const int ShortestWithTypo = 3;
    private const int Longest = 100;

    /// <summary>Every typed word begins some word of the text, give or take so many letters.</summary>
    /// <param name="words">Those of the text; see <see cref="ProductText.BeginningsOf"/>.</param>
    public static bool Fit(IReadOnlyList<string> words, IReadOnlyList<string> typed, int edits) =>
        typed.All(beginning => words.Any(word => Begins(word, beginning, beginning.Length < ShortestWithTypo ? 0 : edits)));

    private static bool Begins(string word, string typed, int edits) =>
        word.StartsWith(typed, StringComparison.Ordinal) || edits > 0 && Distance(word, typed, wholeWord: false) <= edits;

    /// <summary>Letters put in, left out, taken for others or swapped with a neighbour between what was typed and the word, or the nearest beginning of it.</summary>
    public static int Distance(string word, string typed, bool wholeWord)
    {
        Span<int> rows = stackalloc int[3 * (Math.Min(word.Length, Longest) + 1)];
        var length = rows.Length / 3;
        var before = rows[..length];
        var last = rows[length..(2 * length)];
        var next = rows[(2 * length)..];
        for (var j = 0; j < length; j++)
            last[j] = j;
        for (var i = 1; i <= typed.Length; i++)
        {
            next[0] = i;
            for (var j = 1; j < length; j++)
            {
                next[j] = Math.Min(Math.Min(last[j], next[j - 1]) + 1, last[j - 1] + (typed[i - 1] == word[j - 1] ? 0 : 1));
                if (i > 1 && j > 1 && typed[i - 1] == word[j - 2] && typed[i - 2] == word[j - 1])
                    next[j] = Math.Min(next[j], before[j - 2] + 1);
            }

            var free = before;
            before = last;
            last = next;
            next = free;
        }

        if (wholeWord)
            return word.Length > Longest ? int.MaxValue : last[length - 1];
        var nearest = int.MaxValue;
        foreach (var distance in last)
            nearest = Math.Min(nearest, distance);
        return nearest;
    }
}
