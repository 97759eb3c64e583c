using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Garnet;
using Marketplace.Cart.Carts;
using Marketplace.Cart.Clients;
using Marketplace.Contracts;
using Marketplace.Local.Redis;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Marketplace.Cart.Tests;

/// <summary>
/// The real service before a real sidecar, in two replicas on one state store. Beside it an app that listens to cart.item_added, and a
/// catalogue with what the test puts into it.
/// </summary>
public abstract class CartFixture : IAsyncLifetime
{
    private readonly string folder = Directory.CreateTempSubdirectory("cart-tests-").FullName;
    private readonly ConcurrentDictionary<Guid, ProductPrice> products = new();
    private readonly ConcurrentQueue<CartItemAdded> heard = new();
    private SidecarHost sidecars = null!;
    private WebApplication listener = null!;

    public ServiceUnderTest<CartContents> Cart { get; private set; } = null!;

    public ServiceUnderTest<CartContents> Replica { get; private set; } = null!;

    public IReadOnlyCollection<CartItemAdded> Heard => heard;

    public CartStore Store => Cart.Services.GetRequiredService<CartStore>();

    public async ValueTask InitializeAsync()
    {
        var components = Directory.CreateDirectory(Path.Combine(folder, "components")).FullName;
        await File.WriteAllTextAsync(Path.Combine(components, "carts.yaml"), $"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata:
              name: carts
            spec:
              version: v1
            {await StoreAsync(folder)}
            """);
        await File.WriteAllTextAsync(Path.Combine(components, "pubsub.yaml"), """
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata:
              name: pubsub
            spec:
              type: pubsub.in-memory
              version: v1
              metadata: []
            """);

        listener = Listener();
        await listener.StartAsync();
        var cart = new SidecarApp("cart", folder, null, Ports.Free(), Ports.Free(), [components]);
        var analytics = new SidecarApp("analytics", folder, new Uri(listener.Urls.Single()).Port, Ports.Free(), Ports.Free(), [components]);
        sidecars = await SidecarHost.StartAsync(new SidecarPlan(Path.Combine(folder, "journal"), 0, null, null, null, [cart, analytics]));

        var settings = new Dictionary<string, string?>
        {
            ["DAPR_HTTP_PORT"] = cart.HttpPort.ToString(CultureInfo.InvariantCulture),
            ["DAPR_GRPC_PORT"] = cart.GrpcPort.ToString(CultureInfo.InvariantCulture),
        };
        Cart = await ServiceUnderTest<CartContents>.StartAsync(calls: ["catalog"], settings: settings);
        Replica = await ServiceUnderTest<CartContents>.StartAsync(calls: ["catalog"], settings: settings);
        foreach (var replica in new[] { Cart, Replica })
            replica.Neighbour("catalog").On(HttpMethod.Post, "/internal/prices", PricesOf);
    }

    public async ValueTask DisposeAsync()
    {
        await Replica.DisposeAsync();
        await Cart.DisposeAsync();
        await sidecars.DisposeAsync();
        await listener.DisposeAsync();
        await StopStoreAsync();
        Directory.Delete(folder, recursive: true);
    }

    /// <summary>Lists a product.</summary>
    public Guid Product(long minor = 100, string title = "Lamp")
    {
        var id = Guid.CreateVersion7();
        products[id] = new(id, Guid.NewGuid(), title, Money.Gbp(minor));
        return id;
    }

    public void TakeDown(Guid productId) => products.TryRemove(productId, out _);

    protected abstract Task<string> StoreAsync(string folder);

    protected virtual ValueTask StopStoreAsync() => ValueTask.CompletedTask;

    private FakeReply PricesOf(FakeCall call) => FakeReply.Ok(new
    {
        products = call.Read<Asked>().ProductIds.Select(id => products.GetValueOrDefault(id)).OfType<ProductPrice>().ToList(),
    });

    private WebApplication Listener()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        app.MapGet("/dapr/subscribe", () => new[] { new { pubsubname = "pubsub", topic = CartItemAdded.Topic, route = "/added" } });
        app.MapPost("/added", async (HttpContext http) =>
        {
            using var envelope = await JsonDocument.ParseAsync(http.Request.Body);
            heard.Enqueue(envelope.RootElement.GetProperty("data").Deserialize<CartItemAdded>(JsonSerializerOptions.Web)!);
        });
        return app;
    }

    private sealed record Asked(IReadOnlyList<Guid> ProductIds);
}

public sealed class CartsInMemory : CartFixture
{
    protected override Task<string> StoreAsync(string folder) => Task.FromResult("""
          type: state.in-memory
          metadata: []
        """);
}

/// <summary>The store that every set names, which refuses a write in ways of its own.</summary>
public sealed class CartsInRedis : CartFixture
{
    private GarnetServer? server;
    private int port;

    /// <summary>How long the stored cart has to live.</summary>
    public async Task<TimeSpan> LifetimeAsync(Guid buyerId)
    {
        await using var redis = await StackExchange.Redis.ConnectionMultiplexer.ConnectAsync($"127.0.0.1:{port}");
        return await redis.GetDatabase().KeyTimeToLiveAsync($"cart||cart-{buyerId:N}") ?? throw new InvalidOperationException("The cart has no expiry.");
    }

    protected override Task<string> StoreAsync(string folder)
    {
        port = Ports.Free();
        server = RedisCommand.Start(port, Path.Combine(folder, "redis"));
        return Task.FromResult($"""
              type: state.redis
              metadata:
                - name: redisHost
                  value: 127.0.0.1:{port}
            """);
    }

    protected override ValueTask StopStoreAsync()
    {
        server?.Dispose();
        return ValueTask.CompletedTask;
    }
}

internal static class HttpWords
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static Task<HttpResponseMessage> FetchAsync(this HttpClient http, string path) => http.GetAsync(new Uri(path, UriKind.Relative), Ct);

    public static Task<HttpResponseMessage> PostAsync(this HttpClient http, string path, object body) =>
        http.PostAsync(new Uri(path, UriKind.Relative), JsonContent.Create(body), Ct);

    public static async Task<HttpResponseMessage> PutAsync(this HttpClient http, string path, object body, string? ifMatch = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, new Uri(path, UriKind.Relative)) { Content = JsonContent.Create(body) };
        if (ifMatch is not null) request.Headers.TryAddWithoutValidation("If-Match", ifMatch);
        return await http.SendAsync(request, Ct);
    }

    public static Task<HttpResponseMessage> RemoveAsync(this HttpClient http, string path) => http.DeleteAsync(new Uri(path, UriKind.Relative), Ct);

    public static Task<HttpResponseMessage> AddAsync(this HttpClient http, Guid productId, int quantity) =>
        http.PostAsync("/api/v1/cart/lines", new { productId, quantity });

    public static async Task<PricedCart> CartAsync(this Task<HttpResponseMessage> sending)
    {
        using var response = await sending;
        Assert.True(response.StatusCode == HttpStatusCode.OK, $"{(int)response.StatusCode}: {await response.Content.ReadAsStringAsync(Ct)}");
        return (await response.Content.ReadFromJsonAsync<PricedCart>(JsonSerializerOptions.Web, Ct))!;
    }

    public static Task<PricedCart> CartAsync(this HttpClient http) => http.FetchAsync("/api/v1/cart").CartAsync();

    public static async Task<JsonElement> ProblemAsync(this Task<HttpResponseMessage> sending, HttpStatusCode status, string slug)
    {
        using var response = await sending;
        var text = await response.Content.ReadAsStringAsync(Ct);
        Assert.True(status == response.StatusCode, $"{(int)response.StatusCode}: {text}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        var problem = JsonDocument.Parse(text).RootElement;
        Assert.Equal($"/problems/{slug}", problem.GetProperty("type").GetString());
        return problem;
    }

    public static IEnumerable<(Guid, int)> Units(this PricedCart cart) => cart.Lines.Select(line => (line.ProductId, line.Quantity));
}
