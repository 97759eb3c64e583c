using System.Numerics;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// Every word the index has had since it was opened, as written, for looking through: a search that forgives typing errors compares the
/// letters of all of them, which takes a moment only, because which letters a word has fits into one number. Words are never taken out;
/// whether a product still has one is asked of the segments.
/// </summary>
internal sealed class Vocabulary
{
    private const string Alphabet = "abcdefghijklmnopqrstuvwxyz";

    /// <summary>A completion puts each of them into every place of what was typed: a catalogue of many scripts, or one title of all their signs, must not make that slow.</summary>
    private const int MostLetters = 80;

    private readonly Lock growing = new();
    private readonly HashSet<string> known = new(StringComparer.Ordinal);
    private volatile Words all = new([], [], 0);
    private volatile string[] sorted = [];
    private volatile string letters = Alphabet;

    private sealed record Words(string[] Word, uint[] Letters, int Count);

    public void Add(IEnumerable<string> words)
    {
        lock (growing)
        {
            var (word, letters, count) = all;
            var before = count;
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
            if (count > before)
                Sort(word[before..count]);
        }
    }

    /// <summary>Words that begin so, at most so many.</summary>
    public ReadOnlySpan<string> Beginning(string typed, int most)
    {
        var words = sorted;
        var from = FirstAtLeast(words, typed);
        var to = from;
        while (to < words.Length && to - from < most && words[to].StartsWith(typed, StringComparison.Ordinal))
            to++;
        return words.AsSpan(from..to);
    }

    /// <summary>
    /// What somebody may have meant who typed this: with one letter more, less, another one or two swapped. Put together, not looked
    /// for: a few hundred look-ups whatever the number of words.
    /// </summary>
    public IEnumerable<string> Meant(string typed)
    {
        for (var at = 0; at < typed.Length; at++)
        {
            yield return typed.Remove(at, 1);
            if (at > 0 && typed[at] != typed[at - 1])
                yield return string.Concat(typed.AsSpan(0, at - 1), [typed[at], typed[at - 1]], typed.AsSpan(at + 1));
        }

        foreach (var letter in letters)
        {
            for (var at = 0; at < typed.Length; at++)
            {
                yield return string.Concat(typed.AsSpan(0, at), [letter], typed.AsSpan(at));
                if (typed[at] != letter)
                    yield return string.Concat(typed.AsSpan(0, at), [letter], typed.AsSpan(at + 1));
            }
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

    public void Clear()
    {
        lock (growing)
        {
            known.Clear();
            all = new Words([], [], 0);
            sorted = [];
            letters = Alphabet;
        }
    }

    private void Sort(string[] fresh)
    {
        Array.Sort(fresh, StringComparer.Ordinal);
        var (old, merged) = (sorted, new string[sorted.Length + fresh.Length]);
        for (int at = 0, left = 0, right = 0; at < merged.Length; at++)
            merged[at] = right == fresh.Length || left < old.Length && string.CompareOrdinal(old[left], fresh[right]) < 0 ? old[left++] : fresh[right++];
        sorted = merged;
        if (letters.Length < MostLetters)
            letters = string.Concat(letters.Concat(fresh.SelectMany(word => word).Where(char.IsLetter)).Distinct().Take(MostLetters));
    }

    private static int FirstAtLeast(string[] words, string typed)
    {
        var (from, to) = (0, words.Length);
        while (from < to)
        {
            var middle = (from + to) / 2;
            if (string.CompareOrdinal(words[middle], typed) < 0)
                from = middle + 1;
            else
                to = middle;
        }

        return from;
    }

    private static uint LettersOf(string word)
    {
        var letters = 0u;
        foreach (var letter in word)
            letters |= letter is >= 'a' and <= 'z' ? 1u << (letter - 'a') : 1u << (26 + letter % 6);
        return letters;
    }
}
