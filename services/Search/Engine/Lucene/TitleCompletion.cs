using System.Buffers;
using System.Numerics;
using System.Text.Json;
using Lucene.Net.Index;
using Lucene.Net.Search;
using Lucene.Net.Util;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// Titles and categories in which every typed word begins some word: titles that begin as typed first, then what is in stock and sells.
/// When there are none, one letter of each word may be wrong.
/// </summary>
internal sealed class TitleCompletion(LuceneIndex index, IndexSearcher searcher, IndexWords words)
{
    private const int MostWords = 8;
    private static readonly int Field = SegmentWords.IndexOf(ProductDocument.Beginnings);
    private const int MostWaysOfOne = 40;
    private const int MostLookedAt = 400;
    private const int Enough = 4;                               // products looked at for each title wanted: many share one

    public IReadOnlyList<Completion> Complete(string typed, int most)
    {
        var beginnings = ProductText.BeginningsOf(typed, MostWords).Distinct(StringComparer.Ordinal).ToList();
        if (beginnings.Count == 0)
            return [];

        List<Completion> exact = [.. Titles(beginnings.ConvertAll(Words), most), .. Categories(beginnings, 0)];
        return exact.Count > 0 ? exact : [.. Titles(beginnings.ConvertAll(Near), most), .. Categories(beginnings, 1)];
    }

    private IEnumerable<Completion> Categories(IReadOnlyList<string> beginnings, int edits) =>
        index.Values.Categories
            .Where(category => Beginnings.Fit(category.Words, beginnings, edits))
            .Select(category => category.Value)
            .Select(value => (value.Label, value.Value, Products: searcher.Search(new TermQuery(new Term(ProductDocument.Category, value.Value)), 1).TotalHits))   // without deleted ones
            .Where(category => category.Products > 0)
            .OrderByDescending(category => category.Products)
            .Select(category => new Completion(category.Label, "category", category.Value));

    /// <param name="ways">Of each word typed the terms it may stand for.</param>
    private List<Completion> Titles(List<List<string>> ways, int most)
    {
        var titles = new List<string>();
        // The first word typed stands first in the title: of short beginnings a small part of all, and mostly enough of them.
        Find([Commonest([.. ways[0].Select(way => ProductText.AtStart + way)]), .. ways.Skip(1)], most, titles);
        if (titles.Count < most)
            Find(ways, most, titles);
        return titles.ConvertAll(title => new Completion(title, "title"));
    }

    private void Find(List<List<string>> ways, int most, List<string> titles)
    {
        if (ways.Exists(some => some.Count == 0))
            return;

        var best = new Best(index.Products.Current, most * Enough);
        foreach (var leaf in searcher.IndexReader.Leaves)
            Find(leaf, ways, best);

        var leaves = searcher.IndexReader.Leaves;
        var bytes = new BytesRef();
        foreach (var document in best.Top())
        {
            if (titles.Count == most)
                return;
            var leaf = leaves[ReaderUtil.SubIndex(document, leaves)];
            leaf.AtomicReader.GetBinaryDocValues(ProductDocument.Result).Get(document - leaf.DocBase, bytes);
            var title = TitleOf(bytes);
            if (!titles.Contains(title, StringComparer.OrdinalIgnoreCase))
                titles.Add(title);
        }
    }

    private void Find(AtomicReaderContext leaf, List<List<string>> ways, Best best)
    {
        var (segment, words) = (leaf.AtomicReader, index.Segments.WordsOf(leaf.AtomicReader));
        var reader = words.Take(segment, Field);
        var (slots, live) = (index.Segments.Of(segment).Slot, segment.LiveDocs);
        if (ways is [[var single]])
        {
            if (reader.With(single, live, DocsFlags.NONE) is { } documents)
            {
                for (int document; (document = documents.NextDoc()) != DocIdSetIterator.NO_MORE_DOCS;)
                    best.Offer(leaf.DocBase + document, slots[document]);
            }
        }
        else
        {
            var size = (segment.MaxDoc + 63) / 64;
            var (all, some) = (ArrayPool<ulong>.Shared.Rent(size), ArrayPool<ulong>.Shared.Rent(size));
            var any = Mark(reader, ways[0], live, all.AsSpan(0, size));
            for (var i = 1; any && i < ways.Count; i++)
            {
                any = Mark(reader, ways[i], live, some.AsSpan(0, size));
                for (var at = 0; at < size; at++)
                    all[at] &= some[at];
            }

            for (var at = 0; any && at < size; at++)
            {
                for (var bits = all[at]; bits != 0; bits &= bits - 1)
                {
                    var document = at * 64 + BitOperations.TrailingZeroCount(bits);
                    best.Offer(leaf.DocBase + document, slots[document]);
                }
            }

            ArrayPool<ulong>.Shared.Return(all);
            ArrayPool<ulong>.Shared.Return(some);
        }

        words.GiveBack(reader);
    }

    private static bool Mark(SegmentWords.Reader reader, List<string> ways, IBits live, Span<ulong> marked)
    {
        marked.Clear();
        var any = false;
        foreach (var way in ways)
        {
            if (reader.With(way, live, DocsFlags.NONE) is not { } documents)
                continue;
            for (int document; (document = documents.NextDoc()) != DocIdSetIterator.NO_MORE_DOCS; any = true)
                marked[document >> 6] |= 1UL << (document & 63);
        }

        return any;
    }

    private static string TitleOf(BytesRef result)
    {
        var json = new Utf8JsonReader(result.Bytes.AsSpan(result.Offset, result.Length));
        while (json.Read())
        {
            if (json.TokenType == JsonTokenType.PropertyName && json.ValueTextEquals("title"u8))
                return json.Read() ? json.GetString()! : "";
        }

        return "";
    }

    private List<string> Words(string beginning) => Commonest(TermsOf(beginning));

    private List<string> Near(string beginning) =>
        beginning.Length < Beginnings.ShortestWithTypo || beginning.Any(char.IsAsciiDigit) ? Words(beginning)
        : Commonest([beginning, .. index.Vocabulary.Meant(beginning).SelectMany(TermsOf)]);

    /// <summary>A short beginning is a term of its own; of a longer one all words it begins.</summary>
    private string[] TermsOf(string beginning) =>
        beginning.Length <= ProductText.LongestPrefix ? [beginning] : index.Vocabulary.Beginning(beginning, MostLookedAt).ToArray();

    private List<string> Commonest(string[] terms)
    {
        if (terms.Length == 1)
            return words.ProductsWith(ProductDocument.Beginnings, terms[0]) > 0 ? [terms[0]] : [];

        var known = new List<(string Term, int Products)>();
        foreach (var term in terms.Distinct(StringComparer.Ordinal))
        {
            if (words.ProductsWith(ProductDocument.Beginnings, term) is > 0 and var products)
                known.Add((term, products));
        }

        if (known.Count > MostWaysOfOne)
        {
            known.Sort((one, other) => other.Products.CompareTo(one.Products));
            known.RemoveRange(MostWaysOfOne, known.Count - MostWaysOfOne);
        }

        return known.ConvertAll(one => one.Term);
    }

    /// <summary>What is in stock and sells.</summary>
    private sealed class Best(Products.Columns signals, int most)
    {
        private readonly PriorityQueue<int, (bool InStock, double Sold, UInt128 Key)> best = new(most + 1);
        private (bool InStock, double Sold, UInt128 Key) worst;

        public void Offer(int document, int slot)
        {
            if (slot < 0 || slot >= signals.Key.Length)
                return;

            var inStock = signals.Available[slot] > 0;
            var full = best.Count == most;
            if (full && (worst.InStock && !inStock || worst.InStock == inStock && signals.Sold[slot] < worst.Sold))
                return;                                         // nearly all of many

            var rank = (inStock, signals.Sold[slot], signals.Key[slot]);
            if (!full)
                best.Enqueue(document, rank);
            else if (rank.CompareTo(worst) > 0)
                best.EnqueueDequeue(document, rank);
            else
                return;
            best.TryPeek(out _, out worst);
        }

        public List<int> Top()
        {
            var top = new List<int>(best.Count);
            while (best.TryDequeue(out var next, out _))
                top.Add(next);
            top.Reverse();
            return top;
        }
    }
}
