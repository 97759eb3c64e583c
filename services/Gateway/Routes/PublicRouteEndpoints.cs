using System.Diagnostics;
using System.Net;
using Marketplace.Gateway.Caching;
using Marketplace.Gateway.FlashSales;
using Marketplace.Hosting;
using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.Extensions.Options;

namespace Marketplace.Gateway.Routes;

public static class PublicRouteEndpoints
{
    public static void MapPublicRoutes(this WebApplication app)
    {
        var forwarding = app.Services.GetRequiredService<Forwarding>();
        var reads = app.Services.GetRequiredService<SharedReads>();
        foreach (var route in PublicRoutes.All)
        {
            var shared = route.Access == Access.Shared;
            var endpoint = app
                .MapMethods(route.Pattern, shared ? [HttpMethods.Get, HttpMethods.Head] : [route.Method], shared ? reads.Of(route) : app.Services.InStorm(route, forwarding.To(route)))
                .WithMetadata(route);
            _ = route.Access switch
            {
                Access.Open or Access.Shared or Access.Webhook => endpoint.AllowAnonymous(),
                Access.Token => endpoint.RequireAuthorization(),
                Access.Seller => endpoint.RequireAuthorization(Policies.Seller),
                Access.Operator => endpoint.RequireAuthorization(Policies.Operator),
                var other => throw new UnreachableException($"{other}"),
            };
        }
    }

    /// <summary>X-Forwarded-For is believed from our own load balancers only, as far as they wrote it themselves.</summary>
    public static void UseTrustedProxies(this WebApplication app)
    {
        var trusted = app.Services.GetRequiredService<IOptions<ForwardingOptions>>().Value.TrustedProxies;
        if (trusted.Count == 0)
            return;

        var options = new ForwardedHeadersOptions { ForwardedHeaders = ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto, ForwardLimit = null };
        options.KnownProxies.Clear();
        options.KnownIPNetworks.Clear();
        foreach (var proxy in trusted)
        {
            if (proxy.Contains('/', StringComparison.Ordinal))
                options.KnownIPNetworks.Add(System.Net.IPNetwork.Parse(proxy));
            else
                options.KnownProxies.Add(IPAddress.Parse(proxy));
        }
        app.UseForwardedHeaders(options);
    }

    /// <summary>Browsers of other origins are let in only where configuration names them.</summary>
    public static void AddDoorCors(this IServiceCollection services, IConfiguration configuration)
    {
        var origins = configuration.GetSection("Cors:Origins").Get<string[]>() ?? [];
        services.AddCors(cors => cors.AddDefaultPolicy(policy => policy
            .WithOrigins(origins)
            .WithMethods("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
            .WithHeaders("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Queue-Ticket", "Upload-Offset", "Upload-Complete")
            .WithExposedHeaders(
                "ETag", "Location", "Retry-After", "Idempotent-Replayed", "Upload-Offset", "Upload-Complete", "Link", "Age", "X-Cache", Degradation.Header,
                "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
            .SetPreflightMaxAge(TimeSpan.FromHours(1))));
    }
}
