using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Dapr.Workflow;
using Marketplace.Contracts;
using Marketplace.Ordering.Checkout;
using Marketplace.Ordering.FlashOrders;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;

[assembly: AssemblyFixture(typeof(PostgresFixture))]

namespace Marketplace.Ordering.Tests;

/// <summary>
/// The real service on a database of its own, among neighbours that keep their promises: a warehouse and a till that remember what they
/// answered and honour their tombstones. Sagas run when a test says so.
/// </summary>
public sealed class Shop : IAsyncDisposable
{
    public static readonly Guid LampSeller = Guid.CreateVersion7();
    public static readonly Guid MugSeller = Guid.CreateVersion7();

    private Shop(ServiceUnderTest<Program> service, FakeSagas sagas)
    {
        (Service, Sagas) = (service, sagas);
        Stock = new StockModel(service.Neighbour("inventory"));
        Till = new TillModel(service.Neighbour("payments"));
        service.Neighbour("cart").On(HttpMethod.Get, "/internal/carts/*", call =>
            FakeReply.Ok(new { cartId = CartId, lines = Cart.GetValueOrDefault(Guid.Parse(call.Path.Split('/')[^1]), []).Select(line => new { line.ProductId, line.Quantity }) }));
        service.Neighbour("catalog").On(HttpMethod.Post, "/internal/prices", call =>
        {
            var asked = call.Read<PriceQuestion>().ProductIds;
            return FakeReply.Ok(new { products = Listed.Where(product => asked.Contains(product.ProductId)) });
        });
    }

    public ServiceUnderTest<Program> Service { get; }

    public FakeSagas Sagas { get; }

    public StockModel Stock { get; }

    public TillModel Till { get; }

    public Guid CartId { get; set; } = Guid.CreateVersion7();

    public Dictionary<Guid, List<(Guid ProductId, int Quantity)>> Cart { get; } = [];

    public List<ListedModel> Listed { get; } =
    [
        new(Guid.CreateVersion7(), LampSeller, "Lamp", Money.Gbp(1299)),
        new(Guid.CreateVersion7(), MugSeller, "Mug", Money.Gbp(450)),
    ];

    public Guid Lamp => Listed[0].ProductId;

    public Guid Mug => Listed[1].ProductId;

    /// <summary>A second process on the same tables.</summary>
    public Task<Shop> SecondReplicaAsync() => OpenAsync(connectionString: Service.ConnectionString);

    public static async Task<Shop> OpenAsync(IReadOnlyDictionary<string, string?>? settings = null, string? connectionString = null)
    {
        var sagas = new FakeSagas();
        var all = new Dictionary<string, string?> { ["Checkout:WatchEvery"] = "1.00:00:00", ["Checkout:WatchAfter"] = "00:00:00", ["Checkout:WatchAgainAfter"] = "00:00:00" };
        foreach (var (key, value) in settings ?? new Dictionary<string, string?>()) all[key] = value;
        return new Shop(await ServiceUnderTest<Program>.StartAsync("ordering", calls: ["cart", "catalog", "inventory", "payments"], settings: all, replace: services =>
        {
            services.Replace(ServiceDescriptor.Singleton<ISagaRuntime>(sagas));
            services.Remove(services.Single(service => service.ServiceType == typeof(IHostedService) && service.ImplementationType?.Name == "WorkflowWorker"));
        }, connectionString: connectionString), sagas);
    }

    public HttpClient As(Guid buyer) => Service.As(TestTokens.Buyer(buyer));

    /// <summary>Two sellers, several of one thing: one line would hide a wrong sum.</summary>
    public void PutInCart(Guid buyer, int lamps = 2, int mugs = 3) => Cart[buyer] = [(Lamp, lamps), (Mug, mugs)];

    public static Money Total(int lamps = 2, int mugs = 3) => Money.Gbp((1299 * lamps) + (450 * mugs));

    public static object Request(Money expectedTotal, string? paymentMethod = "pm_card_visa") => new
    {
        expectedTotal,
        shipTo = new { name = "Ada", line1 = "12 Analytical Row", line2 = (string?)null, city = "London", postalCode = "N1 1AA", country = "GB" },
        paymentMethod,
    };

    public static async Task<HttpResponseMessage> CheckOutAsync(HttpClient buyer, object request, string? key = null)
    {
        using var post = new HttpRequestMessage(HttpMethod.Post, "/api/v1/checkout") { Content = JsonContent.Create(request) };
        post.Headers.Add("Idempotency-Key", key ?? Guid.NewGuid().ToString());
        return await buyer.SendAsync(post);
    }

    public static async Task<HttpResponseMessage> PayAgainAsync(HttpClient buyer, Guid orderId, string? key = null, string? paymentMethod = "pm_card_visa")
    {
        using var post = new HttpRequestMessage(HttpMethod.Post, $"/api/v1/orders/{orderId}/payment") { Content = JsonContent.Create(new { paymentMethod }) };
        post.Headers.Add("Idempotency-Key", key ?? Guid.NewGuid().ToString());
        return await buyer.SendAsync(post);
    }

    /// <summary>An accepted order of a buyer, its saga not yet begun.</summary>
    public async Task<Guid> OrderAsync(Guid buyer, string? paymentMethod = "pm_card_visa")
    {
        PutInCart(buyer);
        using var client = As(buyer);
        using var response = await CheckOutAsync(client, Request(Total(), paymentMethod));
        Assert.Equal(HttpStatusCode.Accepted, response.StatusCode);
        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("orderId").GetGuid();
    }

    /// <summary>An order as far as its saga takes it.</summary>
    public async Task<Guid> SoldAsync(Guid buyer, string? paymentMethod = "pm_card_visa")
    {
        var orderId = await OrderAsync(buyer, paymentMethod);
        await RunAsync(orderId);
        return orderId;
    }

    public async Task<CheckoutOutcome> RunAsync(Guid orderId, int attempt = 1, ScriptedWorkflow? script = null) =>
        await (script ?? new ScriptedWorkflow()).In(this).RunAsync(new CheckoutWorkflow(), (await SagaAsync(orderId, attempt)).Checkout);

    /// <summary>What the lane would start now; fails the test when that is nothing.</summary>
    public async Task<Saga> SagaAsync(Guid orderId, int attempt = 1, bool retry = false)
    {
        var saga = await Service.Services.GetRequiredService<SagaStore>().ToStartAsync(new StartSaga(orderId, attempt, retry), default);
        Assert.NotNull(saga);
        return saga;
    }

    public async Task<JsonElement> ReadAsync(Guid orderId, HttpClient? viewer = null)
    {
        using var operatorClient = viewer is null ? Service.As(TestTokens.Operator()) : null;
        return await (viewer ?? operatorClient!).GetFromJsonAsync<JsonElement>($"/api/v1/orders/{orderId}");
    }

    public async Task<string> StatusAsync(Guid orderId) => (await ReadAsync(orderId)).GetProperty("status").GetString()!;

    public async Task<string?> ReasonAsync(Guid orderId) => (await ReadAsync(orderId)).GetProperty("reason").GetString();

    public async Task<HttpStatusCode> CancelAsync(Guid orderId, Guid buyer)
    {
        using var client = As(buyer);
        using var response = await client.PostAsJsonAsync($"/api/v1/orders/{orderId}/cancellation", new { reason = "changed my mind" });
        return response.StatusCode;
    }

    /// <summary>A unit of a flash sale for this buyer.</summary>
    public FlashSaleClaimed Claim(Guid buyer, int quantity = 1, string? paymentMethod = "pm_card_visa") => new(
        Guid.CreateVersion7(), Guid.CreateVersion7(), Guid.CreateVersion7(), buyer, new OrderedLine(Lamp, LampSeller, "Lamp, in the sale", quantity, Money.Gbp(999)),
        new PostalAddress("Ada", "12 Analytical Row", null, "London", "N1 1AA", "GB"), new OrderContact("ada@example.com", "Ada"), paymentMethod, FromWaitingList: false,
        DateTimeOffset.UtcNow.AddMinutes(10));

    public async Task<Guid> HearAsync(FlashSaleClaimed claim)
    {
        using var response = await Service.DeliverAsync(claim);
        Assert.Equal((HttpStatusCode.OK, ""), (response.StatusCode, await response.Content.ReadAsStringAsync()));
        return claim.OrderId;
    }

    /// <summary>What the sale is told when it gives the order up.</summary>
    public async Task<string> AbandonAsync(Guid orderId, string reason = "not_paid_in_time")
    {
        using var sale = Service.AsNeighbour("flashsales");
        using var response = await sale.PostAsJsonAsync($"/internal/flash-orders/{orderId}/abandonment", new { reason });
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("status").GetString()!;
    }

    public Task StartSagaAsync(StartSaga command) => Service.Services.GetRequiredService<SagaStarter>().StartAsync(command, default);

    public Task StartFlashSagaAsync(Guid orderId) => Service.Services.GetRequiredService<FlashLane>().StartAsync(new StartSaga(orderId, 1), default);

    public Task WatchAsync() => Service.Services.GetRequiredService<SagaWatch>().LookAsync(default);

    public ValueTask DisposeAsync() => Service.DisposeAsync();

    public sealed record ListedModel(Guid ProductId, Guid SellerId, string Title, Money Price);

    private sealed record PriceQuestion(Guid[] ProductIds);
}

/// <summary>Inventory as its contract has it: keyed by order and attempt, repeats answer the same, a release leaves a tombstone.</summary>
public sealed class StockModel
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, string> states = [];
    private readonly Dictionary<string, Guid?> sales = [];

    public StockModel(FakeNeighbour inventory)
    {
        inventory.On(HttpMethod.Post, "/internal/reservations", call =>
        {
            var request = call.Read<Reserve>();
            lock (gate)
            {
                var key = $"{request.OrderId}/{request.Attempt}";
                sales[key] = request.SaleId;
                if (!states.ContainsKey(key)) states[key] = OutOfStock ? "refused" : "held";
                return states[key] switch
                {
                    "held" or "committed" => FakeReply.Ok(new
                    {
                        refusal = (string?)null,
                        shortages = Array.Empty<object>(),
                        expiresAt = HeldUntil,
                        allocations = request.Lines.Select(line => new { line.ProductId, warehouse = "north", line.Quantity }),
                    }),
                    "refused" => FakeReply.Ok(new { refusal = "out_of_stock", shortages = Array.Empty<object>(), allocations = Array.Empty<object>(), expiresAt = (DateTimeOffset?)null }),
                    _ => FakeReply.Ok(new { refusal = "released", shortages = Array.Empty<object>(), allocations = Array.Empty<object>(), expiresAt = (DateTimeOffset?)null }),
                };
            }
        });
        inventory.On(HttpMethod.Post, "/internal/reservations/*", call =>
        {
            var parts = call.Path.Split('/');
            var key = $"{parts[^3]}/{parts[^2]}";
            lock (gate)
            {
                if (parts[^1] == "release")
                {
                    states[key] = "released";
                    return FakeReply.Ok(new { });
                }

                if (CommitsFail) return new FakeReply(500);
                if (LostBeforeCommit && states[key] == "held") states[key] = "gone";
                if (states[key] == "held") states[key] = "committed";
                return FakeReply.Ok(new { refusal = states[key] switch { "committed" => null, "released" => "released", _ => "out_of_stock" }, allocations = Array.Empty<object>() });
            }
        });
    }

    public bool OutOfStock { get; set; }

    /// <summary>The sweep gave the units back and somebody else bought them.</summary>
    public bool LostBeforeCommit { get; set; }

    public bool CommitsFail { get; set; }

    public DateTimeOffset HeldUntil { get; set; } = DateTimeOffset.UtcNow.AddMinutes(15);

    public string Of(Guid orderId, int attempt = 1)
    {
        lock (gate) return states.GetValueOrDefault($"{orderId}/{attempt}", "untouched");
    }

    /// <summary>Out of whose allotment units were asked for.</summary>
    public Guid? SaleOf(Guid orderId, int attempt = 1)
    {
        lock (gate) return sales[$"{orderId}/{attempt}"];
    }

    public bool Holds(Guid orderId, int attempt = 1) => Of(orderId, attempt) is "held" or "committed";

    private sealed record Reserve(Guid OrderId, int Attempt, ReserveLine[] Lines, Guid? SaleId);

    private sealed record ReserveLine(Guid ProductId, int Quantity);
}

/// <summary>Payments as its contract has it. Money moves once per order and attempt, in each direction.</summary>
public sealed class TillModel
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, string> states = [];
    private readonly Dictionary<string, int> asked = [];

    public TillModel(FakeNeighbour payments)
    {
        payments.On(HttpMethod.Post, "/internal/charges", call =>
        {
            var request = call.Read<ChargeQuestion>();
            lock (gate)
            {
                var key = $"{request.OrderId}/{request.Attempt}";
                asked[key] = asked.GetValueOrDefault(key) + 1;
                if (states.GetValueOrDefault(key) is null or "processing")
                {
                    if (asked[key] <= ProcessingFor)
                        states[key] = "processing";
                    else if (request.PaymentMethod == "pm_card_declined")
                        states[key] = "declined";
                    else
                    {
                        states[key] = "captured";
                        Charged += request.Amount.Minor;
                    }
                }

                return FakeReply.Ok(states[key] switch
                {
                    "captured" => new { status = "captured", refusal = (string?)null },
                    "processing" => new { status = "processing", refusal = (string?)null },
                    "declined" => new { status = "refused", refusal = (string?)"card_declined" },
                    _ => new { status = "refused", refusal = (string?)"cancelled" },
                });
            }
        });
        payments.On(HttpMethod.Post, "/internal/refunds", call =>
        {
            var request = call.Read<RefundQuestion>();
            lock (gate)
            {
                var key = $"{request.OrderId}/{request.Attempt}";
                if (states.GetValueOrDefault(key) == "captured")
                {
                    Charged -= Amounts(request.OrderId);
                    states[key] = "refunded";
                }
                else if (states.GetValueOrDefault(key) != "refunded")
                {
                    states[key] = "cancelled";
                }

                return FakeReply.Ok(new { status = states[key] == "refunded" ? "refunded" : "nothing_to_refund" });
            }
        });
    }

    public int ProcessingFor { get; set; }

    /// <summary>What buyers are out of pocket, in minor units.</summary>
    public long Charged { get; private set; }

    public Func<Guid, long> Amounts { get; set; } = _ => (1299 * 2) + (450 * 3);

    public string Of(Guid orderId, int attempt = 1)
    {
        lock (gate) return states.GetValueOrDefault($"{orderId}/{attempt}", "untouched");
    }

    private sealed record ChargeQuestion(Guid OrderId, int Attempt, Money Amount, string? PaymentMethod);

    private sealed record RefundQuestion(Guid OrderId, int Attempt, string Reason);
}

/// <summary>The sidecar's side of sagas: which were started, and what a test says has become of them.</summary>
public sealed class FakeSagas : ISagaRuntime
{
    private readonly Lock gate = new();
    private readonly List<string> started = [];

    public IReadOnlyList<string> Started
    {
        get { lock (gate) return [.. started]; }
    }

    public Dictionary<string, SagaStanding> Standing { get; } = [];

    /// <summary>After which sagas the watch asked.</summary>
    public List<string> Asked { get; } = [];

    public bool Unreachable { get; set; }

    public Task<bool> StartAsync(Saga saga, CancellationToken ct)
    {
        if (Unreachable) throw new Grpc.Core.RpcException(new Grpc.Core.Status(Grpc.Core.StatusCode.Unavailable, "no worker is connected"));
        lock (gate) started.Add(saga.Id);
        return Task.FromResult(Standing.GetValueOrDefault(saga.Id)?.Status != WorkflowRuntimeStatus.Running);
    }

    public Task<SagaStanding> AskAsync(Saga saga, CancellationToken ct)
    {
        Asked.Add(saga.Id);
        return Task.FromResult(Standing.GetValueOrDefault(saga.Id, SagaStanding.Absent));
    }
}
