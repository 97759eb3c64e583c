using System.ComponentModel.DataAnnotations;
using System.Security.Claims;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.Payments.Charges;

public static partial class ChargeEndpoints
{
    private const int LargestPage = 100;

    public static void MapCharges(this IEndpointRouteBuilder routes)
    {
        routes.MapInternal("/internal/charges").MapPost("/", ChargeAsync);
        routes.MapGroup("/api/v1/payments").RequireAuthorization(Policies.Buyer).MapGet("/", ListAsync);
    }

    /// <summary>The caller waits a while; the charge goes on without it and answers the next time it is asked.</summary>
    private static async Task<Results<Ok<ChargeReply>, ProblemHttpResult>> ChargeAsync(
        ChargeRequest charge, ChargesUnderWay underWay, PaymentStatusKey status, IOptions<ChargeOptions> options, CancellationToken ct)
    {
        if (charge.Amount is not { Minor: > 0, Currency.Length: 3 })
            return Problems.Validation(("amount", "An amount is a positive number of minor units and a currency of three letters."));
        if (charge.Attempt is < 1 or > short.MaxValue)
            return Problems.Validation(("attempt", "Attempts count from 1."));

        var work = underWay.Start(charge);
        try
        {
            return TypedResults.Ok(await work.WaitAsync(options.Value.AnswerWithin, ct));
        }
        catch (TimeoutException) when (!work.IsCompleted)
        {
            return TypedResults.Ok(ChargeReply.Processing(null));
        }
        catch (NpgsqlException away) when (away.IsTransient)
        {
            // The row cannot be asked. A captured payment can still be answered for; for everything else the fault stands.
            return await status.CapturedAnswerAsync(charge.OrderId, charge.Attempt, ct) is { } stored ? TypedResults.Ok(stored) : throw new InvalidOperationException("The payments database is away.", away);
        }
    }

    private static async Task<Results<Ok<PaymentPage>, NotFound, ProblemHttpResult>> ListAsync(
        Guid? orderId, string? cursor, int? limit, ClaimsPrincipal user, PaymentList payments, CancellationToken ct)
    {
        var before = Guid.Empty;
        if (cursor is not null && !(Cursor.TryDecode(cursor, out var parts) && parts is [var id] && Guid.TryParse(id, out before)))
            return Problems.Validation(("cursor", "This is not a cursor of this list."));
        if (PageSize.Wrong(limit, LargestPage) is { } wrong)
            return wrong;

        var page = await payments.OfBuyerAsync(Buyer.Id(user), orderId, cursor is null ? null : before, limit ?? 20, ct);
        return orderId is not null && page.Items.Count == 0 ? TypedResults.NotFound() : TypedResults.Ok(page);   // nobody else's order is confirmed to exist
    }
}

public sealed record ChargeRequest(
    Guid OrderId, int Attempt, Guid BuyerId, Money Amount, [property: StringLength(255)] string? PaymentMethod, DateTimeOffset ReservationExpiresAt);

/// <summary><c>captured</c>, <c>processing</c> (ask again) or <c>refused</c> with the reason.</summary>
public sealed record ChargeReply(string Status, string? Refusal, Guid? PaymentId)
{
    public static ChargeReply Captured(Guid paymentId) => new("captured", null, paymentId);

    public static ChargeReply Processing(Guid? paymentId) => new("processing", null, paymentId);

    public static ChargeReply Refused(string refusal, Guid? paymentId) => new("refused", refusal, paymentId);
}

public sealed record PaymentPage(IReadOnlyList<PaymentView> Items, string? Next);

public sealed record PaymentView(Guid PaymentId, Guid OrderId, int Attempt, string Status, string? Refusal, Money Amount, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt);

/// <summary>A shopper's own payments, newest first.</summary>
public sealed class PaymentList(NpgsqlDataSource database)
{
    public async Task<PaymentPage> OfBuyerAsync(Guid buyerId, Guid? orderId, Guid? before, int limit, CancellationToken ct)
    {
        await using var list = database.CreateCommand("""
            SELECT payment_id, order_id, attempt, status, refusal, amount_minor, currency, created_at, updated_at
            FROM payment_attempts
            WHERE buyer_id = $1 AND ($2::uuid IS NULL OR order_id = $2) AND ($3::uuid IS NULL OR payment_id < $3)
            ORDER BY payment_id DESC
            LIMIT $4
            """);
        list.Parameters.AddRange((NpgsqlParameter[])[
            new() { Value = buyerId },
            new() { Value = (object?)orderId ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Uuid },
            new() { Value = (object?)before ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Uuid },
            new() { Value = limit + 1 },
        ]);
        await using var row = await list.ExecuteReaderAsync(ct);
        var items = new List<PaymentView>();
        while (await row.ReadAsync(ct))
        {
            items.Add(new PaymentView(
                row.GetGuid(0), row.GetGuid(1), row.GetInt16(2), ForBuyers(row.GetString(3)), row.IsDBNull(4) ? null : row.GetString(4),
                new Money(row.GetInt64(5), row.GetString(6)), row.GetFieldValue<DateTimeOffset>(7), row.GetFieldValue<DateTimeOffset>(8)));
        }

        if (items.Count <= limit)
            return new PaymentPage(items, null);
        items.RemoveAt(limit);
        return new PaymentPage(items, Cursor.Encode(items[^1].PaymentId));
    }

    private static string ForBuyers(string status) => status switch
    {
        "charging" => "processing",
        "undoing" => "refunding",
        _ => status,
    };
}
