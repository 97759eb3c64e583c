using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Catalog.Tests.Imports;

public sealed record ImportState(
    Guid ImportId, string Status, long Offset, long Rows, long Created, long Updated, long Unchanged, long Failed, string? Reason)
{
    public (long Created, long Updated, long Unchanged, long Failed) Counts => (Created, Updated, Unchanged, Failed);
}

public sealed record ErrorPage(IReadOnlyList<ErrorRow> Items, string? Next);

public sealed record ErrorRow(long Row, long Line, string? Column, string Message);

/// <summary>A seller who sends files. Every test has one of its own, so that none sees another's rows.</summary>
internal sealed class Importer
{
    private readonly ServiceUnderTest<Program> catalog;

    public Importer(ServiceUnderTest<Program> catalog)
    {
        this.catalog = catalog;
        catalog.Neighbour("identity").On(HttpMethod.Get, $"/api/v1/sellers/{Id}", new { sellerId = Id, displayName = "Imported Goods" });
        Http = catalog.As(TestTokens.Seller(Guid.CreateVersion7(), Id, "Iris"));
    }

    public Guid Id { get; } = Guid.CreateVersion7();

    public HttpClient Http { get; }

    public Task<HttpResponseMessage> PostAsync(string text, string? key = null, bool? last = null) => PostAsync(Body(text), key, last);

    public Task<HttpResponseMessage> PostAsync(HttpContent body, string? key = null, bool? last = null, CancellationToken ct = default) =>
        SendAsync(HttpMethod.Post, "/api/v1/seller/imports", body, key, last, null, ct);

    public Task<HttpResponseMessage> PatchAsync(Guid importId, long offset, HttpContent body, bool? last = null) =>
        SendAsync(HttpMethod.Patch, $"/api/v1/seller/imports/{importId}", body, null, last, offset, default);

    public async Task<ImportState> ImportAsync(string text)
    {
        using var reply = await PostAsync(text);
        return await StateAsync(reply, HttpStatusCode.Created);
    }

    public static async Task<ImportState> StateAsync(HttpResponseMessage reply, HttpStatusCode status)
    {
        var text = await reply.Content.ReadAsStringAsync();
        Assert.True(reply.StatusCode == status, $"{reply.StatusCode}: {text}");
        var state = JsonSerializer.Deserialize<ImportState>(text, JsonSerializerOptions.Web)!;
        Assert.Equal($"{state.Offset}", Assert.Single(reply.Headers.GetValues("Upload-Offset")));
        return state;
    }

    public async Task<ImportState> ShowAsync(Guid importId) => (await Http.GetFromJsonAsync<ImportState>($"/api/v1/seller/imports/{importId}"))!;

    public async Task<IReadOnlyList<ErrorRow>> ErrorsAsync(Guid importId) => (await Http.GetFromJsonAsync<ErrorPage>($"/api/v1/seller/imports/{importId}/errors"))!.Items;

    public async Task<IReadOnlyList<JsonElement>> ListingsAsync() =>
        [.. (await Http.GetFromJsonAsync<JsonElement>("/api/v1/seller/products?limit=100")).GetProperty("items").EnumerateArray()];

    public async Task<JsonElement> ListingAsync(string sku) => (await ListingsAsync()).Single(listing => listing.GetProperty("sku").GetString() == sku);

    public Task<long> EventsAsync(string topic = "product.upserted") =>
        catalog.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE topic = $1 AND payload->>'sellerId' = $2", topic, Id.ToString());

    public Task<long> StoredAsync() => catalog.ScalarAsync<long>("SELECT count(*) FROM listings WHERE seller_id = $1", Id);

    public Task<string> ExportAsync() => Http.GetStringAsync("/api/v1/seller/products.csv");

    public static HttpContent Body(string text) => Body(Encoding.UTF8.GetBytes(text));

    public static HttpContent Body(byte[] bytes)
    {
        var body = new ByteArrayContent(bytes);
        body.Headers.ContentType = new MediaTypeHeaderValue("text/csv") { CharSet = "utf-8" };
        return body;
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent body, string? key, bool? last, long? offset, CancellationToken ct)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body };
        if (key is not null)
            request.Headers.Add("Idempotency-Key", key);
        if (last is { } ends)
            request.Headers.Add("Upload-Complete", ends ? "?1" : "?0");
        if (offset is { } at)
            request.Headers.Add("Upload-Offset", $"{at}");
        return await Http.SendAsync(request, ct);
    }
}

/// <summary>A body that comes in pieces: between them the test does what it likes, and breaks it off by throwing.</summary>
internal sealed class Pieces : HttpContent
{
    private readonly Func<Stream, Task> write;

    public Pieces(Func<Stream, Task> write)
    {
        this.write = write;
        Headers.ContentType = new MediaTypeHeaderValue("text/csv");
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => write(stream);

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}
