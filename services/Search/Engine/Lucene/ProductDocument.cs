using System.Buffers.Binary;
using System.Text.Json;
using Lucene.Net.Analysis;
using Lucene.Net.Analysis.Miscellaneous;
using Lucene.Net.Documents;
using Lucene.Net.Index;
using Lucene.Net.Util;
using Marketplace.Contracts;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// Kinds of documents: a product; the trace of a deleted or a withdrawn one; apart from its text, because they change a hundred times as often, a
/// product's signals (stock, rating, sales); and for a while the trace of an order that was counted.
/// </summary>
internal static class ProductDocument
{
    public const string Id = "id";
    public const string SignalsId = "signals";
    public const string OrderId = "order";
    public const string Key = "key";
    public const string Kind = "kind";
    public const string KindNumber = "kind_number";
    public const string Title = "title";
    public const string Brand = "brand";
    public const string Shelf = "shelf";                        // categories, attributes, SKUs
    public const string Description = "description";
    public const string Spelling = "spelling";                  // words of the above with their endings
    public const string Beginnings = "beginnings";
    public const string Category = "category";
    public const string FacetTerms = "facet";
    public const string Price = "price";
    public const string ListedAt = "listed_at";
    public const string Revision = "revision";
    public const string StockVersion = "stock_version";
    public const string Available = "available";
    public const string RatingVersion = "rating_version";
    public const string Rating = "rating";
    public const string Ratings = "ratings";
    public const string Sold = "sold";
    public const string CountedAt = "counted_at";
    public const string Result = "result";
    public const string Text = "text";
    public const string Variants = "variants";
    public const string Product = "product";

    public const long ProductKind = 1;
    public const long DeletedKind = 2;
    public const long SignalsKind = 3;
    public const long OrderKind = 4;
    public const long WithdrawnKind = 5;

    private const int KeyLength = 16;
    private const int LongestTitle = 500;
    private const int LongestDescription = 8_000;

    private static readonly FieldType WordsOnly = Frozen(new FieldType(TextField.TYPE_NOT_STORED) { OmitNorms = true, IndexOptions = IndexOptions.DOCS_ONLY });

    private static readonly FieldType NoPlaces = Frozen(new FieldType(TextField.TYPE_NOT_STORED) { IndexOptions = IndexOptions.DOCS_AND_FREQS });

    public static Analyzer Analyzer { get; } = new PerFieldAnalyzerWrapper(ProductText.Words, new Dictionary<string, Analyzer> { [Beginnings] = ProductText.Beginnings, [Spelling] = ProductText.Written });

    public static Term TermOf(Guid productId) => new(Id, NameOf(productId));

    public static Term SignalsTermOf(Guid productId) => new(SignalsId, NameOf(productId));

    public static Term OrderTermOf(Guid orderId) => new(OrderId, NameOf(orderId));

    public static Document Of(IndexedListing listing)
    {
        var (title, description) = (Cut(listing.Title, LongestTitle), Cut(listing.Description, LongestDescription));
        var (shelves, attributes) = (listing.Shelves(), listing.AllAttributes());
        var shelf = string.Join(' ', shelves.SelectMany(one => (string[])[one.Code, one.Name]).Distinct(StringComparer.OrdinalIgnoreCase).Concat(attributes.Select(attribute => $"{attribute.Name} {attribute.Value}")));
        var document = Start(Id, listing.ProductId, ProductKind);
        document.Add(new StringField(Kind, Product, Field.Store.NO));
        document.Add(new TextField(Title, title, Field.Store.NO));
        document.Add(new Field(Brand, listing.Brand, NoPlaces));
        document.Add(new Field(Shelf, string.Join(' ', listing.Skus().Prepend(shelf)), NoPlaces));
        document.Add(new Field(Description, description, NoPlaces));
        document.Add(new Field(Spelling, $"{title} {listing.Brand} {shelf}", WordsOnly));
        document.Add(new Field(Beginnings, $"{title} {listing.Brand}", WordsOnly));
        foreach (var category in shelves.Select(one => FacetTerm.Alike(one.Code)).Distinct(StringComparer.Ordinal))
            document.Add(new StringField(Category, category, Field.Store.NO));
        foreach (var facet in FacetsOf(listing, shelves, attributes).Distinct(StringComparer.Ordinal))
            document.Add(new SortedSetDocValuesField(FacetTerms, new BytesRef(facet)));
        document.Add(new NumericDocValuesField(Price, listing.Price.Minor));
        document.Add(new NumericDocValuesField(ListedAt, listing.ListedAt.UtcTicks));
        document.Add(new NumericDocValuesField(Revision, listing.Revision));
        document.Add(new BinaryDocValuesField(Result, new BytesRef(JsonSerializer.SerializeToUtf8Bytes(
            new FoundProduct(listing.ProductId, title, listing.Brand, listing.Category, listing.Price, listing.ImageUrl, listing.SellerId, listing.SellerName, false),
            JsonSerializerOptions.Web))));
        document.Add(new BinaryDocValuesField(Text, new BytesRef(description)));
        if (listing.Variants is { Count: > 0 } variants)
            document.Add(new BinaryDocValuesField(Variants, new BytesRef([.. variants.SelectMany(variant => KeyOf(variant.VariantId))])));
        return document;
    }

    /// <summary>What is remembered of a listing that is not in the shop.</summary>
    public static Document Away(Guid productId, ProductState state)
    {
        var document = Start(Id, productId, state.Deleted ? DeletedKind : WithdrawnKind);
        document.Add(new NumericDocValuesField(Revision, state.Revision));
        return document;
    }

    public static Document Signals(Guid productId, ProductState state)
    {
        var document = Start(SignalsId, productId, SignalsKind);
        document.Add(new NumericDocValuesField(StockVersion, state.StockVersion));
        document.Add(new NumericDocValuesField(Available, state.Available));
        document.Add(new NumericDocValuesField(RatingVersion, state.RatingVersion));
        document.Add(new NumericDocValuesField(Rating, BitConverter.DoubleToInt64Bits(state.Rating)));
        document.Add(new NumericDocValuesField(Ratings, state.Ratings));
        document.Add(new NumericDocValuesField(Sold, BitConverter.DoubleToInt64Bits(state.Sold)));
        return document;
    }

    public static Document Order(Guid orderId, long countedAt)
    {
        var document = Start(OrderId, orderId, OrderKind);
        document.Add(new Int64Field(CountedAt, countedAt, Field.Store.NO));
        document.Add(new NumericDocValuesField(CountedAt, countedAt));
        return document;
    }

    public static Guid IdFrom(BytesRef key) => new(key.Bytes.AsSpan(key.Offset, key.Length), bigEndian: true);

    public static IReadOnlyList<Guid> IdsFrom(BytesRef keys) =>
        [.. Enumerable.Range(0, keys.Length / KeyLength).Select(number => new Guid(keys.Bytes.AsSpan(keys.Offset + number * KeyLength, KeyLength), bigEndian: true))];

    public static FoundProduct Read(BytesRef result) => JsonSerializer.Deserialize<FoundProduct>(result.Bytes.AsSpan(result.Offset, result.Length), JsonSerializerOptions.Web)!;

    private static IEnumerable<string> FacetsOf(IndexedListing listing, IReadOnlyList<(string Code, string Name)> shelves, IReadOnlyList<IndexedAttribute> attributes)
    {
        foreach (var (code, name) in shelves)
            yield return FacetTerm.Of(Facets.Category, code, name);
        if (listing.Brand.Length > 0)
            yield return FacetTerm.Of(Facets.Brand, listing.Brand);
        yield return FacetTerm.Of(Facets.Seller, listing.SellerId.ToString(), listing.SellerName);
        foreach (var attribute in attributes)
            yield return FacetTerm.Of(Facets.AttributePrefix + FacetTerm.Alike(attribute.Name), attribute.Value);
    }

    private static string NameOf(Guid id) => id.ToString("N");

    private static Document Start(string idField, Guid id, long kind) =>
    [
        new StringField(idField, NameOf(id), Field.Store.NO),
        new BinaryDocValuesField(Key, new BytesRef(KeyOf(id))),
        new NumericDocValuesField(KindNumber, kind),
    ];

    private static byte[] KeyOf(Guid id)
    {
        var key = new byte[KeyLength];
        BinaryPrimitives.WriteUInt128BigEndian(key, Products.KeyOf(id));
        return key;
    }

    private static string Cut(string text, int longest) =>
        text.Length <= longest ? text : text[..(char.IsHighSurrogate(text[longest - 1]) ? longest - 1 : longest)];

    private static FieldType Frozen(FieldType type)
    {
        type.Freeze();
        return type;
    }
}
