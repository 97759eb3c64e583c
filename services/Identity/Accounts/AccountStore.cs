using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.Identity.Accounts;

/// <summary>Who somebody is, as it goes into a token.</summary>
public sealed record Account(Guid AccountId, string Email, string Name, bool IsOperator, Guid? SellerId);

public sealed class AccountStore(NpgsqlDataSource database, TimeProvider time)
{
    /// <summary>Null when the address already has an account.</summary>
    public async Task<Account?> OpenAsync(EmailAddress email, string name, string passwordHash, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        var account = new Account(Guid.CreateVersion7(now), email.Value, name, false, null);

        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        if (!await InsertAsync(connection, tx, account, passwordHash, now, ct))
            return null;

        await Outbox.AddAsync(tx, new UserRegistered(account.AccountId, account.Email, name) { OccurredAt = now }, account.AccountId, ct);
        await tx.CommitAsync(ct);
        return account;
    }

    /// <summary>The operator is not announced: there is nobody to welcome. False when the account exists.</summary>
    public async Task<bool> OpenOperatorAsync(EmailAddress email, string passwordHash, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        return await InsertAsync(connection, null, new Account(Guid.CreateVersion7(now), email.Value, "Operator", true, null), passwordHash, now, ct);
    }

    public async Task<(Account Account, string PasswordHash)?> FindAsync(EmailAddress email, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT a.account_id, a.email, a.name, a.is_operator, s.seller_id, a.password_hash
            FROM accounts a LEFT JOIN sellers s USING (account_id)
            WHERE a.email = $1
            """);
        command.Parameters.Add(new() { Value = email.Value });
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? (Read(reader), reader.GetString(5)) : null;
    }

    public async Task<Account?> FindAsync(Guid accountId, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT a.account_id, a.email, a.name, a.is_operator, s.seller_id
            FROM accounts a LEFT JOIN sellers s USING (account_id)
            WHERE a.account_id = $1
            """);
        command.Parameters.Add(new() { Value = accountId });
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    /// <summary>Replaces exactly the hash that was checked: a password changed meanwhile wins.</summary>
    public async Task StrengthenAsync(Guid accountId, string checkedHash, string strongerHash, CancellationToken ct)
    {
        await using var command = database.CreateCommand("UPDATE accounts SET password_hash = $3 WHERE account_id = $1 AND password_hash = $2");
        command.Parameters.Add(new() { Value = accountId });
        command.Parameters.Add(new() { Value = checkedHash });
        command.Parameters.Add(new() { Value = strongerHash });
        await command.ExecuteNonQueryAsync(ct);
    }

    private static async Task<bool> InsertAsync(
        NpgsqlConnection connection, NpgsqlTransaction? tx, Account account, string passwordHash, DateTimeOffset now, CancellationToken ct)
    {
        await using var insert = new NpgsqlCommand("""
            INSERT INTO accounts (account_id, email, name, password_hash, is_operator, created_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (email) DO NOTHING
            """, connection, tx)
        {
            Parameters =
            {
                new() { Value = account.AccountId }, new() { Value = account.Email }, new() { Value = account.Name },
                new() { Value = passwordHash }, new() { Value = account.IsOperator }, new() { Value = now },
            },
        };
        return await insert.ExecuteNonQueryAsync(ct) == 1;
    }

    private static Account Read(NpgsqlDataReader row) => new(
        row.GetGuid(0), row.GetString(1), row.GetString(2), row.GetBoolean(3), row.IsDBNull(4) ? null : row.GetGuid(4));
}
