using Elastic.Clients.Elasticsearch;
using Elastic.Clients.Elasticsearch.Analysis;
using Elastic.Clients.Elasticsearch.IndexManagement;
using Elastic.Clients.Elasticsearch.Mapping;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>
/// The shape of an index. Text comes as the words <see cref="ProductText"/> makes of it, separated by spaces, so that Elasticsearch's own
/// stemmer, which is of another version, cannot disagree with how a query is read.
/// </summary>
internal static class ProductIndex
{
    /// <summary>Goes up when documents change their shape: an index of another format is filled anew.</summary>
    public const string Format = "1";
    public const string ExistsAlready = "resource_already_exists_exception";
    public const string FormatKey = "format";
    public const string FilledKey = "filled";
    public const string RebuiltByKey = "rebuilt_by";
    public const string RebuiltAtKey = "rebuilt_at";

    public const string Id = "id";
    public const string Listed = "listed";
    public const string Deleted = "deleted";
    public const string Revision = "revision";
    public const string Touched = "touched";                    // when any part changed, by Elasticsearch's clock, milliseconds
    public const string Title = "title";
    public const string Brand = "brand";
    public const string Shelf = "shelf";                        // categories, attributes, SKUs
    public const string Description = "description";
    public const string Words = "words";                        // all of the above
    public const string Spelling = "spelling";                  // words with their endings
    public const string Beginnings = "beginnings";
    public const string FirstBeginning = "first_beginning";
    public const string CategoryValue = "category_value";       // to filter by: as FacetTerm.Alike
    public const string BrandValue = "brand_value";
    public const string SellerValue = "seller_value";
    public const string AttributeValue = "attribute_value";
    public const string CategoryFacet = "category_facet";       // to count: value and label
    public const string BrandFacet = "brand_facet";
    public const string SellerFacet = "seller_facet";
    public const string AttributeFacet = "attribute_facet";
    public const string Price = "price";
    public const string ListedAt = "listed_at";
    public const string Shown = "shown";                        // what a result is answered from
    public const string ShownText = "shown_text";
    public const string Variants = "variants";                  // ids of what the listing is sold as; none when it is sold as itself
    public const string StockVersion = "stock_version";
    public const string Available = "available";
    public const string RatingVersion = "rating_version";
    public const string Rating = "rating";
    public const string Ratings = "ratings";
    public const string RatingRank = "rating_rank";             // rating, then how many, in one number
    public const string OwnSold = "own_sold";                   // under its own id
    public const string Orders = "orders";                      // counted ones, each with when
    public const string OfVariants = "of_variants";             // stock and sales told under the ids of its variants
    public const string Listing = "listing";                    // of a variant: whose it is
    public const string InStock = "in_stock";                   // made of the above
    public const string Sold = "sold";

    /// <summary>What the listing says; its revision decides about all of it at once.</summary>
    public static readonly string[] OfText =
    [
        Listed, Deleted, Revision, Title, Brand, Shelf, Description, Spelling, Beginnings, FirstBeginning, CategoryValue, BrandValue, SellerValue, AttributeValue,
        CategoryFacet, BrandFacet, SellerFacet, AttributeFacet, Price, ListedAt, Shown, ShownText, Variants,
    ];

    /// <summary>What no catalogue can tell. What is counted of variants follows from their own.</summary>
    public static readonly string[] OfSignals = [StockVersion, Available, RatingVersion, Rating, Ratings, RatingRank, OwnSold, Orders];

    public static readonly string[] OfStock = [StockVersion, Available];

    public static readonly string[] OfRating = [RatingVersion, Rating, Ratings, RatingRank];

    public static readonly string[] OfSales = [OwnSold, Orders];

    private const string Plain = "whitespace";
    private const string BeginningsAnalyzer = "beginnings";
    private const string Names = "names";
    private const string Prose = "prose";

    // BM25 without its measure of rarity, which comes with the query (see WordsQuery), and with k1 and b as the embedded engine has them:
    // a word twice in a title says little more than once; a short title that has it says more than a long one.
    private const string NamesScore = "return query.boost * 1.4 * doc.freq / (doc.freq + 0.4 * (0.4 + 0.6 * doc.length * field.docCount / field.sumTotalTermFreq));";
    private const string ProseScore = "return query.boost * 2.2 * doc.freq / (doc.freq + 1.2 * (0.25 + 0.75 * doc.length * field.docCount / field.sumTotalTermFreq));";

    /// <param name="meta">What is told of the index as a whole.</param>
    /// <param name="serving">Behind the alias from its first moment; else it is filled first.</param>
    public static CreateIndexRequest Create(string name, ElasticsearchOptions options, IDictionary<string, object> meta, bool serving) => new(name)
    {
        Aliases = serving ? new Dictionary<Name, Alias> { [options.Index] = new() } : null,
        Settings = new IndexSettings
        {
            NumberOfShards = options.Shards == 1 ? null : options.Shards,       // 1 is what it makes by itself
            AutoExpandReplicas = "0-1",
            RefreshInterval = serving ? null : new Duration("1h"),                  // nobody searches it yet
            Similarity = new SettingsSimilarities(new Dictionary<string, ISettingsSimilarity>
            {
                [Names] = new SettingsSimilarityScripted { Script = new Script { Source = NamesScore } },
                [Prose] = new SettingsSimilarityScripted { Script = new Script { Source = ProseScore } },
            }),
            Analysis = new IndexSettingsAnalysis
            {
                Analyzers = new Analyzers { { BeginningsAnalyzer, new CustomAnalyzer { Tokenizer = Plain, Filter = [BeginningsAnalyzer] } } },
                TokenFilters = new TokenFilters { { BeginningsAnalyzer, new EdgeNGramTokenFilter { MinGram = 1, MaxGram = ProductText.LongestBeginning } } },
            },
        },
        Mappings = new TypeMapping
        {
            Dynamic = DynamicMapping.Strict,
            Meta = meta,
            Properties = new Properties
            {
                { Id, new KeywordProperty() },
                { Listed, new BooleanProperty() },
                { Deleted, new BooleanProperty { Index = false } },
                { Revision, new LongNumberProperty { Index = false } },
                { Touched, new LongNumberProperty() },
                { Title, new TextProperty { Analyzer = Plain, Similarity = Names, CopyTo = Words } },
                { Brand, new TextProperty { Analyzer = Plain, Similarity = Names, CopyTo = Words, IndexOptions = IndexOptions.Freqs } },
                { Shelf, new TextProperty { Analyzer = Plain, Similarity = Names, CopyTo = Words, IndexOptions = IndexOptions.Freqs } },
                { Description, new TextProperty { Analyzer = Plain, Similarity = Prose, CopyTo = Words, IndexOptions = IndexOptions.Freqs } },
                { Words, WordsOnly(Plain) },
                { Spelling, WordsOnly(Plain) },
                { Beginnings, WordsOnly(BeginningsAnalyzer) },
                { FirstBeginning, WordsOnly(BeginningsAnalyzer) },
                { CategoryValue, new KeywordProperty { DocValues = false } },
                { BrandValue, new KeywordProperty { DocValues = false } },
                { SellerValue, new KeywordProperty { DocValues = false } },
                { AttributeValue, new KeywordProperty { DocValues = false } },
                { CategoryFacet, new KeywordProperty { Index = false } },
                { BrandFacet, new KeywordProperty { Index = false } },
                { SellerFacet, new KeywordProperty { Index = false } },
                { AttributeFacet, new KeywordProperty { Index = false } },
                { Price, new LongNumberProperty() },
                { ListedAt, new LongNumberProperty() },
                { Shown, new ObjectProperty { Enabled = false } },
                { ShownText, new KeywordProperty { Index = false, DocValues = false } },
                { StockVersion, new LongNumberProperty { Index = false } },
                { Available, new IntegerNumberProperty { Index = false } },
                { RatingVersion, new LongNumberProperty { Index = false } },
                { Rating, new DoubleNumberProperty() },
                { Ratings, new IntegerNumberProperty() },
                { RatingRank, new LongNumberProperty() },
                { Variants, new KeywordProperty { Index = false, DocValues = false } },
                { OwnSold, new DoubleNumberProperty { Index = false, DocValues = false } },
                { Orders, new ObjectProperty { Enabled = false } },
                { OfVariants, new ObjectProperty { Enabled = false } },
                { Listing, new KeywordProperty { Index = false, DocValues = false } },
                { InStock, new BooleanProperty() },
                { Sold, new DoubleNumberProperty() },
            },
        },
    };

    public static string NameOf(string alias, long number) => $"{alias}-{number}";

    /// <summary>Null when the name is not of this shape.</summary>
    public static long? NumberOf(string alias, string name) =>
        name.StartsWith(alias + "-", StringComparison.Ordinal) && long.TryParse(name.AsSpan(alias.Length + 1), out var number) ? number : null;

    private static TextProperty WordsOnly(string analyzer) => new() { Analyzer = analyzer, SearchAnalyzer = Plain, IndexOptions = IndexOptions.Docs, Norms = false };
}
