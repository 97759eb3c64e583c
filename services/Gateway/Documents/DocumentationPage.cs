using Scalar.AspNetCore;

namespace Marketplace.Gateway.Documents;

public static class DocumentationPage
{
    public static void MapDocumentationPage(this WebApplication app) => app
        .MapScalarApiReference("/scalar", options => options
            .WithTitle("Marketplace")
            .DisableDefaultFonts()
            .WithOpenApiRoutePattern("/openapi/v1.json"))
        .AllowAnonymous();
}
