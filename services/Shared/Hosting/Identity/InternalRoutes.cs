using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Marketplace.Hosting;

public static class InternalRoutes
{
    /// <summary>Routes for neighbours: they need the app token, which only sidecars and apps know, and stay out of the OpenAPI document.</summary>
    public static RouteGroupBuilder MapInternal(this IEndpointRouteBuilder routes, string prefix) => routes.MapInternal(prefix, []);

    /// <summary>Also checks which app is calling; the sidecar sets that header and overwrites one that was sent.</summary>
    public static RouteGroupBuilder MapInternal(this IEndpointRouteBuilder routes, string prefix, params string[] callers) => routes
        .MapGroup(prefix)
        .WithMetadata(new AppTokenRequired(callers))
        .AllowAnonymous()
        .ExcludeFromDescription();

    /// <summary>
    /// For routes that a library maps for the sidecar alone (Dapr's actors): they need the app token too, and stay out of the OpenAPI document.
    /// What the library itself leaves open to anybody (its health check) stays open.
    /// </summary>
    public static TBuilder RequireAppToken<TBuilder>(this TBuilder routes)
        where TBuilder : IEndpointConventionBuilder
    {
        routes.Add(endpoint =>
        {
            if (endpoint.Metadata.OfType<IAllowAnonymous>().Any()) return;
            endpoint.Metadata.Add(new AppTokenRequired([]));
            endpoint.Metadata.Add(new ExcludeFromDescriptionAttribute());
        });
        return routes;
    }
}

/// <summary>Checked by <see cref="AppTokenCheck"/> before the body is read.</summary>
internal sealed record AppTokenRequired(string[] Callers);
