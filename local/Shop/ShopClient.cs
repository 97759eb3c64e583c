using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Marketplace.Local.Shop;

public sealed record Money(long Minor, string Currency = "GBP");
public sealed record Session(Guid AccountId, string AccessToken, string? RefreshToken, DateTimeOffset ExpiresAt, Guid? SellerId);
public sealed record NewListing(
    string Title, string Description, string Brand, string Category, Money Price, string? ImageUrl, Guid? ProductId = null, string? Sku = null,
    IReadOnlyDictionary<string, JsonElement>? Attributes = null, IReadOnlyList<string>? OptionNames = null, IReadOnlyList<NewVariant>? Variants = null);
public sealed record NewVariant(string Sku, IReadOnlyList<NewOption> Options, Money Price);
public sealed record NewOption(string Name, string Value);
public sealed record StockLine(Guid ProductId, string Warehouse, int OnHand);
public sealed record CartLine(Guid ProductId, int Quantity);
public sealed record Destination(string Name, string Line1, string? Line2, string City, string PostalCode, string Country);
public sealed record Contact(string Email, string Name);

/// <summary>What a checkout came to: an order, or the reason why not.</summary>
public sealed record CheckoutAnswer(Guid? OrderId, string? Refusal);

/// <summary>
/// The marketplace as its customers' programs see it: the public API of the gateway and nothing else. Made to send a lot
/// with little: pooled connections, generated JSON, answers read only where something in them is needed.
/// </summary>
public sealed class ShopClient : IDisposable
{
    private const int Tries = 8;
    private readonly HttpClient http;
    private int retries;
    private int throttled;

    public ShopClient(Uri gateway)
    {
        var handler = new SocketsHttpHandler { MaxConnectionsPerServer = 512, AutomaticDecompression = DecompressionMethods.None, UseCookies = false, AllowAutoRedirect = false };
        http = new HttpClient(handler) { BaseAddress = gateway, Timeout = TimeSpan.FromSeconds(60) };
    }

    /// <summary>Requests sent again after a fault or a closed connection, and those after a 429.</summary>
    public (int AfterFaults, int Throttled) Repeats => (retries, throttled);

    public void Dispose() => http.Dispose();

    /// <summary>A new account, or the one that has this address already.</summary>
    public async Task<Session> OpenAccountAsync(string email, string password, string name, CancellationToken ct)
    {
        var (status, body) = await SendAsync(HttpMethod.Post, "api/v1/accounts", null, new(email, password, name), ShopJson.Default.NewAccount, null, ct);
        return status switch
        {
            HttpStatusCode.Created => Read(body, ShopJson.Default.Session),
            HttpStatusCode.Conflict => await SignInAsync(email, password, ct),
            _ => throw new ShopException($"opening the account {email}", status, body),
        };
    }

    public async Task<Session> SignInAsync(string email, string password, CancellationToken ct) =>
        Read(await ExpectAsync("signing in as " + email, HttpMethod.Post, "api/v1/sessions", null, new(email, password), ShopJson.Default.Credentials, ct), ShopJson.Default.Session);

    public async Task<Session> ComeAsGuestAsync(CancellationToken ct) =>
        Read(await ExpectAsync("coming as a guest", HttpMethod.Post, "api/v1/guests", null, new(), ShopJson.Default.Nothing, ct), ShopJson.Default.Session);

    public async Task<Session> RefreshAsync(Session session, CancellationToken ct) => session.RefreshToken is null
        ? session
        : Read(await ExpectAsync("refreshing a session", HttpMethod.Post, "api/v1/sessions/refresh", null, new(session.RefreshToken), ShopJson.Default.Refresh, ct), ShopJson.Default.Session);

    public async Task<Session> BecomeSellerAsync(Session session, string displayName, CancellationToken ct)
    {
        if (session.SellerId is not null)
            return session;
        var (status, body) = await SendAsync(HttpMethod.Post, "api/v1/sellers", session, new(displayName), ShopJson.Default.NewSeller, null, ct);
        return status is HttpStatusCode.Created or HttpStatusCode.OK ? Read(body, ShopJson.Default.Session) : throw new ShopException($"opening the shop {displayName}", status, body);
    }

    public async Task<JsonDocument> GetAsync(string path, Session? session, CancellationToken ct)
    {
        var (status, body) = await SendAsync<Nothing>(HttpMethod.Get, path, session, null, null, null, ct);
        return status == HttpStatusCode.OK ? JsonDocument.Parse(body) : throw new ShopException($"GET {path}", status, body);
    }

    public async Task<bool> ExistsAsync(string path, CancellationToken ct)
    {
        var (status, body) = await SendAsync<Nothing>(HttpMethod.Get, path, null, null, null, null, ct);
        return status switch
        {
            HttpStatusCode.OK => true,
            HttpStatusCode.NotFound => false,
            _ => throw new ShopException($"GET {path}", status, body),
        };
    }

    /// <summary>Items on the first page of a list: enough to see whether there are any.</summary>
    public async Task<int> CountAsync(string path, Session session, CancellationToken ct)
    {
        using var page = await GetAsync(path, session, ct);
        return page.RootElement.GetProperty("items").GetArrayLength();
    }

    public async Task ListAsync(Session seller, IReadOnlyList<NewListing> listings, CancellationToken ct) =>
        await ExpectAsync("listing products", HttpMethod.Post, "api/v1/products/bulk", seller, new(listings), ShopJson.Default.Listings, ct);

    public async Task StockAsync(Session seller, IReadOnlyList<StockLine> lines, CancellationToken ct) =>
        await ExpectAsync("setting stock", HttpMethod.Put, "api/v1/stock", seller, new(lines), ShopJson.Default.StockLines, ct);

    public async Task FillCartAsync(Session shopper, IReadOnlyList<CartLine> lines, CancellationToken ct) =>
        await ExpectAsync("filling a cart", HttpMethod.Put, "api/v1/cart", shopper, new(lines), ShopJson.Default.CartLines, ct);

    public async Task AddPaymentMethodAsync(Session shopper, string providerToken, CancellationToken ct) =>
        await ExpectAsync("saving a card", HttpMethod.Post, "api/v1/payment-methods", shopper, new(providerToken, true), ShopJson.Default.NewPaymentMethod, ct);

    public async Task AddAddressAsync(Session shopper, Destination address, CancellationToken ct) =>
        await ExpectAsync("saving an address", HttpMethod.Post, "api/v1/me/addresses", shopper, address, ShopJson.Default.Destination, ct);

    /// <summary>Every repeat of it carries the same key, so that it is one order however often it is sent.</summary>
    public async Task<CheckoutAnswer> CheckOutAsync(Session shopper, string key, long totalMinor, Destination shipTo, Contact contact, string? paymentMethod, CancellationToken ct)
    {
        var (status, body) = await SendAsync(HttpMethod.Post, "api/v1/checkout", shopper, new(new Money(totalMinor), shipTo, contact, paymentMethod), ShopJson.Default.Checkout, key, ct);
        if (status is HttpStatusCode.Accepted or HttpStatusCode.OK)
            return new CheckoutAnswer(Read(body, ShopJson.Default.CheckoutReply).OrderId, null);
        return new CheckoutAnswer(null, $"{(int)status} {ShopException.Slug(body)}");
    }

    private async Task<byte[]> ExpectAsync<T>(string what, HttpMethod method, string path, Session? session, T body, JsonTypeInfo<T> type, CancellationToken ct)
    {
        var (status, answer) = await SendAsync(method, path, session, body, type, null, ct);
        return (int)status is >= 200 and < 300 ? answer : throw new ShopException(what, status, answer);
    }

    private async Task<(HttpStatusCode Status, byte[] Body)> SendAsync<T>(HttpMethod method, string path, Session? session, T? body, JsonTypeInfo<T>? type, string? key, CancellationToken ct)
    {
        var content = type is null ? null : JsonSerializer.SerializeToUtf8Bytes(body!, type);
        for (var attempt = 1; ; attempt++)
        {
            using var request = new HttpRequestMessage(method, path);
            if (session is not null)
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", session.AccessToken);
            if (key is not null)
                request.Headers.TryAddWithoutValidation("Idempotency-Key", key);
            if (content is not null)
                request.Content = new ByteArrayContent(content) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
            TimeSpan pause;
            try
            {
                using var response = await http.SendAsync(request, ct);
                var answer = await response.Content.ReadAsByteArrayAsync(ct);
                var status = response.StatusCode;
                if (status == HttpStatusCode.TooManyRequests && attempt < Tries * 4)
                {
                    Interlocked.Increment(ref throttled);
                    pause = response.Headers.RetryAfter?.Delta ?? TimeSpan.FromSeconds(1);
                }
                else if (status is HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout && attempt < Tries
                    || status == HttpStatusCode.Conflict && key is not null && ShopException.Slug(answer).Contains("progress", StringComparison.Ordinal) && attempt < Tries)
                {
                    Interlocked.Increment(ref retries);
                    pause = TimeSpan.FromMilliseconds(100 << Math.Min(attempt, 6));
                }
                else
                {
                    return (status, answer);
                }
            }
            catch (Exception fault) when (attempt < Tries && !ct.IsCancellationRequested && fault is HttpRequestException or TaskCanceledException)
            {
                Interlocked.Increment(ref retries);
                pause = TimeSpan.FromMilliseconds(100 << Math.Min(attempt, 6));
            }

            await Task.Delay(pause, ct);
        }
    }

    private static T Read<T>(byte[] body, JsonTypeInfo<T> type) => JsonSerializer.Deserialize(body, type) ?? throw new JsonException("An empty answer.");
}

/// <summary>The marketplace said no where the caller had no plan for it.</summary>
public sealed class ShopException(string what, HttpStatusCode status, byte[] body)
    : Exception($"{what}: {(int)status} {System.Text.Encoding.UTF8.GetString(body.AsSpan(0, Math.Min(body.Length, 600)))}")
{
    public HttpStatusCode Status { get; } = status;

    /// <summary>The last part of a problem document's type, such as out-of-stock.</summary>
    public static string Slug(byte[] body)
    {
        try
        {
            using var problem = JsonDocument.Parse(body);
            return problem.RootElement.TryGetProperty("type", out var type) ? type.GetString()?.Split('/').Last() ?? "" : "";
        }
        catch (JsonException)
        {
            return "";   // not a problem document: the status has to do
        }
    }
}

internal sealed record NewAccount(string Email, string Password, string Name);
internal sealed record Credentials(string Email, string Password);
internal sealed record Refresh(string RefreshToken);
internal sealed record NewSeller(string DisplayName);
internal sealed record Listings(IReadOnlyList<NewListing> Products);
internal sealed record StockLines(IReadOnlyList<StockLine> Lines);
internal sealed record CartLines(IReadOnlyList<CartLine> Lines);
internal sealed record NewPaymentMethod(string ProviderToken, bool MakeDefault);
internal sealed record Checkout(Money ExpectedTotal, Destination ShipTo, Contact Contact, string? PaymentMethod);
internal sealed record CheckoutReply(Guid OrderId);
internal sealed record Nothing;

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(NewAccount))]
[JsonSerializable(typeof(Credentials))]
[JsonSerializable(typeof(Refresh))]
[JsonSerializable(typeof(NewSeller))]
[JsonSerializable(typeof(Session))]
[JsonSerializable(typeof(Listings))]
[JsonSerializable(typeof(StockLines))]
[JsonSerializable(typeof(CartLines))]
[JsonSerializable(typeof(NewPaymentMethod))]
[JsonSerializable(typeof(Destination))]
[JsonSerializable(typeof(Checkout))]
[JsonSerializable(typeof(CheckoutReply))]
[JsonSerializable(typeof(Nothing))]
internal sealed partial class ShopJson : JsonSerializerContext;
