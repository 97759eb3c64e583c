namespace Marketplace.Local.Sidecar.Resources;

/// <summary>The word somebody may have meant.</summary>
internal static class Nearest
{
    /// <summary>" (did you mean redisHost?)" when one of the words is close to the one written, else nothing.</summary>
    public static string Hint(string written, IEnumerable<string> words) => To(written, words) is { } word ? $" (did you mean {word}?)" : "";

    public static string? To(string written, IEnumerable<string> words)
    {
        var (best, distance) = ((string?)null, Math.Max(2, written.Length / 3) + 1);
        foreach (var word in words)
        {
            var steps = Distance(written.ToUpperInvariant(), word.ToUpperInvariant());
            if (steps < distance) (best, distance) = (word, steps);
        }

        return best;
    }

    /// <summary>Letters to add, drop, change or swap with their neighbour.</summary>
    private static int Distance(string one, string other)
    {
        var steps = new int[one.Length + 1, other.Length + 1];
        for (var i = 0; i <= one.Length; i++)
        {
            for (var j = 0; j <= other.Length; j++)
            {
                if (i == 0 || j == 0)
                {
                    steps[i, j] = i + j;
                    continue;
                }

                var changed = one[i - 1] == other[j - 1] ? 0 : 1;
                steps[i, j] = Math.Min(Math.Min(steps[i - 1, j], steps[i, j - 1]) + 1, steps[i - 1, j - 1] + changed);
                if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1])
                    steps[i, j] = Math.Min(steps[i, j], steps[i - 2, j - 2] + 1);
            }
        }

        return steps[one.Length, other.Length];
    }
}
