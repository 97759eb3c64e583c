namespace Marketplace.Search.Engine;

/// <summary>Whether a short text begins as typed: for lists that fit into memory.</summary>
public static class Beginnings
{
    public const int ShortestWithTypo = 3;

    /// <summary>Every typed word begins some word of the text, give or take so many letters.</summary>
    /// <param name="words">Those of the text; see <see cref="ProductText.BeginningsOf"/>.</param>
    public static bool Fit(IReadOnlyList<string> words, IReadOnlyList<string> typed, int edits) =>
        typed.All(beginning => words.Any(word => Begins(word, beginning, beginning.Length < ShortestWithTypo ? 0 : edits)));

    private static bool Begins(string word, string typed, int edits)
    {
        if (word.StartsWith(typed, StringComparison.Ordinal))
            return true;
        if (edits == 0)
            return false;

        // The edits between what was typed and the nearest beginning of the word.
        var (before, last, next) = (new int[word.Length + 1], new int[word.Length + 1], new int[word.Length + 1]);
        for (var j = 0; j <= word.Length; j++)
            last[j] = j;
        for (var i = 1; i <= typed.Length; i++)
        {
            next[0] = i;
            for (var j = 1; j <= word.Length; j++)
            {
                next[j] = Math.Min(Math.Min(last[j], next[j - 1]) + 1, last[j - 1] + (typed[i - 1] == word[j - 1] ? 0 : 1));
                if (i > 1 && j > 1 && typed[i - 1] == word[j - 2] && typed[i - 2] == word[j - 1])
                    next[j] = Math.Min(next[j], before[j - 2] + 1);
            }

            (before, last, next) = (last, next, before);
        }

        return last.Min() <= edits;
    }
}
