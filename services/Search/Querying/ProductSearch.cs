using System.Globalization;
using Lucene.Net.Index;
using Lucene.Net.Search;
using Lucene.Net.Util;
using Marketplace.Hosting;
using Marketplace.Search.Indexing;

namespace Marketplace.Search.Querying;

public enum Order
{
    Relevance,
    Cheapest,
    Dearest,
    Newest,
}

public sealed record Wish(string Words, string? Category, long? MinPrice, long? MaxPrice, bool InStock, Order Order, int Limit);

public sealed record ResultPage(IReadOnlyList<FoundProduct> Items, string? Next);

/// <summary>Queries are put together from terms, never parsed from text: whatever a shopper types is words.</summary>
public sealed class ProductSearch(ProductIndex index)
{
    public const int DeepestResult = 1000;
    private const int MostWords = 12;
    private const int MostSuggestions = 10;

    private static readonly (string Field, float Weight)[] Weights =
    [
        (ProductDocument.Title, 4f), (ProductDocument.Brand, 3f), (ProductDocument.CategoryText, 2f), (ProductDocument.Description, 1f),
    ];

    /// <summary>Null when the cursor is not one of this search.</summary>
    public ResultPage? Find(Wish wish, string? cursor)
    {
        Query query = QueryOf(wish);
        var skip = 0;
        if (!string.IsNullOrEmpty(cursor))
        {
            if (!Cursor.TryDecode(cursor, out var parts) || parts is not [var order, var value, var key] || order != wish.Order.ToString()
                || !long.TryParse(value, CultureInfo.InvariantCulture, out var last))
                return null;

            if (wish.Order != Order.Relevance)
                query = After(query, wish.Order, last, key);
            else if (last is >= 0 and <= DeepestResult)
                skip = (int)last;
            else
                return null;
        }

        return index.Read(searcher =>
        {
            var filter = wish.InStock ? new InStockFilter(index) : null;
            var wanted = skip + wish.Limit + 1;
            var top = searcher.Search(query, filter, wanted, SortOf(wish.Order), doDocScores: false, doMaxScore: false);
            var page = top.ScoreDocs.Skip(skip).Take(wish.Limit).ToList();
            var items = page.Select(hit => Read(searcher, hit)).ToList();
            var more = top.ScoreDocs.Length > skip + wish.Limit && (wish.Order != Order.Relevance || skip + wish.Limit < DeepestResult);
            return new ResultPage(items, more ? NextOf(wish.Order, skip + wish.Limit, (FieldDoc)page[^1], items[^1]) : null);
        });
    }

    /// <summary>Titles in which every typed word begins some word; those that begin as typed first.</summary>
    public IReadOnlyList<string> Suggest(string typed)
    {
        var beginnings = ProductText.BeginningsOf(typed, MostWords);
        if (beginnings.Count == 0)
            return [];

        var query = new BooleanQuery();
        foreach (var beginning in beginnings.Distinct(StringComparer.Ordinal))
            query.Add(new TermQuery(new Term(ProductDocument.Beginnings, beginning)), Occur.MUST);

        var start = typed.Trim();
        return index.Read(searcher => searcher.Search(new ConstantScoreQuery(query), 200).ScoreDocs
            .Select(hit => Read(searcher, hit))
            .OrderByDescending(product => product.Title.StartsWith(start, StringComparison.OrdinalIgnoreCase))
            .ThenByDescending(product => product.InStock)
            .ThenBy(product => product.Title.Length)
            .Select(product => product.Title)
            .Distinct(StringComparer.OrdinalIgnoreCase)
            .Take(MostSuggestions)
            .ToList());
    }

    private static BooleanQuery QueryOf(Wish wish)
    {
        var query = new BooleanQuery { { WordsQuery(wish.Words), Occur.MUST } };
        if (wish.Category is { } category)
            query.Add(new ConstantScoreQuery(new TermQuery(new Term(ProductDocument.Category, category))) { Boost = 0 }, Occur.MUST);
        if (wish.MinPrice is not null || wish.MaxPrice is not null)
            query.Add(new ConstantScoreQuery(NumericRangeQuery.NewInt64Range(ProductDocument.Price, wish.MinPrice, wish.MaxPrice, true, true)) { Boost = 0 }, Occur.MUST);
        return query;
    }

    /// <summary>Up to two words must all be found; of more, three quarters: one odd word does not hide what was meant.</summary>
    private static Query WordsQuery(string typed)
    {
        var words = ProductText.WordsOf(typed, MostWords);
        if (words.Count == 0)
            return new TermQuery(new Term(ProductDocument.Kind, ProductDocument.Product)) { Boost = 0 };

        var all = new BooleanQuery { MinimumNumberShouldMatch = words.Count <= 2 ? words.Count : (int)Math.Ceiling(words.Count * 0.75) };
        foreach (var (word, length) in words)
            all.Add(WordQuery(word, length), Occur.SHOULD);
        return all;
    }

    /// <summary>The best of the fields counts, not their sum; a misspelt match counts less than any right one.</summary>
    private static DisjunctionMaxQuery WordQuery(string word, int length)
    {
        var best = new DisjunctionMaxQuery(0.1f);
        foreach (var (field, weight) in Weights)
            best.Add(new TermQuery(new Term(field, word)) { Boost = weight });

        var edits = EditsFor(word, length);
        if (edits > 0)
        {
            foreach (var (field, weight) in Weights[..2])
                best.Add(Fuzzy(field, word, edits, weight));
        }

        return best;
    }

    /// <summary>Codes and sizes are meant as typed; short words have too many neighbours.</summary>
    private static int EditsFor(string word, int length) =>
        word.Any(char.IsAsciiDigit) || length <= 2 ? 0 : length <= 5 ? 1 : 2;

    private static FuzzyQuery Fuzzy(string field, string word, int edits, float weight) => new(new Term(field, word), edits, prefixLength: 0, maxExpansions: 50, transpositions: true)
    {
        // By closeness only: a rare misspelling must not outrank the word itself.
        MultiTermRewriteMethod = new MultiTermQuery.TopTermsBoostOnlyBooleanQueryRewrite(50),
        Boost = weight * 0.1f,
    };

    private static Sort SortOf(Order order) => order switch
    {
        Order.Cheapest => new Sort(new SortField(ProductDocument.Price, SortFieldType.INT64), ByKey),
        Order.Dearest => new Sort(new SortField(ProductDocument.Price, SortFieldType.INT64, reverse: true), ByKey),
        Order.Newest => new Sort(new SortField(ProductDocument.ListedAt, SortFieldType.INT64, reverse: true), ByKey),
        _ => new Sort(SortField.FIELD_SCORE, ByKey),
    };

    // Ties need an order of their own, or pages overlap.
    private static SortField ByKey { get; } = new(ProductDocument.Key, SortFieldType.STRING);

    /// <summary>Sorted by a field, the next page starts behind the last value, whatever has been indexed since.</summary>
    private static BooleanQuery After(Query query, Order order, long last, string key)
    {
        var field = order == Order.Newest ? ProductDocument.ListedAt : ProductDocument.Price;
        var beyond = order == Order.Cheapest
            ? NumericRangeQuery.NewInt64Range(field, last, null, false, false)
            : NumericRangeQuery.NewInt64Range(field, null, last, false, false);
        var behind = new BooleanQuery
        {
            { beyond, Occur.SHOULD },
            {
                new BooleanQuery
                {
                    { NumericRangeQuery.NewInt64Range(field, last, last, true, true), Occur.MUST },
                    { TermRangeQuery.NewStringRange(ProductDocument.Id, key, null, false, false), Occur.MUST },
                },
                Occur.SHOULD
            },
        };
        return new BooleanQuery { { query, Occur.MUST }, { new ConstantScoreQuery(behind) { Boost = 0 }, Occur.MUST } };
    }

    private static string NextOf(Order order, int seen, FieldDoc last, FoundProduct product) => order == Order.Relevance
        ? Cursor.Encode(order, seen, "")
        : Cursor.Encode(order, Convert.ToInt64(last.Fields[0], CultureInfo.InvariantCulture), ProductDocument.Text(product.ProductId));

    private FoundProduct Read(IndexSearcher searcher, ScoreDoc hit)
    {
        var product = ProductDocument.Read(searcher.Doc(hit.Doc), inStock: false);
        return product with { InStock = index.StateOf(product.ProductId).InStock };
    }

    /// <summary>Stock changes far more often than text, so it is looked up, not indexed with the product.</summary>
    private sealed class InStockFilter(ProductIndex index) : Filter
    {
        public override DocIdSet GetDocIdSet(AtomicReaderContext context, IBits acceptDocs) => new Docs(context.AtomicReader, acceptDocs, index);

        private sealed class Docs(AtomicReader segment, IBits acceptDocs, ProductIndex index) : FieldCacheDocIdSet(segment.MaxDoc, acceptDocs)
        {
            private readonly SortedDocValues? keys = segment.GetSortedDocValues(ProductDocument.Key);
            private readonly BytesRef key = new();

            protected override bool MatchDoc(int doc)
            {
                if (keys is null)
                    return false;
                keys.Get(doc, key);
                return Guid.TryParseExact(key.Utf8ToString(), "N", out var productId) && index.StateOf(productId).InStock;
            }
        }
    }
}
