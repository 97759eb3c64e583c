using System.Net;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Journeys;

/// <summary>The shop on other brokers and stores: one system per set, one purchase of each kind. The set is all that differs.</summary>
public abstract class WhenAnotherSetIsChosen(MarketOf its)
{
    protected Market Market { get; } = its.Market;

    [Fact]
    public async Task What_is_bought_is_confirmed_paid_once_mailed_and_delivered()
    {
        var word = "Lantern" + new string([.. Enumerable.Range(0, 8).Select(_ => (char)('a' + Random.Shared.Next(26)))]);
        var lamp = await Market.ListAsync($"{word} lamp", 1250, ("north", 10), ("south", 5));
        await Eventually.Async(
            async () => (await Market.Nobody.GetAsync($"/api/v1/search?q={word}&n={Guid.NewGuid():N}")).Text.Contains(lamp.ToString(), StringComparison.Ordinal), "the listing is found", TimeSpan.FromSeconds(60));
        var ada = await Market.NewBuyerAsync();

        var order = await ada.BuyAsync("pm_card_visa", (lamp, 12));
        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, order));
        Assert.Equal((1, 12 * 1250, 0), await Market.ChargedAsync(order));
        await Eventually.Async(async () => (await ada.GetAsync("/api/v1/cart")).Json.GetProperty("lines").GetArrayLength() == 0, "what was ordered leaves the cart", TimeSpan.FromSeconds(60));
        await Eventually.Async(async () => (await Market.MailsToAsync(ada.Email!)).Any(mail => mail.Contains(order.ToString(), StringComparison.Ordinal)), "the confirmation is mailed", TimeSpan.FromSeconds(60));

        var boss = await Market.OperatorAsync();
        Reply shipments = null!;
        await Eventually.Async(async () => (shipments = await ada.GetAsync($"/api/v1/shipments?orderId={order}")).Json.GetProperty("items").GetArrayLength() == 2, "two parcels are planned", TimeSpan.FromSeconds(60));
        foreach (var shipment in shipments.Json.GetProperty("items").EnumerateArray())
            for (var step = 0; step < 3; step++)
                (await boss.PostAsync($"/api/v1/operations/shipments/{shipment.GetProperty("shipmentId").GetGuid()}/advance")).Expect(HttpStatusCode.OK);
        await Market.BecomesAsync(ada, order, "DELIVERED");
        await Market.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_declined_card_pays_nothing_and_the_units_are_free_again()
    {
        var vase = await Market.ListAsync("Vase", 3100, ("midlands", 4));
        var ada = await Market.NewBuyerAsync();
        var order = await ada.BuyAsync("pm_card_chargeDeclined", (vase, 3));

        Assert.Equal("PAYMENT_FAILED", await Market.StatusAsync(ada, order));
        Assert.Equal((0, 0, 0), await Market.ChargedAsync(order));
        await Eventually.Async(async () => await Market.AvailableAsync(vase) == 4, "the units are free");
        await Market.BooksBalanceAsync();
    }

    [Fact]
    public async Task More_than_there_is_is_sold_to_nobody()
    {
        var stool = await Market.ListAsync("Stool", 2500, ("south", 2));
        var (ada, bruno) = (await Market.NewBuyerAsync(), await Market.NewBuyerAsync());

        Assert.Equal("FAILED", await Market.StatusAsync(ada, await ada.BuyAsync("pm_card_visa", (stool, 3))));
        Assert.Equal("CONFIRMED", await Market.StatusAsync(bruno, await bruno.BuyAsync("pm_card_visa", (stool, 2))));
        Assert.Equal(0, await Market.AvailableAsync(stool));
        await Market.BooksBalanceAsync();
    }

    [Theory]
    [InlineData("ordering", "CapturePayment")]
    public async Task A_service_killed_in_the_middle_of_a_sale_charges_once(string service, string step)
    {
        var thing = await Market.ListAsync($"Sold while {service} dies", 1100, ("north", 10));
        var ada = await Market.NewBuyerAsync();
        Guid order;
        await using (var held = await Market.FaultAsync(new { kind = "activity", name = step, mode = "hold", times = 1 }))
        {
            order = await ada.BuyAsync("pm_card_visa", (thing, 2));
            await held.StruckAsync();
            await Market.KillAsync(service);
        }

        await Market.AllUpAsync();
        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, order, TimeSpan.FromSeconds(90)));
        Assert.Equal((1, 2200, 0), await Market.ChargedAsync(order));
        await Eventually.Async(async () => (await Market.SqlAsync<long>("fulfilment", "SELECT count(*) FROM shipments WHERE order_id = $1", order))[0] == 1, "its parcel is planned", TimeSpan.FromSeconds(60));
        await Market.BooksBalanceAsync();
    }
}

/// <summary>On a broker that keeps what it has over its own end.</summary>
public abstract class WhenItsBrokerKeepsThings(MarketOf its, string broker) : WhenAnotherSetIsChosen(its)
{
    [Fact]
    public async Task The_broker_dies_in_a_rush_and_every_order_is_packed_and_mailed()
    {
        var thing = await Market.ListAsync("Rushed for", 200, ("north", 100));
        var buyers = new List<Person>();
        for (var number = 0; number < 6; number++) buyers.Add(await Market.NewBuyerAsync());
        foreach (var buyer in buyers) await buyer.FillCartAsync((thing, 1));

        var checkouts = buyers.Select(buyer => Market.InsistAsync(() => buyer.CheckoutAsync(200, key: "rush"), HttpStatusCode.Accepted)).ToList();
        await Task.WhenAny(checkouts);
        await Market.KillAsync(broker);
        var orders = (await Task.WhenAll(checkouts)).Select(reply => reply.Id("orderId")).ToArray();
        await Market.AllUpAsync();

        foreach (var (buyer, order) in buyers.Zip(orders)) Assert.Equal("CONFIRMED", await Market.StatusAsync(buyer, order, TimeSpan.FromSeconds(90)));
        await Eventually.Async(
            async () => (await Market.SqlAsync<long>("fulfilment", "SELECT count(*) FROM shipments WHERE order_id = ANY($1)", orders))[0] == orders.Length, "one parcel for each order, none twice", TimeSpan.FromSeconds(90));
        foreach (var (buyer, order) in buyers.Zip(orders))
            await Eventually.Async(async () => (await Market.MailsToAsync(buyer.Email!)).Any(mail => mail.Contains(order.ToString(), StringComparison.Ordinal)), "every order is mailed", TimeSpan.FromSeconds(90));
        await Market.BooksBalanceAsync();
    }
}

/// <summary>The system of one test class; none where the machine lacks what the set needs.</summary>
public abstract class MarketOf(string set) : IAsyncLifetime
{
    private readonly string? missing = Market.WhyNot(set);
    private Market? market;

    public Market Market
    {
        get
        {
            Assert.SkipWhen(missing is not null, missing ?? "");
            return market!;
        }
    }

    public async ValueTask InitializeAsync() => market = missing is null ? await Market.StartAsync(set) : null;

    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return market?.DisposeAsync() ?? ValueTask.CompletedTask;
    }
}

public sealed class OnRedis(OnRedis.Its its) : WhenItsBrokerKeepsThings(its, "redis"), IClassFixture<OnRedis.Its>
{
    public sealed class Its() : MarketOf("redis");
}

public sealed class OnRabbitMq(OnRabbitMq.Its its) : WhenItsBrokerKeepsThings(its, "rabbitmq"), IClassFixture<OnRabbitMq.Its>
{
    public sealed class Its() : MarketOf("rabbitmq");
}

public sealed class OnPostgres(OnPostgres.Its its) : WhenAnotherSetIsChosen(its), IClassFixture<OnPostgres.Its>
{
    public sealed class Its() : MarketOf("postgres");
}

public sealed class OnKafka(OnKafka.Its its) : WhenAnotherSetIsChosen(its), IClassFixture<OnKafka.Its>
{
    public sealed class Its() : MarketOf("kafka");
}
