extern alias local;

using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using local::Marketplace.Local.Sidecar;
using Marketplace.Catalog.Attributes;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Xunit;

namespace Marketplace.Catalog.Tests;

/// <summary>
/// Two replicas of the catalogue on one database and one document store, through a sidecar, and two sellers. Nothing is swept but when a
/// test does it, and then everything that is free.
/// </summary>
public sealed class DocumentShop : IAsyncLifetime
{
    private static readonly string[] Identity = ["identity"];
    private readonly string folder = Directory.CreateTempSubdirectory("catalog-documents-").FullName;
    private SidecarHost? sidecar;

    /// <summary>Where the documents lie; without one in the sidecar's memory.</summary>
    public string? DocumentDatabase { get; init; }

    public TimeProvider Clock { get; init; } = TimeProvider.System;

    public Guid Bruno { get; } = Guid.CreateVersion7();

    public Guid Clara { get; } = Guid.CreateVersion7();

    public ServiceUnderTest<Program> Catalog { get; private set; } = null!;

    public ServiceUnderTest<Program> Replica { get; private set; } = null!;

    public HttpClient AsBruno => Catalog.As(TestTokens.Seller(Guid.CreateVersion7(), Bruno, "Bruno"));

    public HttpClient AsBrunoElsewhere => Replica.As(TestTokens.Seller(Guid.CreateVersion7(), Bruno, "Bruno"));

    public HttpClient AsClara => Catalog.As(TestTokens.Seller(Guid.CreateVersion7(), Clara, "Clara"));

    public HttpClient AsNobody => Catalog.As(null);

    public AttributeDocuments Documents => Catalog.Services.GetRequiredService<AttributeDocuments>();

    public async ValueTask InitializeAsync()
    {
        var components = Directory.CreateDirectory(Path.Combine(folder, "components")).FullName;
        await File.WriteAllTextAsync(Path.Combine(components, "documents.yaml"), $$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata:
              name: documents
            spec:
              type: {{(DocumentDatabase is null ? "state.in-memory" : "state.postgresql")}}
              version: {{(DocumentDatabase is null ? "v1" : "v2")}}
              metadata: [{{(DocumentDatabase is null ? "" : $$"""{name: connectionString, value: "{{DocumentDatabase}}"}""")}}]
            """);
        var app = new SidecarApp("catalog", folder, null, Ports.Free(), Ports.Free(), [components]);
        sidecar = await SidecarHost.StartAsync(new SidecarPlan(Path.Combine(folder, "journal"), 0, null, null, null, [app]));

        var settings = new Dictionary<string, string?>
        {
            ["DAPR_HTTP_PORT"] = app.HttpPort.ToString(CultureInfo.InvariantCulture),
            ["DAPR_GRPC_PORT"] = app.GrpcPort.ToString(CultureInfo.InvariantCulture),
            ["Documents:KeepFree"] = "00:00:00",
            ["Documents:SweepEvery"] = "1.00:00:00",
        };
        Catalog = await ServiceUnderTest<Program>.StartAsync("catalog", Identity, settings, services => services.AddSingleton(Clock));
        Replica = await ServiceUnderTest<Program>.StartAsync("catalog", Identity, settings, services => services.AddSingleton(Clock), Catalog.ConnectionString);
        foreach (var replica in new[] { Catalog, Replica })
        {
            replica.Neighbour("identity")
                .On(HttpMethod.Get, $"/api/v1/sellers/{Bruno}", new { sellerId = Bruno, displayName = "Bruno's Phones" })
                .On(HttpMethod.Get, $"/api/v1/sellers/{Clara}", new { sellerId = Clara, displayName = "Clara's Shirts" });
        }
    }

    public async Task StopDocumentsAsync()
    {
        if (sidecar is not null)
            await sidecar.DisposeAsync();
        sidecar = null;
    }

    public async ValueTask DisposeAsync()
    {
        await Replica.DisposeAsync();
        await Catalog.DisposeAsync();
        await StopDocumentsAsync();
        Directory.Delete(folder, recursive: true);
    }

    public static object Phone(string title = "Phone", object? attributes = null, string? status = null, long minor = 29900, string category = "electronics-phones", Guid? productId = null) => new
    {
        title,
        category,
        status,
        productId,
        price = Money.Gbp(minor),
        attributes = attributes ?? new Dictionary<string, object> { ["screen-size"] = 6.1 },
    };

    public static async Task<JsonElement> PostAsync(HttpClient seller, object listing)
    {
        using var reply = await seller.PostAsJsonAsync("/api/v1/products", listing, TestContext.Current.CancellationToken);
        var text = await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(reply.StatusCode == HttpStatusCode.Created, $"{reply.StatusCode}: {text}");
        return JsonDocument.Parse(text).RootElement;
    }

    public static async Task<HttpResponseMessage> PutAsync(HttpClient seller, Guid productId, object listing, string ifMatch = "*")
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, new Uri($"/api/v1/products/{productId}", UriKind.Relative)) { Content = JsonContent.Create(listing) };
        request.Headers.TryAddWithoutValidation("If-Match", ifMatch);
        return await seller.SendAsync(request, TestContext.Current.CancellationToken);
    }

    public Task<JsonElement> ShownAsync(Guid productId) => AsNobody.GetFromJsonAsync<JsonElement>($"/api/v1/products/{productId}", TestContext.Current.CancellationToken);

    public Task<long> LedgerAsync() => Catalog.ScalarAsync<long>("SELECT count(*) FROM attribute_documents");

    public static DocumentSweep SweepOf(ServiceUnderTest<Program> catalog) => catalog.Services.GetRequiredService<DocumentSweep>();

    public async Task ExecuteAsync(string sql)
    {
        await using var command = Catalog.Database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
    }
}

internal static class ListingJson
{
    public static Guid Id(this JsonElement listing) => listing.GetProperty("productId").GetGuid();

    public static long Revision(this JsonElement listing) => listing.GetProperty("revision").GetInt64();

    public static string Text(this JsonElement element, string property) => element.GetProperty(property).GetString()!;

    /// <summary>"name value" of each, in their order.</summary>
    public static IEnumerable<string> Pairs(this JsonElement element, string property) =>
        element.GetProperty(property).EnumerateArray().Select(pair => $"{pair.Text("name")} {pair.Text("value")}");

    public static IReadOnlyList<JsonElement> List(this JsonElement element, string property) => [.. element.GetProperty(property).EnumerateArray()];
}
