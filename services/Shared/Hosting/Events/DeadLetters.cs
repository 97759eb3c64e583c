using Microsoft.AspNetCore.Routing;

namespace Marketplace.Hosting;

internal static class DeadLetterRoutes
{
    public const string Path = "/events/dead-letters";

    public static void MapDeadLetters(this IEndpointRouteBuilder routes) => ArgumentNullException.ThrowIfNull(routes);
}
