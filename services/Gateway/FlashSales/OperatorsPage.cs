using System.Reflection;
using System.Security.Cryptography;
using Microsoft.Net.Http.Headers;

namespace Marketplace.Gateway.FlashSales;

/// <summary>
/// One page on which operators watch a sale: three files of ours, embedded, that ask the public API with the token of whoever signs in. What the page may
/// do is in <see cref="Policy"/>: nothing from elsewhere, nothing inline.
/// </summary>
public static class OperatorsPage
{
    public const string Path = "/operations/flash-sales";

    public const string Policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    public static void MapOperatorsPage(this WebApplication app)
    {
        Map(app, Path, "page.html", "text/html; charset=utf-8");
        Map(app, $"{Path}/page.css", "page.css", "text/css; charset=utf-8");
        Map(app, $"{Path}/page.js", "page.js", "text/javascript; charset=utf-8");
    }

    private static void Map(WebApplication app, string path, string file, string type)
    {
        var bytes = Read(file);
        var etag = new EntityTagHeaderValue($"\"{Convert.ToHexStringLower(SHA256.HashData(bytes))[..16]}\"");
        app.MapMethods(path, [HttpMethods.Get, HttpMethods.Head], http =>
        {
            http.Response.Headers.CacheControl = "no-cache";            // kept, and asked about each time: a page and its script are of one version
            return Results.Bytes(bytes, type, entityTag: etag).ExecuteAsync(http);
        }).AllowAnonymous();
    }

    private static byte[] Read(string file)
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream($"FlashSales/Page/{file}")
            ?? throw new InvalidOperationException($"{file} is not embedded.");
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
