using System.Text.Json;
using Lucene.Net.Documents;
using Lucene.Net.Index;
using Lucene.Net.Util;
using Marketplace.Contracts;

namespace Marketplace.Search.Indexing;

/// <summary>A result as shoppers get it, kept in the index as they get it.</summary>
public sealed record FoundProduct(
    Guid ProductId, string Title, string Brand, string Category, Money Price, string? ImageUrl, Guid SellerId, string SellerName, bool InStock);

/// <summary>What a listing is indexed from: an event, or a page of the catalogue.</summary>
public sealed record IndexedListing(
    Guid ProductId, long Revision, Guid SellerId, string SellerName, string Title, string Description, string Brand, string Category, Money Price, string? ImageUrl, DateTimeOffset ListedAt);

/// <summary>
/// Three kinds of documents: a product; the trace of a deleted one; and, apart from its text because it changes a hundred times as often,
/// a product's stock.
/// </summary>
internal static class ProductDocument
{
    public const string Id = "id";
    public const string StockId = "stock";
    public const string Key = "key";
    public const string Kind = "kind";
    public const string KindNumber = "kind_number";
    public const string Title = "title";
    public const string Brand = "brand";
    public const string Category = "category";
    public const string CategoryText = "category_text";
    public const string Description = "description";
    public const string Beginnings = "beginnings";
    public const string Price = "price";
    public const string ListedAt = "listed_at";
    public const string Revision = "revision";
    public const string StockVersion = "stock_version";
    public const string Available = "available";
    public const string Result = "result";
    public const string Product = "product";

    public const long ProductKind = 1;
    public const long DeletedKind = 2;
    public const long StockKind = 3;

    private static readonly FieldType BeginningsType = Frozen(new FieldType(TextField.TYPE_NOT_STORED) { OmitNorms = true, IndexOptions = IndexOptions.DOCS_ONLY });

    public static Term TermOf(Guid productId) => new(Id, Text(productId));

    public static Term StockTermOf(Guid productId) => new(StockId, Text(productId));

    public static string Text(Guid productId) => productId.ToString("N");

    public static Document Of(IndexedListing listing)
    {
        var document = Start(Id, listing.ProductId, ProductKind);
        document.Add(new StringField(Kind, Product, Field.Store.NO));
        document.Add(new TextField(Title, listing.Title, Field.Store.NO));
        document.Add(new TextField(Brand, listing.Brand, Field.Store.NO));
        document.Add(new TextField(CategoryText, listing.Category, Field.Store.NO));
        document.Add(new TextField(Description, listing.Description, Field.Store.NO));
        document.Add(new StringField(Category, listing.Category, Field.Store.NO));
        document.Add(new Field(Beginnings, $"{listing.Title} {listing.Brand} {listing.Category}", BeginningsType));
        document.Add(new Int64Field(Price, listing.Price.Minor, Field.Store.NO));
        document.Add(new NumericDocValuesField(Price, listing.Price.Minor));
        document.Add(new Int64Field(ListedAt, listing.ListedAt.UtcTicks, Field.Store.NO));
        document.Add(new NumericDocValuesField(ListedAt, listing.ListedAt.UtcTicks));
        document.Add(new NumericDocValuesField(Revision, listing.Revision));
        document.Add(new StoredField(Result, JsonSerializer.SerializeToUtf8Bytes(
            new FoundProduct(listing.ProductId, listing.Title, listing.Brand, listing.Category, listing.Price, listing.ImageUrl, listing.SellerId, listing.SellerName, false),
            JsonSerializerOptions.Web)));
        return document;
    }

    public static Document Deleted(Guid productId, long revision)
    {
        var document = Start(Id, productId, DeletedKind);
        document.Add(new NumericDocValuesField(Revision, revision));
        return document;
    }

    public static Document Stock(Guid productId, long version, int available)
    {
        var document = Start(StockId, productId, StockKind);
        document.Add(new NumericDocValuesField(StockVersion, version));
        document.Add(new NumericDocValuesField(Available, available));
        return document;
    }

    public static FoundProduct Read(Document document, bool inStock)
    {
        var bytes = document.GetBinaryValue(Result);
        return JsonSerializer.Deserialize<FoundProduct>(bytes.Bytes.AsSpan(bytes.Offset, bytes.Length), JsonSerializerOptions.Web)! with { InStock = inStock };
    }

    private static Document Start(string idField, Guid productId, long kind)
    {
        var text = Text(productId);
        return
        [
            new StringField(idField, text, Field.Store.NO),
            new SortedDocValuesField(Key, new BytesRef(text)),
            new NumericDocValuesField(KindNumber, kind),
        ];
    }

    private static FieldType Frozen(FieldType type)
    {
        type.Freeze();
        return type;
    }
}
