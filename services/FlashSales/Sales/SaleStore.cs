using Npgsql;

namespace Marketplace.FlashSales.Sales;

/// <summary>The SQL of sales. What inventory has set aside follows afterwards.</summary>
public sealed class SaleStore(NpgsqlDataSource database)
{
    public async Task<Sale?> FindAsync(Guid saleId, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"SELECT {SaleSql.Columns} FROM sales s WHERE s.sale_id = $1");
        find.Parameters.Add(new() { Value = saleId });
        await using var row = await find.ExecuteReaderAsync(ct);
        return await row.ReadAsync(ct) ? SaleSql.Read(row) : null;
    }

    /// <summary>Scheduled sales that start before <paramref name="startBefore"/>, and those over since <paramref name="overSince"/>.</summary>
    public async Task<IReadOnlyList<Sale>> AroundNowAsync(DateTimeOffset startBefore, DateTimeOffset overSince, CancellationToken ct)
    {
        await using var list = database.CreateCommand($"""
            SELECT {SaleSql.Columns} FROM sales s WHERE status IN ('preparing', 'scheduled') AND status = 'scheduled' AND starts_at < $1
            UNION ALL
            SELECT {SaleSql.Columns} FROM sales s WHERE status IN ('cancelled', 'ended') AND ended_at > $2
            """);
        list.Parameters.Add(new() { Value = startBefore });
        list.Parameters.Add(new() { Value = overSince });
        await using var row = await list.ExecuteReaderAsync(ct);
        var sales = new List<Sale>();
        while (await row.ReadAsync(ct))
            sales.Add(SaleSql.Read(row));
        return sales;
    }
}
