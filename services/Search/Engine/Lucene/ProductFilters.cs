namespace Marketplace.Search.Engine.Lucene;

/// <summary>How many results have each value of a facet, by the numbers of <see cref="FacetValues"/>; and by price, rating and stock.</summary>
internal sealed record FacetCounts(int[] Values, int[] Prices, int[] Ratings, int[] Stock);

/// <summary>The filters of one search, and what it counts.</summary>
internal sealed class ProductFilters
{
    public const int NoneFailed = -1;
    public const int Several = -2;
    private const int ByPrice = -10;
    private const int ByRating = -11;
    private const int ByStock = -12;

    private readonly FacetValues values;
    private readonly Filters filters;
    private readonly IReadOnlyCollection<string> counted;
    private readonly (string Name, int Dimension, int[] Numbers)[] chosen;
    private readonly bool countsValues;

    public ProductFilters(Ask ask, FacetValues values)
        : this(ask.Filters, ask.Counted, values)
    {
    }

    private ProductFilters(Filters filters, IReadOnlyCollection<string> counted, FacetValues values)
    {
        (this.filters, this.counted, this.values) = (filters, counted, values);
        chosen = [.. filters.Chosen.Select(one => (one.Dimension, values.DimensionOf(one.Dimension), one.Values.Select(value => values.NumberOf(one.Dimension, value)).Where(number => number >= 0).ToArray()))];
        countsValues = counted.Any(name => name is not (Engine.Facets.Price or Engine.Facets.Rating or Engine.Facets.Stock));
    }

    public static ProductFilters None { get; } = new(Filters.None, [], new FacetValues());

    /// <summary>A value nobody has.</summary>
    public bool NothingFits => chosen.Any(one => one.Numbers.Length == 0);

    public FacetCounts NewCounts() => new(countsValues ? new int[values.Count] : [], new int[Engine.Facets.PriceSteps.Count], new int[Engine.Facets.RatingSteps.Count], new int[1]);

    /// <summary>None, several, or the one: a dimension's number, or price, rating or stock.</summary>
    public int FailedBy(SegmentColumns segment, int document, int slot, Products.Columns signals)
    {
        var failed = NoneFailed;
        if (filters.InStock && signals.Available[slot] <= 0)
            failed = ByStock;
        if (filters.MinRating is { } rating && signals.Rating[slot] < rating)
        {
            if (failed != NoneFailed)
                return Several;
            failed = ByRating;
        }

        var price = segment.Price[document];
        if (price < filters.MinPrice || price > filters.MaxPrice)
        {
            if (failed != NoneFailed)
                return Several;
            failed = ByPrice;
        }

        foreach (var (_, dimension, numbers) in chosen)
        {
            if (HasOne(segment, document, numbers))
                continue;
            if (failed != NoneFailed || dimension < 0)
                return Several;
            failed = dimension;
        }

        return failed;
    }

    public void Count(FacetCounts counts, SegmentColumns segment, int document, int slot, Products.Columns signals, int failed)
    {
        if (counted.Count == 0)
            return;

        if (failed is NoneFailed or ByPrice)
        {
            var price = segment.Price[document];
            var step = counts.Prices.Length - 1;
            while (step > 0 && price < Engine.Facets.PriceSteps[step])
                step--;
            counts.Prices[step]++;
        }

        if (failed is NoneFailed or ByRating && signals.Ratings[slot] > 0)
        {
            for (var step = 0; step < counts.Ratings.Length; step++)
            {
                if (signals.Rating[slot] >= Engine.Facets.RatingSteps[step])
                    counts.Ratings[step]++;
            }
        }

        if (failed is NoneFailed or ByStock && signals.Available[slot] > 0)
            counts.Stock[0]++;
        if (!countsValues || failed is ByPrice or ByRating or ByStock)
            return;

        for (var at = segment.FacetStart[document]; at < segment.FacetStart[document + 1]; at++)
        {
            var number = segment.Facet[at];
            if ((failed == NoneFailed || values[number].Dimension == failed) && number < counts.Values.Length)
                counts.Values[number]++;
        }
    }

    public IReadOnlyList<Facet> Facets(FacetCounts counts)
    {
        if (counted.Count == 0)
            return [];

        var all = counted.Contains(Engine.Facets.All);
        var facets = new List<Facet>();
        if (countsValues)
        {
            foreach (var dimension in Enumerable.Range(0, counts.Values.Length).Where(number => counts.Values[number] > 0).GroupBy(number => values[number].Dimension))
            {
                var name = values.Dimensions[dimension.Key];
                if (all || counted.Contains(name))
                {
                    facets.Add(new Facet(name, [.. dimension
                        .OrderByDescending(number => counts.Values[number])
                        .ThenBy(number => values[number].Label, StringComparer.OrdinalIgnoreCase)
                        .Take(Engine.Facets.MostValues)
                        .Select(number => new FacetCount(values[number].Value, values[number].Label, counts.Values[number]))]));
                }
            }
        }

        if (all || counted.Contains(Engine.Facets.Price))
            facets.Add(new Facet(Engine.Facets.Price, [.. Enumerable.Range(0, counts.Prices.Length).Where(step => counts.Prices[step] > 0).Select(step => PriceRange(step, counts.Prices[step]))]));
        if (all || counted.Contains(Engine.Facets.Rating))
            facets.Add(new Facet(Engine.Facets.Rating, [.. Enumerable.Range(0, counts.Ratings.Length).Where(step => counts.Ratings[step] > 0).Select(step => AtLeast(Engine.Facets.RatingSteps[step], counts.Ratings[step]))]));
        if (all || counted.Contains(Engine.Facets.Stock))
            facets.Add(new Facet(Engine.Facets.Stock, counts.Stock[0] > 0 ? [new FacetCount("true", "In stock", counts.Stock[0])] : []));
        return [.. facets.OrderBy(facet => facet.Name.StartsWith(Engine.Facets.AttributePrefix, StringComparison.Ordinal)).ThenBy(facet => facet.Name, StringComparer.Ordinal)];
    }

    private static FacetCount PriceRange(int step, int count)
    {
        var from = Engine.Facets.PriceSteps[step];
        long? to = step + 1 < Engine.Facets.PriceSteps.Count ? Engine.Facets.PriceSteps[step + 1] : null;
        return new FacetCount($"{from}-{to}", to is null ? $"{from / 100} and more" : $"{from / 100} to {to / 100}", count, from, to);
    }

    private static FacetCount AtLeast(int stars, int count) => new($"{stars}", $"{stars} stars and more", count);

    private static bool HasOne(SegmentColumns segment, int document, int[] numbers)
    {
        for (var at = segment.FacetStart[document]; at < segment.FacetStart[document + 1]; at++)
        {
            if (Array.IndexOf(numbers, segment.Facet[at]) >= 0)
                return true;
        }

        return false;
    }
}
