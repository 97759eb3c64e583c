using System.Security.Claims;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Notifications.Messages;

public static class MessageEndpoints
{
    private const int LargestPage = 100;

    public static void MapMessages(this IEndpointRouteBuilder routes) =>
        routes.MapGet("/api/v1/notifications", ListAsync).RequireAuthorization(Policies.Buyer);

    private static async Task<Results<Ok<MessagePage>, ProblemHttpResult>> ListAsync(string? cursor, int? limit, ClaimsPrincipal user, MessageStore messages, CancellationToken ct)
    {
        Guid? before = null;
        if (cursor is not null)
        {
            if (!Cursor.TryDecode(cursor, out var parts) || parts is not [var text] || !Guid.TryParse(text, out var id))
                return Problems.Validation(("cursor", "This is not a cursor of this list."));
            before = id;
        }

        if (PageSize.Wrong(limit, LargestPage) is { } wrong)
            return wrong;
        return TypedResults.Ok(await messages.OfBuyerAsync(Buyer.Id(user), before, limit ?? 20, ct));
    }
}
