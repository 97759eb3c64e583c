using System.Net;
using System.Net.Http.Json;
using Marketplace.FlashSales.Sales;
using Marketplace.TestKit;

namespace Marketplace.FlashSales.Tests.Sales;

public sealed class WhenASaleIsChanged
{
    [Fact]
    public async Task More_units_come_out_of_stock_before_the_sale_has_them()
    {
        await using var market = await Market.OpenAsync(inStock: 100);
        var sale = await market.ScheduledAsync(("units", 40));
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PutAsync(bruno, sale.SaleId, market.Asks(("units", 90), ("admissionRate", 50)), "\"1\"");

        Assert.Equal((HttpStatusCode.OK, "\"2\""), (response.StatusCode, response.Headers.ETag!.Tag));
        var changed = (await response.Content.ReadFromJsonAsync<ManagedSale>())!;
        Assert.Equal((90, 90, 50, 2L), (changed.Units, changed.Allotted, changed.AdmissionRate, changed.Revision));
        Assert.Equal(10, market.Inventory.Free(market.Sneaker));
        Assert.Equal(0, await market.KeepAsync());
        await market.BooksBalanceAsync(inStock: 100);
    }

    [Fact]
    public async Task Fewer_units_go_back_into_stock()
    {
        await using var market = await Market.OpenAsync(inStock: 100);
        var sale = await market.ScheduledAsync(("units", 40));
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PutAsync(bruno, sale.SaleId, market.Asks(("units", 5)), "\"1\"");

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        await Eventually.Async(() => market.Inventory.Free(market.Sneaker) == 95, "what the sale does not need is anybody's, without waiting for a round");
        await Eventually.Async(async () => (await market.Shop.SaleAsync(sale.SaleId))!.Allotted == 5, "and written down");
        await market.BooksBalanceAsync(inStock: 100);
    }

    [Fact]
    public async Task More_units_than_there_are_change_nothing()
    {
        await using var market = await Market.OpenAsync(inStock: 100);
        var sale = await market.ScheduledAsync(("units", 40));
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PutAsync(bruno, sale.SaleId, market.Asks(("units", 101), ("admissionRate", 50)), "\"1\"");

        Assert.Equal(100, (await Market.ProblemAsync(response, HttpStatusCode.Conflict, "not-enough-stock"))["available"]!.GetValue<int>());
        Assert.Equal((40, 200, 1L), await TermsAsync(market, sale.SaleId));
        await market.RestAsync();
        await market.BooksBalanceAsync(inStock: 100);
    }

    [Fact]
    public async Task An_answer_that_is_lost_changes_nothing_and_gives_the_units_back()
    {
        await using var market = await Market.OpenAsync(inStock: 100);
        var sale = await market.ScheduledAsync(("units", 40));
        using var bruno = market.Shop.AsSeller();
        market.Inventory.Trouble = carryOut =>
        {
            carryOut();
            market.Inventory.Trouble = null;                    // the next question is answered
            return Task.FromResult(FakeReply.Broken);
        };

        using var response = await Market.PutAsync(bruno, sale.SaleId, market.Asks(("units", 90)), "\"1\"");

        await Market.ProblemAsync(response, HttpStatusCode.ServiceUnavailable, "unavailable");
        await Eventually.Async(() => market.Inventory.Free(market.Sneaker) == 60, "the units are anybody's again");
        await market.RestAsync();
        Assert.Equal((40, 200, 1L), await TermsAsync(market, sale.SaleId));
        await market.BooksBalanceAsync(inStock: 100);
    }

    [Fact]
    public async Task Of_two_changes_on_one_revision_one_is_made()
    {
        await using var market = await Market.OpenAsync(inStock: 100, replicas: 2);
        var sale = await market.ScheduledAsync(("units", 40));
        using var here = market.Shop.AsSeller();
        using var there = market.Other.AsSeller();

        var replies = await Task.WhenAll(
            Market.PutAsync(here, sale.SaleId, market.Asks(("units", 60)), "\"1\""), Market.PutAsync(there, sale.SaleId, market.Asks(("units", 70)), "\"1\""));

        Assert.Equal(1, replies.Count(reply => reply.StatusCode == HttpStatusCode.OK));
        Assert.Contains(replies, reply => reply.StatusCode is HttpStatusCode.PreconditionFailed or HttpStatusCode.Conflict);
        foreach (var reply in replies) reply.Dispose();
        await market.RestAsync();
        await market.BooksBalanceAsync(inStock: 100);
    }

    [Fact]
    public async Task Who_changes_says_which_revision()
    {
        await using var market = await Market.OpenAsync();
        var sale = await market.ScheduledAsync();
        using var bruno = market.Shop.AsSeller();

        using var missing = await Market.PutAsync(bruno, sale.SaleId, market.Asks(), null);
        using var stale = await Market.PutAsync(bruno, sale.SaleId, market.Asks(), "\"7\"");
        using var weak = await Market.PutAsync(bruno, sale.SaleId, market.Asks(), "W/\"1\"");
        using var nonsense = await Market.PutAsync(bruno, sale.SaleId, market.Asks(), "\"seven\"");
        using var any = await Market.PutAsync(bruno, sale.SaleId, market.Asks(), "*");

        await Market.ProblemAsync(missing, HttpStatusCode.PreconditionRequired, "precondition-required");
        await Market.ProblemAsync(stale, HttpStatusCode.PreconditionFailed, "precondition-failed");
        await Market.ProblemAsync(weak, HttpStatusCode.PreconditionFailed, "precondition-failed");
        await Market.ProblemAsync(nonsense, HttpStatusCode.PreconditionFailed, "precondition-failed");
        Assert.Equal(HttpStatusCode.OK, any.StatusCode);
    }

    [Fact]
    public async Task A_sale_that_has_started_is_ended_or_left_alone_but_not_changed()
    {
        await using var market = await Market.OpenAsync();
        var sale = await market.ScheduledAsync();
        using var bruno = market.Shop.AsSeller();
        market.Shop.Clock.Advance(TimeSpan.FromMinutes(10));

        using var running = await Market.PutAsync(bruno, sale.SaleId, market.Asks(), "\"1\"");
        using var end = await bruno.PostAsync($"/api/v1/seller/flash-sales/{sale.SaleId}/end", null);
        using var over = await Market.PutAsync(bruno, sale.SaleId, market.Asks(), "\"2\"");

        await Market.ProblemAsync(running, HttpStatusCode.Conflict, "sale-started");
        await Market.ProblemAsync(over, HttpStatusCode.Conflict, "sale-over");
    }

    [Fact]
    public async Task Another_sellers_sale_is_not_there()
    {
        await using var market = await Market.OpenAsync();
        var sale = await market.ScheduledAsync();
        using var another = market.Shop.AsSeller(Guid.CreateVersion7());

        using var change = await Market.PutAsync(another, sale.SaleId, market.Asks(), "*");
        using var read = await another.GetAsync($"/api/v1/seller/flash-sales/{sale.SaleId}");
        using var end = await another.PostAsync($"/api/v1/seller/flash-sales/{sale.SaleId}/end", null);

        Assert.Equal([HttpStatusCode.NotFound, HttpStatusCode.NotFound, HttpStatusCode.NotFound], [change.StatusCode, read.StatusCode, end.StatusCode]);
        Assert.Empty((await another.GetFromJsonAsync<ManagedSales>("/api/v1/seller/flash-sales"))!.Items);
        Assert.Equal(SaleStatus.Scheduled, (await market.Shop.SaleAsync(sale.SaleId))!.Status);
    }

    [Fact]
    public async Task Other_terms_are_checked_as_the_first_were()
    {
        await using var market = await Market.OpenAsync();
        var sale = await market.ScheduledAsync();
        using var bruno = market.Shop.AsSeller();

        using var rate = await Market.PutAsync(bruno, sale.SaleId, market.Asks(("admissionRate", 0)), "\"1\"");
        using var product = await Market.PutAsync(bruno, sale.SaleId, market.Asks(("productId", Guid.CreateVersion7())), "\"1\"");
        using var currency = await Market.PutAsync(bruno, sale.SaleId, market.Asks(("price", System.Text.Json.Nodes.JsonNode.Parse("""{"minor":1,"currency":"EUR"}"""))), "\"1\"");
        using var past = await Market.PutAsync(bruno, sale.SaleId, market.Asks(("startsAt", market.Now.AddMinutes(-1))), "\"1\"");

        foreach (var response in (HttpResponseMessage[])[rate, product, currency, past])
            await Market.ProblemAsync(response, HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Equal(1L, (await market.Shop.SaleAsync(sale.SaleId))!.Revision);
    }

    private static async Task<(int Units, int Rate, long Revision)> TermsAsync(Market market, Guid saleId)
    {
        var sale = (await market.Shop.SaleAsync(saleId))!;
        return (sale.Units, sale.AdmissionRate, sale.Revision);
    }
}
