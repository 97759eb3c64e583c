using Lucene.Net.Analysis;
using Lucene.Net.Analysis.Core;
using Lucene.Net.Analysis.En;
using Lucene.Net.Analysis.Miscellaneous;
using Lucene.Net.Analysis.Standard;
using Lucene.Net.Analysis.TokenAttributes;
using Lucene.Net.Util;

namespace Marketplace.Search.Engine;

/// <summary>A word as it stands in the index, as it was written (lower case, no accents), and where it stands in the text it came from.</summary>
public readonly record struct TextWord(string Term, string Written, int Start, int End)
{
    public int Length => End - Start;
}

/// <summary>How text becomes words, the same for products and for what shoppers type, and for every engine.</summary>
public static class ProductText
{
    internal const LuceneVersion Version = LuceneVersion.LUCENE_48;
    internal const char AtStart = '^';
    internal const int LongestPrefix = 4;
    internal const int LongestBeginning = 20;

    /// <summary>Lower case, no accents, no plurals and other endings that a dictionary knows to be endings.</summary>
    internal static readonly Analyzer Words = Analyzer.NewAnonymous((_, reader) =>
    {
        var tokens = new StandardTokenizer(Version, reader);
        TokenStream stream = new EnglishPossessiveFilter(Version, tokens);
        stream = new LowerCaseFilter(Version, stream);
        stream = new ASCIIFoldingFilter(stream);
        return new TokenStreamComponents(tokens, new PluralFilter(new KStemFilter(stream)));
    });

    /// <summary>
    /// Every word, and the short beginnings that many words share, so that a completion is one look-up for them and a scan over few terms
    /// for longer ones; those of the first word a second time, marked.
    /// </summary>
    internal static readonly Analyzer Beginnings = Analyzer.NewAnonymous((_, reader) =>
    {
        var tokens = new StandardTokenizer(Version, reader);
        return new TokenStreamComponents(tokens, new BeginningsFilter(new ASCIIFoldingFilter(new LowerCaseFilter(Version, tokens))));
    });

    /// <summary>Words with their endings: what a misspelling is compared with. Of a word no dictionary has, an ending is a guess.</summary>
    internal static readonly Analyzer Written = Analyzer.NewAnonymous((_, reader) =>
    {
        var tokens = new StandardTokenizer(Version, reader);
        return new TokenStreamComponents(tokens, new ASCIIFoldingFilter(new LowerCaseFilter(Version, new EnglishPossessiveFilter(Version, tokens))));
    });

    public static IReadOnlyList<TextWord> WordsOf(string text, int most = int.MaxValue)
    {
        var written = Read(Written, text, most);
        return [.. Read(Words, text, most).Select((word, number) => word with { Written = written[number].Term })];
    }

    /// <summary>One word as it stands in the index.</summary>
    public static string TermOf(string written) => Read(Words, written, 1) is [var word] ? word.Term : written;

    /// <summary>What was typed as beginnings of words, none longer than those in the index.</summary>
    public static IReadOnlyList<string> BeginningsOf(string text, int most) =>
        [.. Read(Written, text, most).Select(word => word.Term.Length <= LongestBeginning ? word.Term : word.Term[..LongestBeginning])];

    private static List<TextWord> Read(Analyzer analyzer, string text, int most)
    {
        var words = new List<TextWord>();
        using var stream = analyzer.GetTokenStream("", text);
        var term = stream.AddAttribute<ICharTermAttribute>();
        var offset = stream.AddAttribute<IOffsetAttribute>();
        stream.Reset();
        while (words.Count < most && stream.IncrementToken())
            words.Add(new TextWord(term.ToString()!, "", offset.StartOffset, offset.EndOffset));
        return words;
    }

    /// <summary>What the dictionary holds for a word of its own (lights, glasses) is a plural in a shop all the same.</summary>
    private sealed class PluralFilter : TokenFilter
    {
        private readonly ICharTermAttribute term;

        public PluralFilter(TokenStream input)
            : base(input) => term = AddAttribute<ICharTermAttribute>();

        public override bool IncrementToken()
        {
            if (!m_input.IncrementToken())
                return false;

            var word = term.Buffer.AsSpan(0, term.Length);
            if (word.Length < 4 || !word.EndsWith("s") || word.EndsWith("ss") || word.EndsWith("us") || word.EndsWith("is"))
                return true;

            term.SetLength(word.Length - (word.EndsWith("sses") || word.EndsWith("xes") || word.EndsWith("ches") || word.EndsWith("shes") ? 2 : 1));
            return true;
        }
    }

    private sealed class BeginningsFilter : TokenFilter
    {
        private readonly ICharTermAttribute term;
        private readonly char[] word = new char[LongestBeginning];
        private int length;
        private int emitted;
        private int number = -1;
        private bool marked;

        public BeginningsFilter(TokenStream input)
            : base(input) => term = AddAttribute<ICharTermAttribute>();

        public override bool IncrementToken()
        {
            if (emitted == length)
            {
                if (number == 0 && !marked)
                {
                    marked = true;
                }
                else
                {
                    if (!m_input.IncrementToken())
                        return false;
                    length = Math.Min(term.Length, LongestBeginning);
                    term.Buffer.AsSpan(0, length).CopyTo(word);
                    (number, marked) = (number + 1, false);
                }

                emitted = 0;
            }

            emitted = emitted < LongestPrefix ? emitted + 1 : length;
            term.SetEmpty();
            if (marked)
                term.Append(AtStart);
            term.Append(word, 0, emitted);
            return true;
        }

        public override void Reset()
        {
            base.Reset();
            (length, emitted, number, marked) = (0, 0, -1, false);
        }
    }
}
