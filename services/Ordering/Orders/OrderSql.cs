using Marketplace.Contracts;
using Npgsql;

namespace Marketplace.Ordering.Orders;

internal static class OrderSql
{
    public static NpgsqlBatchCommand Lines(Guid orderId) => new("""
        SELECT product_id, seller_id, title, quantity, unit_price_minor FROM order_lines WHERE order_id = $1 ORDER BY line_no
        """) { Parameters = { new() { Value = orderId } } };

    /// <summary>Reads the current result to its end.</summary>
    public static async Task<IReadOnlyList<OrderedLine>> ReadLinesAsync(NpgsqlDataReader reader, string currency, CancellationToken ct)
    {
        var lines = new List<OrderedLine>();
        while (await reader.ReadAsync(ct))
            lines.Add(new OrderedLine(reader.GetGuid(0), reader.GetGuid(1), reader.GetString(2), reader.GetInt32(3), new Money(reader.GetInt64(4), currency)));
        return lines;
    }
}
