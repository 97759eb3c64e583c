using Lucene.Net.Analysis;
using Lucene.Net.Analysis.Core;
using Lucene.Net.Analysis.En;
using Lucene.Net.Analysis.Miscellaneous;
using Lucene.Net.Analysis.NGram;
using Lucene.Net.Analysis.Standard;
using Lucene.Net.Analysis.TokenAttributes;
using Lucene.Net.Util;

namespace Marketplace.Search.Indexing;

/// <summary>How text becomes terms, the same for products and for what shoppers type.</summary>
public static class ProductText
{
    public const LuceneVersion Version = LuceneVersion.LUCENE_48;
    public const int LongestPrefix = 20;

    /// <summary>Words: lower case, no accents, no plural.</summary>
    public static readonly Analyzer Words = Analyzer.NewAnonymous((_, reader) =>
    {
        var tokens = new StandardTokenizer(Version, reader);
        TokenStream stream = new EnglishPossessiveFilter(Version, tokens);
        stream = new LowerCaseFilter(Version, stream);
        stream = new ASCIIFoldingFilter(stream);
        return new TokenStreamComponents(tokens, new EnglishMinimalStemFilter(stream));
    });

    /// <summary>Every beginning of every word, so that a suggestion is one look-up per typed word and no scan over terms.</summary>
    public static readonly Analyzer Beginnings = Analyzer.NewAnonymous((_, reader) =>
    {
        var tokens = new StandardTokenizer(Version, reader);
        TokenStream stream = new LowerCaseFilter(Version, tokens);
        stream = new ASCIIFoldingFilter(stream);
        return new TokenStreamComponents(tokens, new EdgeNGramTokenFilter(Version, stream, 1, LongestPrefix));
    });

    private static readonly Analyzer Typed = Analyzer.NewAnonymous((_, reader) =>
    {
        var tokens = new StandardTokenizer(Version, reader);
        return new TokenStreamComponents(tokens, new ASCIIFoldingFilter(new LowerCaseFilter(Version, tokens)));
    });

    /// <summary>The words of a query as they stand in the index, each with its length as typed.</summary>
    public static IReadOnlyList<(string Word, int Length)> WordsOf(string text, int most) => TermsOf(Words, text, most);

    public static IReadOnlyList<string> BeginningsOf(string text, int most) =>
        [.. TermsOf(Typed, text, most).Select(term => term.Word.Length <= LongestPrefix ? term.Word : term.Word[..LongestPrefix])];

    private static List<(string Word, int Length)> TermsOf(Analyzer analyzer, string text, int most)
    {
        var terms = new List<(string, int)>();
        using var stream = analyzer.GetTokenStream("", text);
        var term = stream.AddAttribute<ICharTermAttribute>();
        var offset = stream.AddAttribute<IOffsetAttribute>();
        stream.Reset();
        while (terms.Count < most && stream.IncrementToken())
            terms.Add((term.ToString()!, offset.EndOffset - offset.StartOffset));
        return terms;
    }
}
