namespace Marketplace.Local.Replay;

/// <summary>One book's account of the same sales. Null where a book does not know: a payment has no units, a movement no price.</summary>
public sealed record BookTotals(string Book, long Orders, long? Units, long? Minor);

/// <summary>Everything that must agree after a replay, and whether it does.</summary>
public sealed record Reconciliation(
    BookTotals File,
    IReadOnlyList<BookTotals> System,
    int Sent,
    int Confirmed,
    IReadOnlyDictionary<string, int> Failures,
    int Open,
    long StockLeft,
    long StockReserved,
    int ProductsWithStock)
{
    /// <summary>Nothing but what went wrong; empty means that the books balance.</summary>
    public IReadOnlyList<string> Differences()
    {
        List<string> differences = [];
        foreach (var (reason, count) in Failures)
            differences.Add($"{count} orders failed: {reason}");
        if (Open > 0)
            differences.Add($"{Open} orders have not come to an end");
        if (Confirmed != Sent)
            differences.Add($"{Sent} orders were sent, {Confirmed} are confirmed");
        foreach (var book in System)
        {
            if (book.Orders != File.Orders)
                differences.Add($"{book.Book}: {book.Orders} orders instead of {File.Orders}");
            if (book.Units is { } units && units != File.Units)
                differences.Add($"{book.Book}: {units} units instead of {File.Units}");
            if (book.Minor is { } minor && minor != File.Minor)
                differences.Add($"{book.Book}: {Pounds(minor)} instead of {Pounds(File.Minor!.Value)}");
        }

        if (StockLeft != 0)
            differences.Add($"{StockLeft} units of {ProductsWithStock} products are still on hand");
        if (StockReserved != 0)
            differences.Add($"{StockReserved} units are still reserved");
        return differences;
    }

    public static string Pounds(long minor) => string.Create(global::System.Globalization.CultureInfo.InvariantCulture, $"£{minor / 100m:N2}");
}

/// <summary>How fast it went. The first orders warm up compilers and caches and are left out.</summary>
public sealed record Pace(double OrdersPerSecond, double LinesPerSecond, int Counted)
{
    public const int WarmUp = 200;

    /// <param name="confirmed">When each order was confirmed, with its number of lines.</param>
    public static Pace? Of(IEnumerable<(DateTime At, int Lines)> confirmed)
    {
        var ordered = confirmed.OrderBy(order => order.At).ToList();
        if (ordered.Count <= WarmUp + 1)
            return null;
        var counted = ordered[WarmUp..];
        var seconds = (counted[^1].At - ordered[WarmUp - 1].At).TotalSeconds;
        return seconds <= 0 ? null : new Pace(counted.Count / seconds, counted.Sum(order => order.Lines) / seconds, counted.Count);
    }
}

public sealed record Latencies(double P50, double P95, double P99, double Max)
{
    public static Latencies? Of(IEnumerable<double> milliseconds)
    {
        var sorted = milliseconds.Order().ToArray();
        if (sorted.Length == 0)
            return null;
        double At(double share) => sorted[Math.Min(sorted.Length - 1, (int)Math.Ceiling(share * sorted.Length) - 1)];
        return new Latencies(At(0.5), At(0.95), At(0.99), sorted[^1]);
    }

    public override string ToString() => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"p50 {P50:0} ms, p95 {P95:0} ms, p99 {P99:0} ms, max {Max:0} ms");
}
