using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Marketplace.Bench.FlashSale.Traffic;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Bench.FlashSale;

/// <summary>
/// The buyers. An account by the public API costs a password hash, and fifty thousand of them the better part of an hour; so their rows are copied into the tables
/// that own them, as the services would have written them: account, address, session and refresh token (identity), customer and saved card (payments), express
/// checkout (flash sales). Cards come from the provider's own API, and access tokens from identity: each session is refreshed through the gateway.
/// </summary>
internal sealed class Crowd(Shop shop, Generator gateway, Generator provider, int seed)
{
    public static List<Account> MakeUp(int count, double declined, string kind, int seed)
    {
        var random = new Random(seed);
        var bytes = new byte[16];
        var accounts = new List<Account>(count);
        var refused = new HashSet<int>(Enumerable.Range(0, count).OrderBy(_ => random.Next()).Take((int)Math.Round(count * declined)));
        for (var number = 0; number < count; number++)
        {
            random.NextBytes(bytes);
            bytes[6] = (byte)(bytes[6] & 0x0F | 0x70);   // a UUID of version 7, with a time long before now
            bytes[8] = (byte)(bytes[8] & 0x3F | 0x80);
            bytes[0] = 0;
            var id = new Guid(bytes, bigEndian: true);
            accounts.Add(new Account(id, $"{kind}-{number}-{id:N}@example.com", refused.Contains(number)));
        }

        return accounts;
    }

    public async Task MoveInAsync(IReadOnlyList<Account> accounts, Action<int> cards, CancellationToken ct)
    {
        var random = new Random(seed);
        var now = DateTime.UtcNow;
        var sessions = accounts.Select(account => (Account: account, Session: Guid.CreateVersion7(), Token: RandomBytes(random))).ToList();
        foreach (var (account, _, token) in sessions) account.RefreshToken = RequestWriter.Utf8(Base64Url.EncodeToString(token));

        await CopyAsync("identity", "accounts (account_id, email, name, password_hash, is_operator, created_at)", accounts, async (row, account) =>
        {
            await row.WriteAsync(account.Id, NpgsqlDbType.Uuid, ct);
            await row.WriteAsync(account.Email, NpgsqlDbType.Text, ct);
            await row.WriteAsync("Ada Buyer", NpgsqlDbType.Text, ct);
            await row.WriteAsync("pbkdf2-sha256$1000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", NpgsqlDbType.Text, ct);   // of no password
            await row.WriteAsync(false, NpgsqlDbType.Boolean, ct);
            await row.WriteAsync(now, NpgsqlDbType.TimestampTz, ct);
        });
        await CopyAsync("identity", "addresses (address_id, account_id, name, line1, city, postal_code, country, created_at)", accounts, async (row, account) =>
        {
            await row.WriteAsync(AddressOf(account), NpgsqlDbType.Uuid, ct);
            await row.WriteAsync(account.Id, NpgsqlDbType.Uuid, ct);
            foreach (var text in (string[])["Ada Buyer", "1 Market Street", "London", "N1 9GU", "GB"]) await row.WriteAsync(text, NpgsqlDbType.Text, ct);
            await row.WriteAsync(now, NpgsqlDbType.TimestampTz, ct);
        });
        await CopyAsync("identity", "sessions (session_id, account_id, started_at, expires_at)", sessions, async (row, one) =>
        {
            await row.WriteAsync(one.Session, NpgsqlDbType.Uuid, ct);
            await row.WriteAsync(one.Account.Id, NpgsqlDbType.Uuid, ct);
            await row.WriteAsync(now, NpgsqlDbType.TimestampTz, ct);
            await row.WriteAsync(now.AddDays(30), NpgsqlDbType.TimestampTz, ct);
        });
        await CopyAsync("identity", "refresh_tokens (token_hash, session_id, issued_at)", sessions, async (row, one) =>
        {
            await row.WriteAsync(SHA256.HashData(one.Token), NpgsqlDbType.Bytea, ct);
            await row.WriteAsync(one.Session, NpgsqlDbType.Uuid, ct);
            await row.WriteAsync(now, NpgsqlDbType.TimestampTz, ct);
        });

        var saved = await SaveCardsAsync(accounts, cards, ct);
        await CopyAsync("payments", "customers (buyer_id, provider_customer)", accounts.Zip(saved), async (row, one) =>
        {
            await row.WriteAsync(one.First.Id, NpgsqlDbType.Uuid, ct);
            await row.WriteAsync(one.Second.Customer, NpgsqlDbType.Text, ct);
        });
        await CopyAsync("payments", "payment_methods (method_id, buyer_id, provider_method, brand, last4, exp_month, exp_year, is_default)", accounts.Zip(saved), async (row, one) =>
        {
            await row.WriteAsync(MethodOf(one.First), NpgsqlDbType.Uuid, ct);
            await row.WriteAsync(one.First.Id, NpgsqlDbType.Uuid, ct);
            await row.WriteAsync(one.Second.Method, NpgsqlDbType.Text, ct);
            await row.WriteAsync("visa", NpgsqlDbType.Text, ct);
            await row.WriteAsync(one.First.IsDeclined ? "0341" : "4242", NpgsqlDbType.Text, ct);
            await row.WriteAsync((short)12, NpgsqlDbType.Smallint, ct);
            await row.WriteAsync((short)(now.Year + 1), NpgsqlDbType.Smallint, ct);
            await row.WriteAsync(true, NpgsqlDbType.Boolean, ct);
        });
        await CopyAsync("flashsales", "express_checkouts (buyer_id, address_id, name, line1, city, postal_code, country, contact_email, contact_name, payment_method, changed_at)", accounts, async (row, account) =>
        {
            await row.WriteAsync(account.Id, NpgsqlDbType.Uuid, ct);
            await row.WriteAsync(AddressOf(account), NpgsqlDbType.Uuid, ct);
            foreach (var text in (string[])["Ada Buyer", "1 Market Street", "London", "N1 9GU", "GB", account.Email, "Ada Buyer"]) await row.WriteAsync(text, NpgsqlDbType.Text, ct);
            await row.WriteAsync(MethodOf(account), NpgsqlDbType.Uuid, ct);
            await row.WriteAsync(now, NpgsqlDbType.TimestampTz, ct);
        });
        // As autovacuum would have done long before a sale.
        await shop.SqlAsync<int>("identity", "ANALYZE accounts, addresses, sessions, refresh_tokens");
        await shop.SqlAsync<int>("payments", "ANALYZE customers, payment_methods");
        await shop.SqlAsync<int>("flashsales", "ANALYZE express_checkouts");
    }

    /// <summary>A token for each, from identity by way of the gateway.</summary>
    public Task SignInAsync(IReadOnlyList<Account> accounts, Action<int> progress, CancellationToken ct) =>
        new Chores(accounts.Count, (number, request) => accounts[number].WriteRenewal(request), (int number, in Reply reply) => accounts[number].Renew(reply)).RunAsync(gateway, 32, progress, ct);

    private async Task<(string Customer, string Method)[]> SaveCardsAsync(IReadOnlyList<Account> accounts, Action<int> progress, CancellationToken ct)
    {
        var saved = new (string Customer, string Method)[accounts.Count];
        var key = RequestWriter.Utf8(shop.Secret("stripe-key"));
        await new Chores(
            accounts.Count,
            (number, request) =>
            {
                // chargeCustomerFail is the test card that can be saved and is declined when it is charged.
                var card = accounts[number].IsDeclined ? "pm_card_chargeCustomerFail" : "pm_card_visa";
                request.Begin("POST "u8, "/v1/customers"u8).Field("\r\nAuthorization: Bearer "u8, key)
                    .End(Encoding.UTF8.GetBytes($"email={accounts[number].Email}&metadata[buyer_id]={accounts[number].Id}&payment_method={card}&invoice_settings[default_payment_method]={card}"), "application/x-www-form-urlencoded"u8);
            },
            (int number, in Reply reply) =>
            {
                if (reply.Status != 200 || Json.Text(reply.Body, "id"u8) is not { } customer || Json.Text(reply.Body, "default_payment_method"u8) is not { } method) return false;
                saved[number] = (customer, method);
                return true;
            }).RunAsync(provider, 16, progress, ct);
        return saved;
    }

    private async Task CopyAsync<T>(string database, string columns, IEnumerable<T> rows, Func<NpgsqlBinaryImporter, T, Task> write)
    {
        await using var connection = await shop.Database(database).OpenConnectionAsync();
        await using var import = await connection.BeginBinaryImportAsync($"COPY {columns} FROM STDIN BINARY");
        foreach (var row in rows)
        {
            await import.StartRowAsync();
            await write(import, row);
        }

        await import.CompleteAsync();
    }

    private static Guid AddressOf(Account account) => Other(account.Id, 1);

    private static Guid MethodOf(Account account) => Other(account.Id, 2);

    private static Guid Other(Guid id, byte mark)
    {
        var bytes = id.ToByteArray(bigEndian: true);
        bytes[0] = mark;
        return new Guid(bytes, bigEndian: true);
    }

    private static byte[] RandomBytes(Random random)
    {
        var bytes = new byte[32];
        random.NextBytes(bytes);
        return bytes;
    }
}
