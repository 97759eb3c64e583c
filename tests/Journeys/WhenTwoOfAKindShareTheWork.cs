using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using Marketplace.Local.Launcher;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Journeys;

/// <summary>Two instances of everything that may have two. One of each kind dies while people buy; nobody loses anything.</summary>
public sealed class WhenTwoOfAKindShareTheWork(WhenTwoOfAKindShareTheWork.Twins twins) : IClassFixture<WhenTwoOfAKindShareTheWork.Twins>
{
    private const int Shoppers = 4;
    private const int OrdersEach = 4;

    private readonly Market market = twins.Market;

    [Theory]
    [InlineData("identity", "catalog-2", "cart")]
    [InlineData("inventory-2", "ordering", "payments-2")]
    [InlineData("fulfilment", "notifications-2", "gateway")]
    public async Task One_of_each_dies_under_load_and_every_order_is_kept_paid_packed_and_mailed(params string[] dying)
    {
        var thing = await market.ListAsync($"Sold while {dying[0]} dies", 300, ("north", 1000));
        var shoppers = new List<Person>();
        for (var number = 0; number < Shoppers; number++) shoppers.Add(await market.NewBuyerAsync());

        var accepted = 0;
        var buying = shoppers.Select(async shopper =>
        {
            var orders = new List<Guid>();
            while (orders.Count < OrdersEach)
            {
                orders.Add(await BuyAsync(shopper, thing));
                Interlocked.Increment(ref accepted);
            }

            return (Shopper: shopper, Orders: orders);
        }).ToList();
        await Eventually.Async(() => Task.FromResult(Volatile.Read(ref accepted) >= Shoppers), "they have begun to buy", TimeSpan.FromSeconds(60));
        await market.KillOneOfAsync(dying);
        var bought = await Task.WhenAll(buying);

        foreach (var (shopper, order) in bought.SelectMany(one => one.Orders.Select(order => (one.Shopper, order))))
            Assert.Equal("CONFIRMED", await Market.StatusAsync(shopper, order, TimeSpan.FromSeconds(90)));
        var all = bought.SelectMany(one => one.Orders).ToArray();
        Assert.Equal(Shoppers * OrdersEach, all.Distinct().Count());
        await Eventually.Async(
            async () => (await market.SqlAsync<long>("fulfilment", "SELECT count(*) FROM shipments WHERE order_id = ANY($1)", all))[0] == all.Length, "one parcel for each order, none twice", TimeSpan.FromSeconds(90));
        foreach (var (shopper, orders) in bought)
        {
            await Eventually.Async(async () =>
            {
                var mails = await market.MailsToAsync(shopper.Email!);
                return orders.TrueForAll(order => mails.Any(mail => mail.Contains(order.ToString(), StringComparison.Ordinal)));
            }, "every order is mailed", TimeSpan.FromSeconds(90));
        }

        Assert.Equal(1000 - all.Length, await market.AvailableAsync(thing));
        await market.AllUpAsync();
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task Each_gateway_serves_and_knows_the_sessions_that_the_other_opened()
    {
        var addresses = market.System.GatewayUrls;
        Assert.Equal((2, 2, market.System.GatewayUrl), (addresses.Count, addresses.Distinct().Count(), addresses[0]));
        using var first = new HttpClient { BaseAddress = new Uri(addresses[0]) };
        using var second = new HttpClient { BaseAddress = new Uri(addresses[1]) };
        var guest = new Person(first, (await new Person(first, null).PostAsync("/api/v1/guests")).Expect(HttpStatusCode.Created).Json);
        var mug = await market.ListAsync("Mug at either door", 700, ("north", 5));

        Assert.Equal(1400, await guest.FillCartAsync((mug, 2)));
        var elsewhere = new Person(second, guest.Session);
        Assert.Equal(2, (await elsewhere.GetAsync("/api/v1/cart")).Expect(HttpStatusCode.OK).Json.GetProperty("lines")[0].GetProperty("quantity").GetInt32());
    }

    [Fact]
    public async Task A_changed_price_is_at_every_gateway_within_two_seconds_whatever_readers_do()
    {
        var promised = TimeSpan.FromSeconds(2);
        var mug = await market.ListAsync("Mug whose price moves", 1000, ("north", 5));
        using var over = new CancellationTokenSource();
        var looks = new ConcurrentQueue<(long At, long Price)>();
        var readers = market.System.GatewayUrls.SelectMany(address => Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            using var http = new HttpClient { BaseAddress = new Uri(address) };
            var shopper = new Person(http, null);
            while (!over.IsCancellationRequested)
            {
                var at = Stopwatch.GetTimestamp();
                looks.Enqueue((at, (await shopper.GetAsync($"/api/v1/products/{mug}")).Expect(HttpStatusCode.OK).Json.GetProperty("price").GetProperty("minor").GetInt64()));
            }
        }))).ToList();

        var changes = new List<(long At, long Price)>();
        for (var price = 1001L; price <= 1004; price++)
        {
            await market.ChangePriceAsync(mug, price);
            changes.Add((Stopwatch.GetTimestamp(), price));
            await Eventually.Async(() => Task.FromResult(Stopwatch.GetElapsedTime(changes[^1].At) > promised * 1.5), "the promise is due", TimeSpan.FromSeconds(10));
        }

        await over.CancelAsync();
        await Task.WhenAll(readers);
        var late = looks.Where(look => changes.Any(change => look.Price < change.Price && Stopwatch.GetElapsedTime(change.At, look.At) > promised)).ToList();
        Assert.True(late.Count == 0, $"{late.Count} of {looks.Count} looks showed a price that had changed more than {promised.TotalSeconds} s before.");
        Assert.Contains(looks, look => look.Price == 1004);
    }

    /// <summary>What a shopper does whose answer was lost or was an error of ours: the same once more, with the same key.</summary>
    private static async Task<Guid> BuyAsync(Person shopper, Guid thing)
    {
        var key = Guid.NewGuid().ToString("N");
        await Market.InsistAsync(() => shopper.PutAsync("/api/v1/cart", new { lines = new[] { new { productId = thing, quantity = 1 } } }), HttpStatusCode.OK);
        return (await Market.InsistAsync(() => shopper.CheckoutAsync(300, key: key), HttpStatusCode.Accepted)).Id("orderId");
    }

    public sealed class Twins : IAsyncLifetime
    {
        private const string Two = "gateway=2,identity=2,catalog=2,cart=2,inventory=2,ordering=2,payments=2,fulfilment=2,notifications=2";

        public Market Market { get; private set; } = null!;

        public async ValueTask InitializeAsync() => Market = await Market.StartAsync(Market.Chosen, Two);

        public ValueTask DisposeAsync() => Market.DisposeAsync();
    }
}

public sealed class WhenAServiceMayHaveOneInstance
{
    [Fact]
    public async Task A_second_one_of_search_is_refused_and_the_start_says_why_and_leaves_nothing_behind()
    {
        var folder = Directory.CreateTempSubdirectory("marketplace-journeys-one-").FullName;
        string[] arguments = [typeof(RunningSystem).Assembly.Location, "up", "--data", folder, "--ports", "free", "--json", "--only", "search", "--instances", "search=2"];
        var start = new ProcessStartInfo("dotnet", arguments) { WorkingDirectory = SourceTree.Find().Root, RedirectStandardOutput = true, RedirectStandardError = true };
        using var launcher = Process.Start(start)!;
        var errors = launcher.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await launcher.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await launcher.WaitForExitAsync(TestContext.Current.CancellationToken);

        var said = string.Join(' ', (output + await errors).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));   // the console breaks lines
        Assert.Equal(2, launcher.ExitCode);   // said of the command line, before anything starts; a second process of its own accord is refused by the index
        Assert.Contains("search allows 1, since its index is embedded", said, StringComparison.Ordinal);
        Assert.DoesNotContain(RunningSystem.Read(new DataFolder(folder))?.Parts ?? [], part => part is { Pid: { } pid, StartedAt: { } started } && Signals.IsAlive(pid, started));
        Directory.Delete(folder, recursive: true);
    }
}
