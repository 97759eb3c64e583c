using Npgsql;

namespace Marketplace.Hosting;

/// <summary>Remembers what was handled, in the transaction that handles it. A concurrent second delivery waits for the first one's verdict.</summary>
public static class Inbox
{
    public static async Task<bool> FirstTimeAsync(NpgsqlTransaction tx, Guid eventId, CancellationToken ct)
    {
        await using var insert = new NpgsqlCommand(
            "INSERT INTO inbox (event_id) VALUES ($1) ON CONFLICT DO NOTHING", tx.Connection, tx)
        { Parameters = { new() { Value = eventId } } };
        return await insert.ExecuteNonQueryAsync(ct) == 1;
    }
}
