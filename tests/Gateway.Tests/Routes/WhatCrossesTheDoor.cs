using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Gateway.Tests.Routes;

public sealed class WhatCrossesTheDoor(GatewayFixture fixture) : IClassFixture<GatewayFixture>, IAsyncLifetime
{
    private const string Id = "0198a000-0000-7000-8000-000000000001";
    private readonly GatewayUnderTest gateway = fixture.Gateway;

    public ValueTask InitializeAsync()
    {
        gateway.Sidecar.Forget();
        gateway.Sidecar.Answer = Answering.Json(new { ok = true });
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    [Fact]
    public async Task A_forged_dapr_app_id_and_its_like_stay_outside()
    {
        var token = TestTokens.Buyer(Guid.NewGuid());
        await gateway.RawAsync(
            "/api/v1/cart", "GET",
            $"Authorization: Bearer {token}",
            "dapr-app-id: payments",
            "DAPR-APP-ID: payments",
            "dapr-api-token: guessed",
            "dapr-caller-app-id: ordering",
            "dapr-callee-app-id: payments",
            "X-Forwarded-For: 203.0.113.7",
            "X-Forwarded-Host: evil.example",
            "X-Real-IP: 203.0.113.7",
            "Forwarded: for=203.0.113.7",
            "X-Original-URL: /internal/charges",
            "X-Rewrite-URL: /internal/charges",
            "X-HTTP-Method-Override: DELETE",
            "Cookie: session=1",
            "TE: trailers",
            "Upgrade: websocket",
            "Idempotency-Key: one",
            "If-None-Match: \"1\"");

        var arrived = Assert.Single(gateway.Sidecar.Arrived);
        Assert.Equal("/v1.0/invoke/cart/method/api/v1/cart", arrived.Target);
        Assert.DoesNotContain(arrived.Headers, header => header.Key.StartsWith("dapr-", StringComparison.OrdinalIgnoreCase));
        Assert.Equal("127.0.0.1", arrived.Header("X-Forwarded-For"));
        Assert.Equal("shop.example", arrived.Header("X-Forwarded-Host"));
        string[] outside = ["X-Real-IP", "Forwarded", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "Cookie", "TE", "Upgrade"];
        Assert.DoesNotContain(arrived.Headers.Keys, name => outside.Contains(name, StringComparer.OrdinalIgnoreCase));
        Assert.Equal($"Bearer {token}", arrived.Header("Authorization"));
        Assert.Equal("one", arrived.Header("Idempotency-Key"));
        Assert.Equal("\"1\"", arrived.Header("If-None-Match"));
    }

    [Theory]
    [InlineData("GET", "/api/v1/stock/" + Id)]
    [InlineData("GET", "/api/v1/products/" + Id)]
    [InlineData("POST", "/webhooks/stripe")]
    [InlineData("POST", "/api/v1/guests")]
    public async Task Basic_credentials_which_could_name_another_service_are_not_passed_on(string method, string path)
    {
        var credentials = Convert.ToBase64String(Encoding.ASCII.GetBytes("dapr-app-id:payments"));
        await gateway.RawAsync(path, method, $"Authorization: Basic {credentials}", "Content-Length: 0");
        Assert.Null(Assert.Single(gateway.Sidecar.Arrived).Header("Authorization"));
    }

    [Theory]
    [InlineData("Idempotency-Key"), InlineData("If-Match"), InlineData("User-Agent")]
    public async Task A_header_that_cannot_be_written_again_is_refused_and_named(string header)
    {
        var (status, text) = await gateway.RawAsync("/api/v1/guests", "POST", $"{header}: caf\u00c3\u00a9", "Content-Length: 0");   // é, in the bytes of UTF-8

        Assert.Equal(400, status);
        Assert.Contains($"{header} may hold ASCII characters only.", text, StringComparison.Ordinal);
        Assert.Empty(gateway.Sidecar.Arrived);
    }

    [Fact]
    public async Task What_sidecars_and_servers_add_stays_inside()
    {
        gateway.Sidecar.Answer = async http =>
        {
            var headers = http.Response.Headers;
            headers["dapr-app-id"] = "inventory";
            headers.Server = "Kestrel";
            headers["X-Powered-By"] = "us";
            headers.SetCookie = "session=1";
            headers["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            headers.ETag = "\"7\"";
            headers.Location = "/api/v1/orders/1";
            headers["Idempotent-Replayed"] = "true";
            headers.CacheControl = "public, max-age=600";
            await http.Response.WriteAsJsonAsync(new { ok = true });
        };
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).FetchAsync("/api/v1/cart");
        foreach (var name in new[] { "dapr-app-id", "Server", "X-Powered-By", "Set-Cookie", "traceparent" })
            Assert.Null(response.Header(name));
        Assert.Equal("\"7\"", response.Header("ETag"));
        Assert.Equal("/api/v1/orders/1", response.Header("Location"));
        Assert.Equal("true", response.Header("Idempotent-Replayed"));

        // A shopper's own answer is nobody else's, whatever the service says.
        Assert.Equal(new CacheControlHeaderValue { Private = true, NoStore = true }, response.Headers.CacheControl);
    }

    [Fact]
    public async Task A_webhook_arrives_byte_for_byte_with_its_signature_and_without_a_token()
    {
        byte[] body = [.. Encoding.UTF8.GetBytes("{ \"id\" :\t\"evt_1\" }"), 0, 255, 13, 10];
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri("/webhooks/stripe", UriKind.Relative)) { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = new("application/json") { CharSet = "utf-8" };
        request.Headers.Add("Stripe-Signature", "t=1,v1=abc");
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);

        var arrived = Assert.Single(gateway.Sidecar.Arrived);
        Assert.Equal(body, arrived.Body);
        Assert.Equal("t=1,v1=abc", arrived.Header("Stripe-Signature"));
        Assert.Equal("application/json; charset=utf-8", arrived.Header("Content-Type"));
        Assert.Null(arrived.Header("Authorization"));
    }

    [Theory, InlineData("image/jpeg"), InlineData("image/avif"), InlineData("application/octet-stream"), InlineData("multipart/form-data; boundary=x")]
    public async Task A_picture_of_fifteen_megabytes_arrives_as_it_was_sent(string type)
    {
        using var body = new ByteArrayContent(new byte[15 * 1024 * 1024]);
        body.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        using var response = await gateway.As(TestTokens.Seller(Guid.NewGuid(), Guid.NewGuid())).SendAsync("POST", $"/api/v1/products/{Id}/images", body);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var arrived = Assert.Single(gateway.Sidecar.Arrived);
        Assert.Equal($"/v1.0/invoke/media/method/api/v1/products/{Id}/images", arrived.Target);
        Assert.Equal((15 * 1024 * 1024, type), (arrived.Body.Length, arrived.Header("Content-Type")));
    }

    [Fact]
    public async Task A_part_of_a_sellers_file_comes_through_with_its_place_and_the_next_place_comes_back()
    {
        gateway.Sidecar.Answer = http =>
        {
            http.Response.Headers["Upload-Offset"] = "5000000";
            http.Response.Headers["Upload-Complete"] = "?0";
            return Task.CompletedTask;
        };
        using var request = new HttpRequestMessage(HttpMethod.Patch, new Uri($"/api/v1/seller/imports/{Id}", UriKind.Relative)) { Content = new ByteArrayContent(new byte[5_000_000]) };
        request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse("text/csv; charset=utf-8");
        request.Headers.Add("Upload-Offset", "0");
        request.Headers.Add("Upload-Complete", "?0");
        using var response = await gateway.As(TestTokens.Seller(Guid.NewGuid(), Guid.NewGuid())).SendAsync(request, TestContext.Current.CancellationToken);

        var arrived = Assert.Single(gateway.Sidecar.Arrived);
        Assert.Equal(("PATCH", "0", "?0", "text/csv; charset=utf-8"), (arrived.Method, arrived.Header("Upload-Offset"), arrived.Header("Upload-Complete"), arrived.Header("Content-Type")));
        Assert.Equal(("5000000", "?0"), (response.Header("Upload-Offset"), response.Header("Upload-Complete")));
    }

    [Fact]
    public async Task Json_is_no_file_and_a_shopper_has_none_to_send()
    {
        using var json = new StringContent("{}", Encoding.UTF8, "application/json");
        using var wrong = await gateway.As(TestTokens.Seller(Guid.NewGuid(), Guid.NewGuid())).SendAsync("POST", "/api/v1/seller/imports", json);
        var problem = await wrong.ProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type");
        Assert.Equal("The body must be text/csv.", problem.GetProperty("title").GetString());
        using var file = new StringContent("sku\n", Encoding.UTF8, "text/csv");
        using var shopper = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync("POST", "/api/v1/seller/imports", file);
        await shopper.ProblemAsync(HttpStatusCode.Forbidden, "forbidden");
        Assert.Empty(gateway.Sidecar.Arrived);
    }

    [Theory]
    [InlineData(16, "image/jpeg", HttpStatusCode.RequestEntityTooLarge, "body-too-large", "The request body is too large.")]
    [InlineData(1, "text/html", HttpStatusCode.UnsupportedMediaType, "unsupported-media-type", "The body must be image/* or application/octet-stream or multipart/form-data.")]
    public async Task A_larger_one_and_what_is_no_picture_do_not(int megabytes, string type, HttpStatusCode status, string slug, string title)
    {
        using var body = new ByteArrayContent(new byte[megabytes * 1024 * 1024]);
        body.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        using var response = await gateway.As(TestTokens.Seller(Guid.NewGuid(), Guid.NewGuid())).SendAsync("POST", $"/api/v1/products/{Id}/images", body);
        Assert.Equal(title, (await response.ProblemAsync(status, slug)).GetProperty("title").GetString());
        Assert.Empty(gateway.Sidecar.Arrived);
    }

    [Fact]
    public async Task A_picture_is_shown_in_parts_and_kept_as_long_as_its_service_says_and_nobodys_token_goes_along()
    {
        gateway.Sidecar.Answer = async http =>
        {
            http.Response.StatusCode = 206;
            var headers = http.Response.Headers;
            headers.ETag = "\"abc\"";
            headers.CacheControl = "public, max-age=31536000, immutable";
            headers.AcceptRanges = "bytes";
            headers.ContentRange = "bytes 0-3/10";
            headers.SetCookie = "a=b";
            headers.ContentType = "image/webp";
            headers.ContentLength = 4;
            await http.Response.Body.WriteAsync(new byte[4]);
        };
        var picture = $"/api/v1/media/{new string('a', 64)}/800.webp";
        using var part = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).FetchAsync(picture, ("Range", "bytes=0-3"), ("If-Range", "\"abc\""), ("Cookie", "a=b"));
        Assert.Equal(HttpStatusCode.PartialContent, part.StatusCode);
        Assert.Equal(("\"abc\"", "public, max-age=31536000, immutable", "bytes", "bytes 0-3/10", "image/webp", "nosniff"),
            (part.Header("ETag"), part.Header("Cache-Control"), part.Header("Accept-Ranges"), part.Header("Content-Range"), part.Header("Content-Type"), part.Header("X-Content-Type-Options")));
        Assert.Null(part.Header("Set-Cookie"));

        var arrived = Assert.Single(gateway.Sidecar.Arrived);
        Assert.Equal($"/v1.0/invoke/media/method{picture}", arrived.Target);
        Assert.Equal(("bytes=0-3", "\"abc\""), (arrived.Header("Range"), arrived.Header("If-Range")));
        Assert.Null(arrived.Header("Authorization"));
        Assert.Null(arrived.Header("Cookie"));

        // The whole comes from the service too, not from a part that was kept.
        gateway.Sidecar.Answer = Answering.Json(new { whole = true });
        using var whole = await gateway.As(null).FetchAsync(picture);
        Assert.Equal(HttpStatusCode.OK, whole.StatusCode);
        Assert.Equal("""{"whole":true}""", await whole.TextAsync());
        using var head = await gateway.As(null).SendAsync("HEAD", picture);
        Assert.Equal("HEAD", gateway.Sidecar.Arrived[^1].Method);
    }

    [Theory, InlineData("800.png"), InlineData("900.webp"), InlineData("manifest.json"), InlineData("800.webp/..")]
    public async Task Only_names_of_pictures_lead_to_the_store(string file)
    {
        using var response = await gateway.As(null).FetchAsync($"/api/v1/media/{new string('a', 64)}/{file}");
        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Empty(gateway.Sidecar.Arrived);
    }

    [Fact]
    public async Task A_body_of_ten_megabytes_is_too_large_and_never_arrives()
    {
        using var body = new ByteArrayContent(new byte[10 * 1024 * 1024]);
        body.Headers.ContentType = new("application/json");
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync("PUT", "/api/v1/cart", body);
        var problem = await response.ProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
        Assert.Equal("This address takes 1,048,576 bytes at most.", problem.GetProperty("detail").GetString());
        Assert.Empty(gateway.Sidecar.Arrived);
    }

    [Theory]
    [InlineData("POST", "/api/v1/products/no-id/images", HttpStatusCode.NotFound, "not-found")]
    [InlineData("POST", "/api/v1/categories", HttpStatusCode.MethodNotAllowed, "method-not-allowed")]
    public async Task Where_nothing_takes_a_body_its_size_is_not_what_is_wrong(string method, string path, HttpStatusCode status, string slug)
    {
        using var body = new ByteArrayContent(new byte[10 * 1024 * 1024]);
        body.Headers.ContentType = new("image/jpeg");
        using var response = await gateway.As(TestTokens.Seller(Guid.NewGuid(), Guid.NewGuid())).SendAsync(method, path, body);
        await response.ProblemAsync(status, slug);
    }

    [Fact]
    public async Task So_is_one_whose_length_was_not_announced()
    {
        using var body = new Unannounced(3 * 1024 * 1024);
        body.Headers.ContentType = new("application/json");
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync("PUT", "/api/v1/cart", body);
        var problem = await response.ProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
        Assert.Equal("This address takes 1,048,576 bytes at most.", problem.GetProperty("detail").GetString());
    }

    [Fact]
    public async Task A_seller_who_lists_five_hundred_products_at_once_may_send_more()
    {
        var seller = gateway.As(TestTokens.Seller(Guid.NewGuid(), Guid.NewGuid()));
        foreach (var announced in new[] { true, false })
        {
            using HttpContent body = announced ? new ByteArrayContent(new byte[2 * 1024 * 1024]) : new Unannounced(2 * 1024 * 1024);
            body.Headers.ContentType = new("application/json");
            using var response = await seller.SendAsync("POST", "/api/v1/products/bulk", body);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        }
        using var more = new ByteArrayContent(new byte[4 * 1024 * 1024]);
        more.Headers.ContentType = new("application/json");
        using var refused = await seller.SendAsync("POST", "/api/v1/products/bulk", more);
        await refused.ProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData("application/x-www-form-urlencoded")]
    [InlineData("application/xml")]
    [InlineData(null)]
    public async Task Only_JSON_is_taken(string? type)
    {
        using var body = new ByteArrayContent("{}"u8.ToArray());
        body.Headers.ContentType = type is null ? null : new(type);
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync("PUT", "/api/v1/cart", body);
        var problem = await response.ProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type");
        Assert.Equal("The body must be application/json.", problem.GetProperty("title").GetString());
        Assert.Empty(gateway.Sidecar.Arrived);
    }

    [Theory]
    [InlineData("application/json")]
    [InlineData("application/json; charset=utf-8")]
    [InlineData("application/merge-patch+json")]
    public async Task JSON_arrives_as_it_was_sent(string type)
    {
        using var body = new ByteArrayContent("{\"lines\": [] }"u8.ToArray());
        body.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync("PUT", "/api/v1/cart", body);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var arrived = Assert.Single(gateway.Sidecar.Arrived);
        Assert.Equal("{\"lines\": [] }", Encoding.UTF8.GetString(arrived.Body));
        Assert.Equal("14", arrived.Header("Content-Length"));
        Assert.Equal(type, arrived.Header("Content-Type"));
    }

    [Fact]
    public async Task A_stream_of_events_arrives_while_it_is_being_sent()
    {
        var release = new TaskCompletionSource();
        gateway.Sidecar.Answer = async http =>
        {
            http.Response.ContentType = "text/event-stream";
            await http.Response.WriteAsync("data: one\n\n");
            await http.Response.Body.FlushAsync();
            await release.Task;
            await http.Response.WriteAsync("data: two\n\n");
        };
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri("/api/v1/orders/" + Id, UriKind.Relative));
        request.Headers.Accept.ParseAdd("text/event-stream");
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid()))
            .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken));
        Assert.Equal("data: one", await reader.ReadLineAsync(TestContext.Current.CancellationToken));
        release.SetResult();
        Assert.Contains("data: two", await reader.ReadToEndAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Our_own_load_balancer_is_believed_about_the_client()
    {
        await using var behind = await GatewayUnderTest.StartAsync(new Dictionary<string, string?> { ["Forwarding:TrustedProxies:0"] = "127.0.0.0/8" });
        await behind.RawAsync("/api/v1/stock/" + Id, "GET", "X-Forwarded-For: 198.51.100.9, 203.0.113.7");
        Assert.Equal("203.0.113.7", Assert.Single(behind.Sidecar.Arrived).Header("X-Forwarded-For"));
    }

    private sealed class Unannounced(int length) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            for (var sent = 0; sent < length; sent += 65536)
                await stream.WriteAsync(new byte[65536]);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }

    }
}
