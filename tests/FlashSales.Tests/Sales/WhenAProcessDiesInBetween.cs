using System.Net;
using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using Marketplace.Contracts;
using Marketplace.FlashSales.Clients;
using Marketplace.FlashSales.Sales;

namespace Marketplace.FlashSales.Tests.Sales;

/// <summary>
/// Each change is made of steps; here a process dies after each of them, which leaves exactly what is written in our tables and at inventory.
/// Two other replicas find it.
/// </summary>
public sealed class WhenAProcessDiesInBetween
{
    private const int InStock = 100;
    private static readonly TimeSpan LeaseIsOver = AllotmentStore.Lease + TimeSpan.FromSeconds(1);

    private static readonly Dictionary<string, (Func<Market, Task> Until, string? Leaves, int Units)> Deaths = new()
    {
        // Scheduling: prepared, allotted, scheduled.
        ["scheduling, before inventory heard of it"] = (market => PreparedAsync(market, 40), SaleStatus.Scheduled, 40),
        ["scheduling, after inventory did it"] = (async market => AllottedBy(market, await PreparedAsync(market, 40), 40), SaleStatus.Scheduled, 40),
        ["scheduling, after inventory refused"] = (async market => AllottedBy(market, await PreparedAsync(market, 101), 101), null, 0),
        ["scheduling, before inventory heard of more than there is"] = (market => PreparedAsync(market, 101), null, 0),
        ["withdrawing, before inventory heard of it"] = (async market =>
        {
            var sale = await PreparedAsync(market, 40);
            AllottedBy(market, sale, 40);
            await market.Shop.Get<AllotmentStore>().RefuseAsync(sale, default);
        }, null, 0),
        ["withdrawing, after inventory did it"] = (async market =>
        {
            var sale = await PreparedAsync(market, 40);
            AllottedBy(market, sale, 40);
            await market.Shop.Get<AllotmentStore>().RefuseAsync(sale, default);
            await AskedAsync(market, sale);
        }, null, 0),
        ["finishing for another, before inventory heard of it"] = (async market =>
        {
            var sale = await PreparedAsync(market, 40);
            market.Shop.Clock.Advance(LeaseIsOver);
            Assert.NotNull(await market.Shop.Get<AllotmentStore>().AskAsync(sale, TimeSpan.FromSeconds(5), default));
        }, SaleStatus.Scheduled, 40),
        ["finishing for another, after inventory did it"] = (async market =>
        {
            var sale = await PreparedAsync(market, 40);
            market.Shop.Clock.Advance(LeaseIsOver);
            await AskedAsync(market, sale);
        }, SaleStatus.Scheduled, 40),

        // More units: asked for, granted, changed.
        ["growing, before inventory heard of it"] = (async market => await GrowingAsync(market), SaleStatus.Scheduled, 40),
        ["growing, after inventory did it"] = (async market =>
        {
            var question = await GrowingAsync(market);
            market.Inventory.Set(question.SaleId, new(question.ProductId, question.SellerId, question.Wanted, question.Version));
        }, SaleStatus.Scheduled, 40),

        // Fewer: changed, given back.
        ["shrinking, before inventory heard of it"] = (async market => await ShrunkAsync(market), SaleStatus.Scheduled, 15),
        ["shrinking, after inventory did it"] = (async market => await AskedAsync(market, await ShrunkAsync(market)), SaleStatus.Scheduled, 15),

        // The end: written down, given back.
        ["ending, before inventory heard of it"] = (async market => await EndedAsync(market), SaleStatus.Cancelled, 0),
        ["ending, after inventory did it"] = (async market => await AskedAsync(market, await EndedAsync(market)), SaleStatus.Cancelled, 0),
        ["ending after its start, after inventory did it"] = (async market =>
        {
            var sale = await ScheduledAsync(market);
            market.Shop.Clock.Advance(TimeSpan.FromMinutes(11));
            await market.ClaimedAsync(sale, taken: 12, paid: 12);
            Assert.True(await market.Shop.Get<SaleStore>().EndAsync(sale, SaleEnd.BySeller, default));
            await AskedAsync(market, sale);
        }, SaleStatus.Ended, 12),
    };

    public static TheoryData<string> EveryDeath => [.. Deaths.Keys];

    [Theory, MemberData(nameof(EveryDeath))]
    public async Task Two_replicas_put_right_what_was_cut_off(string death)
    {
        await using var market = await Market.OpenAsync(InStock, replicas: 2);
        var (until, leaves, units) = Deaths[death];
        await until(market);

        market.Shop.Clock.Advance(LeaseIsOver);
        await Task.WhenAll(market.KeepAsync(), market.Other.Get<AllotmentKeeper>().KeepAsync(default));
        await market.RestAsync();

        await market.BooksBalanceAsync(InStock);
        var left = await market.Shop.Get<SaleStore>().AsOperatorAsync(null, null, null, 10, default);
        Assert.Equal(leaves is null ? [] : [(leaves, units)], left.Select(each => (each.Sale.Status, each.Sale.Allotted)));
        Assert.Equal(InStock - units, market.Inventory.Free(market.Sneaker));
    }

    [Fact]
    public async Task Before_its_lease_is_over_nobody_takes_a_request_for_dead()
    {
        await using var market = await Market.OpenAsync(InStock, replicas: 2);
        var sale = await PreparedAsync(market, 40);

        market.Shop.Clock.Advance(AllotmentStore.Lease - TimeSpan.FromSeconds(1));

        Assert.Equal(0, await market.KeepAsync());
        Assert.Equal(SaleStatus.Preparing, (await market.Shop.SaleAsync(sale))!.Status);
        using var nobody = market.Shop.Service.As(null);
        using var shown = await nobody.GetAsync($"/api/v1/flash-sales/{sale}");
        Assert.Equal(HttpStatusCode.NotFound, shown.StatusCode);
    }

    [Fact]
    public async Task A_sale_that_could_not_be_prepared_before_its_start_does_not_take_place()
    {
        await using var market = await Market.OpenAsync(InStock);
        AllottedBy(market, await PreparedAsync(market, 40), 40);

        market.Shop.Clock.Advance(TimeSpan.FromMinutes(10));
        await market.RestAsync();

        Assert.Equal(0L, await market.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM sales"));
        Assert.Equal(InStock, market.Inventory.Free(market.Sneaker));
    }

    [Fact]
    public async Task A_question_that_arrives_long_after_its_sale_was_withdrawn_takes_nothing()
    {
        await using var market = await Market.OpenAsync(InStock);
        var sale = await PreparedAsync(market, 40);
        await market.Shop.Get<AllotmentStore>().RefuseAsync(sale, default);
        await market.RestAsync();
        Assert.Null(await market.Shop.SaleAsync(sale));

        AllottedBy(market, sale, 40);

        Assert.Equal(InStock, market.Inventory.Free(market.Sneaker));
    }

    [Theory]
    [InlineData("prepared")]
    [InlineData("allotted")]
    [InlineData("scheduled")]
    [InlineData("finished by another")]
    public async Task The_seller_who_asks_again_gets_the_sale_that_was_begun(string death)
    {
        await using var market = await Market.OpenAsync(InStock);
        var sale = await PreparedAsync(market, 40);
        if (death != "prepared") AllottedBy(market, sale, 40);
        if (death == "scheduled") Assert.True(await market.Shop.Get<AllotmentStore>().ScheduleAsync(sale, new Allotted(40, 1), default));
        if (death == "finished by another")
        {
            market.Shop.Clock.Advance(LeaseIsOver);
            await market.RestAsync();
        }

        using var bruno = market.Shop.AsSeller();
        using var response = await Market.PostAsync(bruno, Request(market, 40), key: "cut off");

        Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        Assert.Equal(sale, (await response.Content.ReadFromJsonAsync<ManagedSale>())!.SaleId);
        Assert.Equal(1L, await market.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM sales"));
        await market.RestAsync();
        await market.BooksBalanceAsync(InStock);
    }

    [Fact]
    public async Task Asking_again_for_something_else_under_the_same_key_is_refused()
    {
        await using var market = await Market.OpenAsync(InStock);
        await PreparedAsync(market, 40);

        using var bruno = market.Shop.AsSeller();
        using var response = await Market.PostAsync(bruno, Request(market, 39), key: "cut off");

        await Market.ProblemAsync(response, HttpStatusCode.UnprocessableEntity, "idempotency-key-reused");
    }

    [Fact]
    public async Task An_answer_that_comes_after_another_change_does_not_hide_it()
    {
        await using var market = await Market.OpenAsync(InStock);
        var sale = await ShrunkAsync(market);
        var allotments = market.Shop.Get<AllotmentStore>();
        var question = (await allotments.AskAsync(sale, TimeSpan.FromSeconds(5), default))!;
        Assert.True(await market.Shop.Get<SaleStore>().ChangeAsync(sale, 2, Terms(market, 5).Terms, null, default));

        var reply = market.Inventory.Set(sale, new(question.ProductId, question.SellerId, question.Wanted, question.Version));
        await allotments.AnsweredAsync(sale, new Allotted(reply.Units, question.Version), TimeSpan.FromSeconds(5), default);
        await market.RestAsync();

        Assert.Equal(5, market.Inventory.Allotted(sale));
        await market.BooksBalanceAsync(InStock);
    }

    [Fact]
    public async Task Questions_go_on_from_what_inventory_knows_after_our_database_came_from_a_backup()
    {
        await using var market = await Market.OpenAsync(InStock);
        var sale = await ScheduledAsync(market);
        market.Inventory.Set(sale, new(market.Sneaker, FlashSalesFixture.BrunosShop, 60, 900));

        await EndedAsync(market, sale);
        market.Shop.Clock.Advance(LeaseIsOver);
        await market.RestAsync();

        Assert.True(market.Inventory.VersionOf(sale) > 900);
        await market.BooksBalanceAsync(InStock);
    }

    [Fact]
    public async Task Twenty_rounds_on_two_replicas_while_sales_come_and_go_lose_no_unit()
    {
        await using var market = await Market.OpenAsync(InStock, replicas: 2);
        using var here = market.Shop.AsSeller();
        using var there = market.Other.AsSeller();
        var sales = new List<Guid>();
        for (var i = 0; i < 4; i++) sales.Add((await market.ScheduledAsync(("units", 10))).SaleId);

        await Task.WhenAll(
            Task.WhenAll(sales.Select(sale => Market.PutAsync(here, sale, market.Asks(("units", 20)), "*"))),
            Task.WhenAll(sales.Select(sale => Market.PutAsync(there, sale, market.Asks(("units", 5)), "*"))),
            Task.WhenAll(sales.Take(2).Select(sale => there.PostAsync($"/api/v1/seller/flash-sales/{sale}/end", null))),
            Task.WhenAll(Enumerable.Range(0, 10).Select(_ => market.KeepAsync())),
            Task.WhenAll(Enumerable.Range(0, 10).Select(_ => market.Other.Get<AllotmentKeeper>().KeepAsync(default))));

        market.Shop.Clock.Advance(LeaseIsOver);
        await market.RestAsync();
        await market.BooksBalanceAsync(InStock);
    }

    private static ScheduleRequest Terms(Market market, int units)
    {
        var startsAt = DateTimeOffset.FromUnixTimeMilliseconds(market.Now.ToUnixTimeMilliseconds()).AddMinutes(10);
        return new(market.Sneaker, units, Money.Gbp(4900), startsAt, startsAt.AddHours(1));
    }

    // Of the very moment of the first one, whatever the time is now.
    private static JsonObject Request(Market market, int units) =>
        JsonSerializer.SerializeToNode((Requests.TryGetValue(market, out var first) ? first : Terms(market, units)) with { Units = units }, JsonSerializerOptions.Web)!.AsObject();

    private static readonly ConditionalWeakTable<Market, ScheduleRequest> Requests = [];

    private static async Task<Guid> PreparedAsync(Market market, int units)
    {
        var (sale, request) = (Guid.CreateVersion7(), Terms(market, units));
        Requests.Add(market, request);
        await market.Shop.Get<SaleStore>().PrepareAsync(
            sale, FlashSalesFixture.BrunosShop, market.Sneaker, "Trail shoe", request.Terms, Scheduling.AskedKey($"{FlashSalesFixture.Bruno}\n/api/v1/seller/flash-sales", "cut off"),
            SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes(request, JsonSerializerOptions.Web)), market.Now + AllotmentStore.Lease, default);
        return sale;
    }

    private static void AllottedBy(Market market, Guid sale, int units) =>
        market.Inventory.Set(sale, new AllotmentRequest(market.Sneaker, FlashSalesFixture.BrunosShop, units, 1));

    private static async Task<Guid> ScheduledAsync(Market market)
    {
        var sale = await PreparedAsync(market, 40);
        AllottedBy(market, sale, 40);
        Assert.True(await market.Shop.Get<AllotmentStore>().ScheduleAsync(sale, new Allotted(40, 1), default));
        return sale;
    }

    private static async Task<AllotmentQuestion> GrowingAsync(Market market) =>
        (await market.Shop.Get<AllotmentStore>().AskForMoreAsync(await ScheduledAsync(market), 1, 90, default))!;

    private static async Task<Guid> ShrunkAsync(Market market)
    {
        var sale = await ScheduledAsync(market);
        Assert.True(await market.Shop.Get<SaleStore>().ChangeAsync(sale, 1, Terms(market, 15).Terms, null, default));
        return sale;
    }

    private static async Task<Guid> EndedAsync(Market market, Guid? scheduled = null)
    {
        var sale = scheduled ?? await ScheduledAsync(market);
        Assert.True(await market.Shop.Get<SaleStore>().EndAsync(sale, SaleEnd.BySeller, default));
        return sale;
    }

    // The keeper's question was carried out; its answer reached nobody.
    private static async Task AskedAsync(Market market, Guid sale)
    {
        var question = (await market.Shop.Get<AllotmentStore>().AskAsync(sale, TimeSpan.FromSeconds(5), default))!;
        market.Inventory.Set(sale, new(question.ProductId, question.SellerId, question.Wanted, question.Version));
    }
}
