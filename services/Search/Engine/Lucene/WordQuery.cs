using Lucene.Net.Index;
using Lucene.Net.Search;
using Lucene.Net.Search.Similarities;
using Lucene.Net.Util;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// One word in one field, counting as rare as it is told. It scores as Lucene's own query for a term does, and reads with what
/// <see cref="SegmentWords"/> lends: Lucene's allocates tens of kilobytes for each word, field and segment, and the collections that
/// come of it were what the slowest searches waited for.
/// </summary>
internal sealed class WordQuery(IndexWords words, string field, string word, int rarity) : Query
{
    public override Weight CreateWeight(IndexSearcher searcher) => new WordWeight(this, searcher);

    public override void ExtractTerms(ISet<Term> terms) => terms.Add(new Term(field, word));

    public override string ToString(string? other) => $"{field}:{word}";

    public override bool Equals(object? obj) => base.Equals(obj) && obj is WordQuery other && ToString("") == other.ToString("");

    public override int GetHashCode() => HashCode.Combine(base.GetHashCode(), field, word);

    private int Field { get; } = SegmentWords.IndexOf(field);

    private string Word => word;

    private IndexWords Words => words;

    private int Rarity => rarity;

    private sealed class WordWeight : Weight
    {
        private readonly WordQuery query;
        private readonly Similarity similarity;
        private readonly Similarity.SimWeight stats;

        public WordWeight(WordQuery query, IndexSearcher searcher)
        {
            (this.query, similarity) = (query, searcher.Similarity);
            stats = similarity.ComputeWeight(query.Boost, query.Words.StatisticsOf(searcher, query.Field), new TermStatistics(new BytesRef(query.Word), query.Rarity, -1));
        }

        public override Query Query => query;

        public override float GetValueForNormalization() => stats.GetValueForNormalization();

        public override void Normalize(float norm, float topLevelBoost) => stats.Normalize(norm, topLevelBoost);

        public override Scorer? GetScorer(AtomicReaderContext context, IBits acceptDocs) =>
            query.Words.With(context, query.Field, query.Word, acceptDocs) is { } documents ? new WordScorer(this, documents, similarity.GetSimScorer(stats, context)) : null;

        public override Explanation Explain(AtomicReaderContext context, int doc) => new(0, "not explained");
    }

    private sealed class WordScorer(Weight weight, DocsEnum documents, Similarity.SimScorer scores) : Scorer(weight)
    {
        public override int DocID => documents.DocID;

        public override int Freq => documents.Freq;

        public override int NextDoc() => documents.NextDoc();

        public override int Advance(int target) => documents.Advance(target);

        public override long GetCost() => documents.GetCost();

        public override float GetScore() => scores.Score(documents.DocID, documents.Freq);
    }
}
