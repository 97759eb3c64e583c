using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Marketplace.Local.Pictures;

/// <summary>Serves the pictures of the demo's listings: <c>/pictures/{category}/{name}.svg</c>.</summary>
public static class PictureServer
{
    public static async Task<WebApplication> StartAsync(int port, CancellationToken ct)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.ListenLocalhost(port, listen => listen.Protocols = HttpProtocols.Http1));
        builder.Services.AddRoutingCore();
        var app = builder.Build();
        app.MapGet("/pictures/{category}/{name}.svg", (string category, string name, HttpContext http) =>
        {
            http.Response.Headers.CacheControl = "public, max-age=31536000, immutable";
            // A picture is opened beside the shop's pages; nothing in it may act.
            http.Response.Headers.ContentSecurityPolicy = "default-src 'none'; style-src 'unsafe-inline'";
            http.Response.Headers.XContentTypeOptions = "nosniff";
            return category.Length > 50 || name.Length > 120 ? Results.NotFound() : Results.Text(Picture.Svg(category, name), "image/svg+xml");
        });
        await app.StartAsync(ct);
        return app;
    }
}
