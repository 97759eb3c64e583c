using System.ComponentModel.DataAnnotations;
using Marketplace.Hosting;
using Marketplace.Payments.Charges;
using Marketplace.Payments.Provider;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Payments.Refunds;

public static class RefundEndpoints
{
    public static void MapRefunds(this IEndpointRouteBuilder routes)
    {
        routes.MapInternal("/internal/refunds").MapPost("/", RefundAsync);
        routes.MapGroup("/api/v1/operations/payments").RequireAuthorization(Policies.Operator).MapPost("/{orderId:guid}/refund", RefundByOperatorAsync)
            .Produces<RefundReply>().ProducesProblem(StatusCodes.Status503ServiceUnavailable);
    }

    private static async Task<Results<Ok<RefundReply>, ProblemHttpResult>> RefundAsync(RefundRequest refund, UndoDesk undo, CancellationToken ct)
    {
        if (refund.Attempt is < 1 or > short.MaxValue)
            return Problems.Validation(("attempt", "Attempts count from 1."));
        ct.ThrowIfCancellationRequested();
        try
        {
            return TypedResults.Ok(ReplyOf(await undo.UndoAsync(refund.OrderId, refund.Attempt, refund.Reason)));
        }
        catch (ProviderFaultException)
        {
            return ProviderAway();                                   // begun and remembered: the worker goes on, and so does a repeat
        }
    }

    private static async Task<IResult> RefundByOperatorAsync(
        Guid orderId, OperatorRefund refund, HttpContext http, Idempotency idempotency, AttemptStore attempts, UndoDesk undo, CancellationToken ct)
    {
        await using var once = await idempotency.BeginAsync(http, refund, ct);
        if (once.Answer is { } answer)
            return answer;
        if (await attempts.FindPaidAsync(orderId, ct) is not { } paid)
            return TypedResults.NotFound();
        try
        {
            return await once.CommitAsync(StatusCodes.Status200OK, ReplyOf(await undo.UndoAsync(orderId, paid.Attempt, refund.Reason)), ct: ct);
        }
        catch (ProviderFaultException)
        {
            return ProviderAway();
        }
    }

    private static RefundReply ReplyOf(Undone undone) => new(undone == Undone.Refunded ? "refunded" : "nothing_to_refund");

    private static ProblemHttpResult ProviderAway() => Problems.Of(
        StatusCodes.Status503ServiceUnavailable, "provider-unavailable", "The payment provider does not answer.", "The refund has begun and is finished as soon as the provider answers.");
}

public sealed record RefundRequest(Guid OrderId, int Attempt, [property: StringLength(200)] string Reason);

public sealed record OperatorRefund([property: StringLength(200, MinimumLength = 1)] string Reason);

/// <summary><c>refunded</c> or <c>nothing_to_refund</c>; either way the attempt can never be charged any more.</summary>
public sealed record RefundReply(string Status);
