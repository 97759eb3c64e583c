using Scalar.AspNetCore;

namespace Marketplace.Gateway.Documents;

public static class DocumentationPage
{
    public static void MapDocumentationPage(this WebApplication app)
    {
        app.MapGet("/", () => TypedResults.Redirect("/scalar")).AllowAnonymous();   // who knows only the address finds the rest
        app.MapScalarApiReference("/scalar", options => options
            .WithTitle("Marketplace")
            .DisableDefaultFonts()
            .WithOpenApiRoutePattern("/openapi/v1.json"))
            .AllowAnonymous();
    }
}
