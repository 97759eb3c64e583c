using System.Text;
using System.Text.Encodings.Web;
using System.Text.Unicode;

namespace Marketplace.Search.Engine;

/// <summary>Marks the words that fit. What is not our own markup is escaped, so that HTML in a listing stays text.</summary>
public static class Highlighting
{
    private const string Before = "<em>";
    private const string Behind = "</em>";
    private const int FragmentLength = 160;
    private const char Left = '…';
    private static readonly HtmlEncoder Html = HtmlEncoder.Create(UnicodeRanges.All);

    /// <param name="terms">Words as they stand in the index.</param>
    public static Highlight Of(string title, string description, IReadOnlySet<string> terms) => new(Mark(title, terms, title.Length), Mark(description, terms, FragmentLength));

    /// <summary>Null when no word fits. Of a long text the part around the first word that does.</summary>
    private static string? Mark(string text, IReadOnlySet<string> terms, int most)
    {
        var hits = ProductText.WordsOf(text).Where(word => terms.Contains(word.Term)).ToList();
        if (hits.Count == 0)
            return null;

        var from = text.Length <= most ? 0 : StartOfWord(text, Math.Max(0, hits[0].Start - most / 3));
        var to = text.Length <= most ? text.Length : StartOfWord(text, Math.Min(text.Length, Math.Max(hits[0].End, from + most)));
        var marked = new StringBuilder();
        if (from > 0)
            marked.Append(Left);
        var at = from;
        foreach (var hit in hits.Where(hit => hit.Start >= from && hit.End <= to))
        {
            marked.Append(Html.Encode(text[at..hit.Start])).Append(Before).Append(Html.Encode(text[hit.Start..hit.End])).Append(Behind);
            at = hit.End;
        }

        marked.Append(Html.Encode(text[at..to]));
        return (to < text.Length ? marked.Append(Left) : marked).ToString();
    }

    private static int StartOfWord(string text, int at)
    {
        if (at >= text.Length)
            return text.Length;
        var space = text.LastIndexOf(' ', at, Math.Min(at + 1, 30));
        return space >= 0 ? space + 1 : char.IsLowSurrogate(text[at]) ? at + 1 : at;
    }
}
