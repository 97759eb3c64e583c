using Lucene.Net.Documents;
using Lucene.Net.Index;
using Lucene.Net.Store;
using Lucene.Net.Util;
using Marketplace.Search.Engine.Lucene;
using Xunit;

namespace Marketplace.Search.Tests;

public sealed class WhenOneSearchBorrowsALot
{
    [Fact]
    public void What_it_gives_back_is_lent_again_and_no_more_of_it_is_kept_than_searches_need()
    {
        using var directory = new RAMDirectory();
        using (var writer = new IndexWriter(directory, new IndexWriterConfig(LuceneVersion.LUCENE_48, ProductDocument.Analyzer)))
            writer.AddDocument([new TextField(ProductDocument.Title, "Brass lamp", Field.Store.NO)]);
        using var reader = DirectoryReader.Open(directory);
        var segment = reader.Leaves[0].AtomicReader;
        var (words, title) = (SegmentWords.Of(segment, new Vocabulary()), SegmentWords.IndexOf(ProductDocument.Title));

        var borrowed = Enumerable.Range(0, 500).Select(_ => words.Take(segment, title)).ToHashSet();
        foreach (var one in borrowed)
            words.GiveBack(one);

        Assert.InRange(Enumerable.Range(0, 500).Select(_ => words.Take(segment, title)).Count(borrowed.Contains), 32, 100);
    }
}
