using System.Collections.Frozen;
using Marketplace.Search.Engine;
using Microsoft.Extensions.Options;

namespace Marketplace.Search.Querying;

/// <summary>
/// What else a shopper may mean, from a file that people edit (<c>Search:SynonymsFile</c>):
/// <code>
/// # words that mean the same; each finds the others
/// sofa, couch, settee
/// # what is on the left is taken for what is on the right: misspellings, and words for something narrower
/// jewellry, jewelery => jewellery
/// </code>
/// Several words count as one: <c>tea light, t-light</c>. Plurals need no line.
/// </summary>
public sealed class Synonyms
{
    private const float SameThing = 0.8f;
    private const float AsTypedAfterAll = 0.3f;
    private const int LongestLine = 1_000;
    private readonly FrozenDictionary<string, Entry[]> byFirstWord;

    private Synonyms(IEnumerable<Entry> entries, int lines, IReadOnlyList<string> faults)
    {
        byFirstWord = entries.GroupBy(entry => entry.Typed[0], StringComparer.Ordinal)
            .ToFrozenDictionary(group => group.Key, group => group.OrderByDescending(entry => entry.Typed.Length).ToArray(), StringComparer.Ordinal);
        (Lines, Faults) = (lines, faults);
    }

    public static Synonyms None { get; } = new([], 0, []);

    /// <summary>Lines in use.</summary>
    public int Lines { get; }

    /// <summary>Lines that could not be read, each with its number and what is wrong. They are left out; the others count.</summary>
    public IReadOnlyList<string> Faults { get; }

    public static Synonyms Parse(IEnumerable<string> lines)
    {
        var (entries, faults, used, number) = (new List<Entry>(), new List<string>(), 0, 0);
        foreach (var raw in lines)
        {
            number++;
            var line = raw.Trim();
            if (line.Length == 0 || line[0] == '#')
                continue;

            if (Read(line, out var read) is { } fault)
            {
                faults.Add($"line {number}: {fault}");
                continue;
            }

            entries.AddRange(read);
            used++;
        }

        return new Synonyms(Merged(entries), used, faults);
    }

    /// <summary>The longest entry that begins at this word; null when none does.</summary>
    internal Entry? At(IReadOnlyList<TextWord> words, int start)
    {
        foreach (var entry in byFirstWord.GetValueOrDefault(words[start].Term, []))
        {
            if (start + entry.Typed.Length <= words.Count && entry.Typed.Index().All(word => words[start + word.Index].Term == word.Item))
                return entry;
        }

        return null;
    }

    private static string? Read(string line, out List<Entry> entries)
    {
        entries = [];
        if (line.Length > LongestLine)
            return $"longer than {LongestLine} characters";

        var sides = line.Split("=>");
        if (sides.Length > 2)
            return "more than one =>";

        var left = Split(sides[0]);
        if (left.Count == 0)
            return "no word on the left";
        if (sides.Length == 2)
        {
            var right = Split(sides[1]);
            if (right.Count == 0)
                return "no word on the right";

            foreach (var typed in left)
            {
                var kept = right.Exists(word => word.SequenceEqual(typed));
                entries.Add(new Entry(typed, [.. right.Where(word => !word.SequenceEqual(typed)).Select(word => new Reading(word, kept ? SameThing : 1))], kept ? 1 : AsTypedAfterAll));
            }

            return null;
        }

        if (left.Count < 2)
            return "a word is alone, or the same as the others without this line: put words that mean the same on one line, separated by commas";
        foreach (var typed in left)
            entries.Add(new Entry(typed, [.. left.Where(word => !word.SequenceEqual(typed)).Select(word => new Reading(word, SameThing))], 1));
        return null;
    }

    private static List<string[]> Split(string side) =>
        [.. side.Split(',').Select(word => ProductText.WordsOf(word).Select(part => part.Term).ToArray()).Where(word => word.Length > 0).DistinctBy(word => string.Join(' ', word))];

    private static IEnumerable<Entry> Merged(IEnumerable<Entry> entries) => entries
        .GroupBy(entry => string.Join(' ', entry.Typed), StringComparer.Ordinal)
        .Select(same => new Entry(same.First().Typed, [.. same.SelectMany(entry => entry.Meant).DistinctBy(reading => string.Join(' ', reading.Terms))], same.Min(entry => entry.AsTyped)));

    /// <param name="AsTyped">What the typed word itself still counts.</param>
    internal sealed record Entry(string[] Typed, IReadOnlyList<Reading> Meant, float AsTyped);
}

/// <summary>Reads the file again when it has changed, without a restart; a file that cannot be read leaves what was read before.</summary>
public sealed partial class SynonymFile(IOptions<QueryOptions> options, IHostEnvironment environment, TimeProvider time, ILogger<SynonymFile> log)
{
    private readonly string path = PathOf(environment.ContentRootPath, options.Value.SynonymsFile);
    private readonly Lock reading = new();
    private DateTime stamp = DateTime.MinValue;
    private DateTimeOffset looked;
    private volatile Synonyms current = Synonyms.None;

    /// <summary>Goes up with every reading.</summary>
    public int Version { get; private set; }

    public Synonyms Current
    {
        get
        {
            if (time.GetUtcNow() - looked >= options.Value.SynonymsLookedAtEvery)
                Reload(force: false);
            return current;
        }
    }

    public Synonyms Reload(bool force = true)
    {
        lock (reading)
        {
            looked = time.GetUtcNow();
            try
            {
                var changed = File.GetLastWriteTimeUtc(path);
                if (!force && changed == stamp)
                    return current;

                stamp = changed;
                current = File.Exists(path) ? Synonyms.Parse(File.ReadLines(path)) : Synonyms.None;
                Version++;
                LogRead(current.Lines, path, current.Faults.Count);
                foreach (var fault in current.Faults)
                    LogFault(path, fault);
            }
            catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
            {
                LogUnreadable(path, unreadable.Message);
            }

            return current;
        }
    }

    /// <summary>The one in the app's folder is the one people edit; the one beside the executable came with it.</summary>
    private static string PathOf(string appFolder, string file) =>
        File.Exists(Path.Combine(appFolder, file)) ? Path.Combine(appFolder, file) : Path.Combine(AppContext.BaseDirectory, file);

    [LoggerMessage(LogLevel.Information, "{Lines} lines of synonyms read from {Path}, {Faults} left out")]
    private partial void LogRead(int lines, string path, int faults);

    [LoggerMessage(LogLevel.Warning, "Synonyms in {Path}: {Fault}")]
    private partial void LogFault(string path, string fault);

    [LoggerMessage(LogLevel.Warning, "The synonyms in {Path} cannot be read, those read before stay ({Reason})")]
    private partial void LogUnreadable(string path, string reason);
}
