using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using Npgsql;

namespace Marketplace.Local.Replay;

/// <summary>The books of the services and of the payment provider, read for the orders of one replay. Reading them from outside is for audits such as this one only.</summary>
public sealed class ReplayBooks : IAsyncDisposable
{
    private readonly NpgsqlDataSource ordering;
    private readonly NpgsqlDataSource payments;
    private readonly NpgsqlDataSource inventory;
    private readonly string providerUrl;
    private readonly string providerKey;

    public ReplayBooks(IReadOnlyDictionary<string, string> secrets)
    {
        ordering = NpgsqlDataSource.Create(secrets["ordering-db"]);
        payments = NpgsqlDataSource.Create(secrets["payments-db"]);
        inventory = NpgsqlDataSource.Create(secrets["inventory-db"]);
        providerUrl = secrets["stripe-api-base"] is { Length: > 0 } local ? local : "https://api.stripe.com";
        providerKey = secrets["stripe-key"];
    }

    public static IReadOnlyDictionary<string, string> ReadSecrets(string file) =>
        JsonSerializer.Deserialize<Dictionary<string, string>>(File.ReadAllText(file)) ?? throw new InvalidDataException($"{file} holds nothing.");

    public async ValueTask DisposeAsync()
    {
        await ordering.DisposeAsync();
        await payments.DisposeAsync();
        await inventory.DisposeAsync();
    }

    /// <summary>How many orders stand in which state; the reason is part of it where there is one.</summary>
    public async Task<IReadOnlyDictionary<(string Status, string? Reason), int>> StatesAsync(Guid[] orders, CancellationToken ct)
    {
        await using var command = ordering.CreateCommand("SELECT status, reason, count(*) FROM orders WHERE order_id = ANY($1) GROUP BY 1, 2");
        command.Parameters.Add(new() { Value = orders });
        await using var reader = await command.ExecuteReaderAsync(ct);
        var states = new Dictionary<(string, string?), int>();
        while (await reader.ReadAsync(ct))
            states[(reader.GetString(0), reader.IsDBNull(1) ? null : reader.GetString(1))] = (int)reader.GetInt64(2);
        return states;
    }

    /// <summary>Sagas that still have something to do: a confirmed order's goods leave the stock books a moment later.</summary>
    public async Task<int> UnsettledAsync(Guid[] orders, CancellationToken ct)
    {
        await using var sagas = ordering.CreateCommand("SELECT count(*) FROM attempts WHERE order_id = ANY($1) AND settled_at IS NULL");
        sagas.Parameters.Add(new() { Value = orders });
        await using var held = inventory.CreateCommand("SELECT count(*) FROM reservation_attempts WHERE order_id = ANY($1) AND state = 'held'");
        held.Parameters.Add(new() { Value = orders });
        return (int)Math.Max((long)(await sagas.ExecuteScalarAsync(ct))!, (long)(await held.ExecuteScalarAsync(ct))!);
    }

    public async Task<(BookTotals Orders, BookTotals Lines)> OrdersAsync(Guid[] orders, CancellationToken ct)
    {
        const string Confirmed = "status IN ('CONFIRMED', 'SHIPPED', 'DELIVERED')";
        await using var heads = ordering.CreateCommand($"SELECT count(*), coalesce(sum(total_minor), 0)::bigint FROM orders WHERE order_id = ANY($1) AND {Confirmed}");
        heads.Parameters.Add(new() { Value = orders });
        await using var lines = ordering.CreateCommand($"""
            SELECT count(DISTINCT order_id), coalesce(sum(quantity), 0)::bigint, coalesce(sum(quantity * unit_price_minor), 0)::bigint
            FROM order_lines WHERE order_id IN (SELECT order_id FROM orders WHERE order_id = ANY($1) AND {Confirmed})
            """);
        lines.Parameters.Add(new() { Value = orders });
        return (await TotalsAsync("orders", heads, withUnits: false, ct), await TotalsAsync("order lines", lines, withUnits: true, ct));
    }

    public async Task<BookTotals> PaymentsAsync(Guid[] orders, CancellationToken ct)
    {
        await using var captured = payments.CreateCommand("SELECT count(*), coalesce(sum(amount_minor), 0)::bigint FROM payment_attempts WHERE order_id = ANY($1) AND status = 'captured'");
        captured.Parameters.Add(new() { Value = orders });
        return await TotalsAsync("captured payments", captured, withUnits: false, ct);
    }

    public async Task<BookTotals> MovementsAsync(Guid[] orders, CancellationToken ct)
    {
        await using var moved = inventory.CreateCommand("SELECT count(DISTINCT order_id), coalesce(-sum(quantity), 0)::bigint FROM movements WHERE order_id = ANY($1) AND kind IN ('commit', 'return')");
        moved.Parameters.Add(new() { Value = orders });
        await using var reader = await moved.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        return new BookTotals("inventory movements", reader.GetInt64(0), reader.GetInt64(1), null);
    }

    public async Task<(long Left, long Reserved, int Products)> StockAsync(Guid[] products, CancellationToken ct)
    {
        await using var stock = inventory.CreateCommand("""
            SELECT coalesce(sum(stock), 0)::bigint, coalesce(sum(reserved), 0)::bigint, count(DISTINCT product_id) FILTER (WHERE stock <> 0)
            FROM stock_levels WHERE product_id = ANY($1)
            """);
        stock.Parameters.Add(new() { Value = products });
        await using var reader = await stock.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        return (reader.GetInt64(0), reader.GetInt64(1), (int)reader.GetInt64(2));
    }

    /// <summary>When each confirmed order was placed and confirmed, and how many lines it has.</summary>
    public async Task<IReadOnlyList<(DateTime Placed, DateTime Confirmed, int Lines)>> TimesAsync(Guid[] orders, CancellationToken ct)
    {
        await using var times = ordering.CreateCommand("""
            SELECT o.created_at, a.ended_at, (SELECT count(*) FROM order_lines l WHERE l.order_id = o.order_id)::int
            FROM orders o JOIN attempts a ON a.order_id = o.order_id AND a.attempt = o.attempt
            WHERE o.order_id = ANY($1) AND a.status = 'confirmed' AND a.ended_at IS NOT NULL
            """);
        times.Parameters.Add(new() { Value = orders });
        await using var reader = await times.ExecuteReaderAsync(ct);
        var all = new List<(DateTime, DateTime, int)>();
        while (await reader.ReadAsync(ct))
            all.Add((reader.GetDateTime(0), reader.GetDateTime(1), reader.GetInt32(2)));
        return all;
    }

    /// <summary>The provider's own list, page by page: what really reached the card networks for these orders.</summary>
    public async Task<BookTotals> ProviderAsync(IReadOnlySet<Guid> orders, DateTimeOffset since, CancellationToken ct)
    {
        using var http = new HttpClient { BaseAddress = new Uri(providerUrl), Timeout = TimeSpan.FromSeconds(30) };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", providerKey);
        long count = 0, minor = 0;
        string? after = null;
        while (true)
        {
            var page = await http.GetByteArrayAsync(new Uri($"/v1/payment_intents?limit=100&created[gte]={since.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture)}{(after is null ? "" : $"&starting_after={after}")}", UriKind.Relative), ct);
            using var json = JsonDocument.Parse(page);
            foreach (var intent in json.RootElement.GetProperty("data").EnumerateArray())
            {
                after = intent.GetProperty("id").GetString();
                if (intent.GetProperty("metadata").TryGetProperty("order_id", out var order) && Guid.TryParse(order.GetString(), out var id) && orders.Contains(id)
                    && intent.GetProperty("status").GetString() == "succeeded")
                {
                    count++;
                    minor += intent.GetProperty("amount_received").GetInt64();
                }
            }

            if (!json.RootElement.GetProperty("has_more").GetBoolean())
                return new BookTotals("payment provider", count, null, minor);
        }
    }

    private static async Task<BookTotals> TotalsAsync(string book, NpgsqlCommand command, bool withUnits, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        return new BookTotals(book, reader.GetInt64(0), withUnits ? reader.GetInt64(1) : null, reader.GetInt64(withUnits ? 2 : 1));
    }
}
