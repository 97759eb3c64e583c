using System.Net;
using System.Text.RegularExpressions;
using Xunit;

namespace Marketplace.Gateway.Tests.FlashSales;

public sealed partial class WhenAnOperatorWatches
{
    [Fact]
    public async Task The_page_comes_whole_from_here_and_may_run_nothing_else()
    {
        await using var drop = await Drop.StartAsync();
        using var client = drop.Gateway.As(null);
        using var page = await client.FetchAsync("/operations/flash-sales");
        var html = await page.TextAsync();
        Assert.Equal((HttpStatusCode.OK, "text/html"), (page.StatusCode, page.Content.Headers.ContentType?.MediaType));
        Assert.Equal(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            page.Header("Content-Security-Policy"));

        // The policy would refuse all of these, and the page would stand still.
        Assert.DoesNotMatch(InlineScript(), html);
        Assert.DoesNotContain("<style", html, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotMatch(InlineAttribute(), html);
        Assert.DoesNotContain("//", html.Replace("<!doctype html>", "", StringComparison.Ordinal), StringComparison.Ordinal);

        foreach (var (address, type) in new[] { ("/operations/flash-sales/page.js", "text/javascript"), ("/operations/flash-sales/page.css", "text/css") })
        {
            Assert.Contains($"\"{address}\"", html, StringComparison.Ordinal);
            using var part = await client.FetchAsync(address);
            Assert.Equal((HttpStatusCode.OK, type), (part.StatusCode, part.Content.Headers.ContentType?.MediaType));
            Assert.Equal("nosniff", part.Header("X-Content-Type-Options"));
            using var known = await client.FetchAsync(address, ("If-None-Match", part.Header("ETag")!));
            Assert.Equal(HttpStatusCode.NotModified, known.StatusCode);
        }
        Assert.Empty(drop.Gateway.Sidecar.Arrived);
    }

    [Fact]
    public async Task The_figures_on_it_are_for_operators_only()
    {
        await using var drop = await Drop.StartAsync();
        foreach (var path in new[] { "", $"/{drop.Sale.SaleId}/progress", $"/{drop.Sale.SaleId}/audit" })
        {
            using var nobody = await drop.Gateway.As(null).FetchAsync($"/api/v1/operations/flash-sales{path}");
            await nobody.ProblemAsync(HttpStatusCode.Unauthorized, "unauthorized");
            using var shopper = await drop.Gateway.As(TestKit.TestTokens.Buyer(Guid.NewGuid())).FetchAsync($"/api/v1/operations/flash-sales{path}");
            await shopper.ProblemAsync(HttpStatusCode.Forbidden, "forbidden");
            using var seller = await drop.Gateway.As(TestKit.TestTokens.Seller(Guid.NewGuid(), Guid.NewGuid())).FetchAsync($"/api/v1/operations/flash-sales{path}");
            await seller.ProblemAsync(HttpStatusCode.Forbidden, "forbidden");
        }
        Assert.Empty(drop.Passed);
    }

    [GeneratedRegex("<script(?![^>]*\\bsrc=)", RegexOptions.IgnoreCase)]
    private static partial Regex InlineScript();

    [GeneratedRegex("\\s(style|on[a-z]+)\\s*=", RegexOptions.IgnoreCase)]
    private static partial Regex InlineAttribute();
}
