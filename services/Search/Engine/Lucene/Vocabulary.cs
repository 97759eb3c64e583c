using System.Numerics;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// Every word the index has had since it was opened, as written, for looking through: a search that forgives typing errors compares the
/// letters of all of them, which takes a moment only, because which letters a word has fits into one number. Words are never taken out;
/// whether a product still has one is asked of the segments.
/// </summary>
internal sealed class Vocabulary
{
    private readonly Lock growing = new();
    private readonly HashSet<string> known = new(StringComparer.Ordinal);
    private volatile Words all = new([], [], 0);

    private sealed record Words(string[] Word, uint[] Letters, int Count);

    public void Add(IEnumerable<string> words)
    {
        lock (growing)
        {
            var (word, letters, count) = all;
            foreach (var one in words)
            {
                if (!known.Add(one))
                    continue;
                if (count == word.Length)
                {
                    Array.Resize(ref word, Math.Max(1024, count * 2));
                    Array.Resize(ref letters, word.Length);
                }

                (word[count], letters[count]) = (one, LettersOf(one));
                count++;
            }

            all = new Words(word, letters, count);
        }
    }

    public List<(string Word, int Edits)> Near(string typed, int edits)
    {
        var near = new List<(string, int)>();
        var (words, letters, count) = all;
        var wanted = LettersOf(typed);
        for (var i = 0; i < count; i++)
        {
            // An edit changes two letters at most: one goes, another comes.
            if (BitOperations.PopCount(wanted ^ letters[i]) > 2 * edits || Math.Abs(words[i].Length - typed.Length) > edits)
                continue;
            if (Beginnings.Distance(words[i], typed, wholeWord: true) is var distance && distance <= edits && distance > 0)
                near.Add((words[i], distance));
        }

        return near;
    }

    /// <param name="edits">None or one.</param>
    /// <returns>Words that begin as typed, give or take so many letters.</returns>
    public List<string> Beginning(string typed, int edits)
    {
        var found = new List<string>();
        var (words, letters, count) = all;
        var wanted = LettersOf(typed);
        for (var i = 0; i < count; i++)
        {
            if (BitOperations.PopCount(wanted & ~letters[i]) <= edits
                && (edits == 0 ? words[i].StartsWith(typed, StringComparison.Ordinal) : MayBegin(words[i], typed) && Beginnings.Distance(words[i], typed, wholeWord: false) <= edits))
                found.Add(words[i]);
        }

        return found;
    }

    public void Clear()
    {
        lock (growing)
        {
            known.Clear();
            all = new Words([], [], 0);
        }
    }

    /// <summary>One edit leaves one of the first two letters where it was, or its neighbour in its place.</summary>
    private static bool MayBegin(string word, string typed) =>
        word.Length < 2 || typed.Length < 2 || word[0] == typed[0] || word[0] == typed[1] || word[1] == typed[0] || word[1] == typed[1];

    private static uint LettersOf(string word)
    {
        var letters = 0u;
        foreach (var letter in word)
            letters |= letter is >= 'a' and <= 'z' ? 1u << (letter - 'a') : 1u << (26 + letter % 6);
        return letters;
    }
}
