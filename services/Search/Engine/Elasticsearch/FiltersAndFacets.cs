using System.Globalization;
using Elastic.Clients.Elasticsearch;
using Elastic.Clients.Elasticsearch.Aggregations;
using Elastic.Clients.Elasticsearch.QueryDsl;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>The filters of one search, and what it counts. Who fails one filter only still counts in that filter's facet.</summary>
internal sealed class FiltersAndFacets
{
    private const string Values = "values";
    private const string OtherAttributes = "attr";

    /// <summary>Values of a facet that are alike but for their case come as several.</summary>
    private const int ValuesAskedFor = 2 * Facets.MostValues;
    private const int AttributeValuesAskedFor = 1_000;

    private static readonly (string Dimension, string Field)[] Named =
        [(Facets.Category, ProductIndex.CategoryFacet), (Facets.Brand, ProductIndex.BrandFacet), (Facets.Seller, ProductIndex.SellerFacet)];

    private readonly List<(string Dimension, Query Filter)> filters = [];
    private readonly IReadOnlyCollection<string> counted;
    private readonly bool all;

    public FiltersAndFacets(Ask ask)
    {
        counted = ask.Counted;
        all = counted.Contains(Facets.All);
        foreach (var chosen in ask.Filters.Chosen)
            filters.Add((chosen.Dimension, Chosen(chosen)));
        if (ask.Filters.MinPrice is not null || ask.Filters.MaxPrice is not null)
            filters.Add((Facets.Price, new NumberRangeQuery(ProductIndex.Price) { Gte = ask.Filters.MinPrice, Lte = ask.Filters.MaxPrice }));
        if (ask.Filters.MinRating is { } rating)
            filters.Add((Facets.Rating, new NumberRangeQuery(ProductIndex.Rating) { Gte = rating }));
        if (ask.Filters.InStock)
            filters.Add((Facets.Stock, new TermQuery(ProductIndex.InStock, true)));
    }

    /// <summary>Null when there is none.</summary>
    public Query? Filter => But(null);

    public Dictionary<string, Aggregation>? Aggregations()
    {
        var aggregations = new Dictionary<string, Aggregation>();
        foreach (var (dimension, field) in Named)
        {
            if (Counts(dimension))
                aggregations[dimension] = Within(dimension, new TermsAggregation { Field = field, Size = ValuesAskedFor });
        }

        // What attributes there are nobody says: those that were not asked for by name are counted together.
        foreach (var dimension in counted.Concat(all ? filters.Select(filter => filter.Dimension) : []).Where(IsAttribute).Distinct())
            aggregations[dimension] = Within(dimension, new TermsAggregation { Field = ProductIndex.AttributeFacet, Size = ValuesAskedFor, Include = new TermsInclude(Beginning(dimension)) });
        if (all)
            aggregations[OtherAttributes] = Within(null, new TermsAggregation { Field = ProductIndex.AttributeFacet, Size = AttributeValuesAskedFor });
        if (Counts(Facets.Price))
            aggregations[Facets.Price] = Within(Facets.Price, new RangeAggregation { Field = ProductIndex.Price, Ranges = [.. Facets.PriceSteps.Index().Select(step => new AggregationRange { Key = $"{step.Index}", From = step.Item, To = EndOf(step.Index) })] });
        if (Counts(Facets.Rating))
            aggregations[Facets.Rating] = Within(Facets.Rating, new RangeAggregation { Field = ProductIndex.Rating, Ranges = [.. Facets.RatingSteps.Select(step => new AggregationRange { Key = $"{step}", From = step })] });
        if (Counts(Facets.Stock))
            aggregations[Facets.Stock] = new Aggregation { Filter = new BoolQuery { Filter = [new TermQuery(ProductIndex.InStock, true), .. Others(Facets.Stock)] } };
        return aggregations.Count > 0 ? aggregations : null;
    }

    public static IReadOnlyList<Facet> Read(AggregateDictionary? answer)
    {
        var facets = new Dictionary<string, Facet>(StringComparer.Ordinal);
        foreach (var name in answer?.Keys ?? [])
        {
            var within = answer!.GetFilter(name);
            if (name == Facets.Stock)
                facets[name] = new Facet(name, within?.DocCount > 0 ? [new FacetCount("true", "In stock", (int)within.DocCount)] : []);
            else if (name == Facets.Price)
                facets[name] = new Facet(name, [.. Ranges(within).Select(range => PriceRange(int.Parse(range.Key!, CultureInfo.InvariantCulture), (int)range.DocCount))]);
            else if (name == Facets.Rating)
                facets[name] = new Facet(name, [.. Ranges(within).OrderByDescending(range => range.Key, StringComparer.Ordinal).Select(range => new FacetCount(range.Key!, $"{range.Key} stars and more", (int)range.DocCount))]);
            else
                foreach (var facet in Terms(within).Where(facet => name != OtherAttributes || !answer.ContainsKey(facet.Name)))
                    facets[facet.Name] = facet;
        }

        return InOrder(facets.Values);
    }

    /// <summary>Of no results.</summary>
    public IReadOnlyList<Facet> Nothing() =>
        InOrder(new[] { Facets.Price, Facets.Rating, Facets.Stock }.Where(Counts).Select(name => new Facet(name, [])));

    private bool Counts(string name) => all || counted.Contains(name);

    private Aggregation Within(string? dimension, Aggregation counts) => new()
    {
        Filter = But(dimension) ?? new MatchAllQuery(),
        Aggregations = new Dictionary<string, Aggregation> { [Values] = counts },
    };

    private Query? But(string? dimension) => Others(dimension).ToList() switch
    {
        [] => null,
        var others => (Query)new BoolQuery { Filter = others },
    };

    private IEnumerable<Query> Others(string? dimension) => filters.Where(filter => filter.Dimension != dimension).Select(filter => filter.Filter);

    private static TermsQuery Chosen(Chosen chosen)
    {
        var values = chosen.Values.Select(value => (FieldValue)(IsAttribute(chosen.Dimension) ? ProductParts.AttributeOf(chosen.Dimension[Facets.AttributePrefix.Length..], value) : FacetTerm.Alike(value))).ToArray();
        return new TermsQuery(FieldOf(chosen.Dimension), values);
    }

    private static string FieldOf(string dimension) => dimension switch
    {
        Facets.Category => ProductIndex.CategoryValue,
        Facets.Brand => ProductIndex.BrandValue,
        Facets.Seller => ProductIndex.SellerValue,
        _ => ProductIndex.AttributeValue,
    };

    private static bool IsAttribute(string dimension) => dimension.StartsWith(Facets.AttributePrefix, StringComparison.Ordinal);

    /// <summary>Every sign that may mean something in a pattern is taken for itself.</summary>
    private static string Beginning(string dimension) =>
        string.Concat(FacetTerm.Of(dimension, "")[..(dimension.Length + 1)].Select(sign => char.IsLetterOrDigit(sign) ? $"{sign}" : $"\\{sign}")) + ".*";

    private static IEnumerable<RangeBucket> Ranges(FilterAggregate? within) => within?.Aggregations?.GetRange(Values)?.Buckets.Where(range => range.DocCount > 0) ?? [];

    private static IEnumerable<Facet> Terms(FilterAggregate? within) => (within?.Aggregations?.GetStringTerms(Values)?.Buckets ?? [])
        .Select(bucket => (Term: FacetTerm.Read(bucket.Key.Value!.ToString()!), bucket.DocCount))
        .GroupBy(bucket => bucket.Term.Dimension, StringComparer.Ordinal)
        .Select(dimension => new Facet(dimension.Key, [.. dimension
            .GroupBy(bucket => bucket.Term.Value, StringComparer.Ordinal)
            .Select(same => new FacetCount(same.Key, same.MaxBy(bucket => bucket.DocCount).Term.Label, (int)same.Sum(bucket => bucket.DocCount)))
            .OrderByDescending(value => value.Count)
            .ThenBy(value => value.Label, StringComparer.OrdinalIgnoreCase)
            .Take(Facets.MostValues)]));

    private static FacetCount PriceRange(int step, int count)
    {
        var from = Facets.PriceSteps[step];
        var to = EndOf(step);
        return new FacetCount($"{from}-{to}", to is null ? $"{from / 100} and more" : $"{from / 100} to {to / 100}", count, from, to);
    }

    private static long? EndOf(int step) => step + 1 < Facets.PriceSteps.Count ? Facets.PriceSteps[step + 1] : null;

    private static IReadOnlyList<Facet> InOrder(IEnumerable<Facet> facets) =>
        [.. facets.OrderBy(facet => IsAttribute(facet.Name)).ThenBy(facet => facet.Name, StringComparer.Ordinal)];
}
