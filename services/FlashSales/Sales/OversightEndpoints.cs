using Marketplace.FlashSales.Clients;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.FlashSales.Sales;

/// <summary>How operators watch a sale, and check it afterwards.</summary>
public static class OversightEndpoints
{
    private const string Own = "private, no-store";

    public static void MapOversight(this IEndpointRouteBuilder routes)
    {
        var operations = routes.MapGroup("/api/v1/operations/flash-sales/{saleId:guid}").RequireAuthorization(Policies.Operator).WithTags("flash-sales");
        operations.MapGet("/progress", ProgressAsync).WithSummary("How a sale goes, now: people and units.");
        operations.MapGet("/audit", AuditAsync).WithSummary("Its books to the unit, and what does not agree.");
    }

    private static async Task<Results<Ok<SaleProgress>, NotFound>> ProgressAsync(Guid saleId, SaleProgressStore progress, HttpResponse response, CancellationToken ct)
    {
        response.Headers.CacheControl = Own;
        return await progress.ReadAsync(saleId, ct) is { } now ? TypedResults.Ok(now) : TypedResults.NotFound();
    }

    private static async Task<Results<Ok<SaleAudit>, NotFound>> AuditAsync(
        Guid saleId, SaleStore sales, SaleAuditStore audits, IInventoryClient inventory, TimeProvider time, HttpResponse response, CancellationToken ct)
    {
        response.Headers.CacheControl = Own;
        if (await sales.FindAsync(saleId, ct) is not { IsAnnounced: true })
            return TypedResults.NotFound();

        var there = await AllottedAsync(inventory, saleId, ct);         // first, see AuditFigures.Audit
        return await audits.ReadAsync(saleId, ct) is { } figures ? TypedResults.Ok(figures.Audit(there, time.GetUtcNow())) : TypedResults.NotFound();
    }

    private static async Task<AllotmentFigures?> AllottedAsync(IInventoryClient inventory, Guid saleId, CancellationToken ct)
    {
        try
        {
            return await inventory.AllottedAsync(saleId, ct);
        }
        catch (Exception noAnswer) when (noAnswer is HttpRequestException || (noAnswer is TaskCanceledException && !ct.IsCancellationRequested))
        {
            return null;                                        // said in the audit
        }
    }
}
