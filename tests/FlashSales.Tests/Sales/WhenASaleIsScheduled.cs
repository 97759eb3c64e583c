using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Marketplace.FlashSales.Sales;
using Marketplace.TestKit;

namespace Marketplace.FlashSales.Tests.Sales;

public sealed class WhenASaleIsScheduled
{
    [Fact]
    public async Task Its_units_leave_ordinary_stock_and_shoppers_see_the_countdown()
    {
        await using var market = await Market.OpenAsync(inStock: 100);
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PostAsync(bruno, market.Asks());

        Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        var sale = (await response.Content.ReadFromJsonAsync<ManagedSale>())!;
        Assert.Equal($"/api/v1/seller/flash-sales/{sale.SaleId}", response.Headers.Location!.ToString());
        Assert.Equal("\"1\"", response.Headers.ETag!.Tag);
        Assert.Equal((SaleStatus.Scheduled, "Trail shoe", FlashSalesFixture.BrunosShop, 40, 40), (sale.Status, sale.Title, sale.SellerId, sale.Units, sale.Allotted));
        Assert.Equal((2, 200, 500, 90, 20), (sale.LimitPerCustomer, sale.AdmissionRate, sale.InsideLimit, sale.AdmissionSeconds, sale.WaitingList));
        Assert.Equal((60, 40), (market.Inventory.Free(market.Sneaker), market.Inventory.Allotted(sale.SaleId)));

        using var nobody = market.Shop.Service.As(null);
        using var shown = await nobody.GetAsync($"/api/v1/flash-sales/{sale.SaleId}");
        Assert.Equal("public, max-age=1", shown.Headers.CacheControl!.ToString());
        var seen = (await shown.Content.ReadFromJsonAsync<ShopperSale>())!;
        Assert.Equal(("scheduled", 40, 600, 4200), (seen.Phase, seen.Remaining, seen.StartsInSeconds, seen.EndsInSeconds));
        Assert.Equal(market.Now, seen.ServerTime);
        await market.BooksBalanceAsync(inStock: 100);
    }

    [Fact]
    public async Task The_same_request_twice_makes_one_sale()
    {
        await using var market = await Market.OpenAsync(inStock: 100, replicas: 2);
        using var bruno = market.Shop.AsSeller();
        using var again = market.Other.AsSeller();
        var request = market.Asks();

        using var first = await Market.PostAsync(bruno, request);
        using var second = await Market.PostAsync(again, request);

        Assert.Equal("true", second.Headers.GetValues("Idempotent-Replayed").Single());
        Assert.Equal(await first.Content.ReadAsStringAsync(), await second.Content.ReadAsStringAsync());
        Assert.Equal(60, market.Inventory.Free(market.Sneaker));
    }

    [Fact]
    public async Task Ten_repeats_at_once_on_two_replicas_make_one_sale()
    {
        await using var market = await Market.OpenAsync(inStock: 100, replicas: 2);
        using var here = market.Shop.AsSeller();
        using var there = market.Other.AsSeller();
        var request = market.Asks().ToJsonString();

        var replies = await Task.WhenAll(Enumerable.Range(0, 10).Select(i => Market.PostAsync(i % 2 == 0 ? here : there, JsonNode.Parse(request)!.AsObject())));

        Assert.All(replies, reply => Assert.True(reply.StatusCode is HttpStatusCode.Created or HttpStatusCode.Conflict, $"{reply.StatusCode}"));
        Assert.Contains(replies, reply => reply.StatusCode == HttpStatusCode.Created);
        foreach (var reply in replies) reply.Dispose();
        Assert.Equal(1L, await market.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM sales"));
        await market.BooksBalanceAsync(inStock: 100);
    }

    [Fact]
    public async Task More_units_than_are_in_stock_are_refused_and_nothing_is_held()
    {
        await using var market = await Market.OpenAsync(inStock: 30);
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PostAsync(bruno, market.Asks(("units", 31)));

        var problem = await Market.ProblemAsync(response, HttpStatusCode.Conflict, "not-enough-stock");
        Assert.Equal(30, problem["available"]!.GetValue<int>());
        await market.RestAsync();
        await market.BooksBalanceAsync(inStock: 30);
        Assert.Equal(0L, await market.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM sales"));

        // The key is free for a request that fits.
        using var fits = await Market.PostAsync(bruno, market.Asks(("units", 30)));
        Assert.Equal(HttpStatusCode.Created, fits.StatusCode);
        await market.BooksBalanceAsync(inStock: 30);
    }

    [Fact]
    public async Task Stock_that_was_never_counted_is_not_enough()
    {
        await using var market = await Market.OpenAsync(inStock: 0);
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PostAsync(bruno, market.Asks(("units", 1), ("limitPerCustomer", 1)));

        Assert.Equal(0, (await Market.ProblemAsync(response, HttpStatusCode.Conflict, "not-enough-stock"))["available"]!.GetValue<int>());
    }

    [Fact]
    public async Task Inventory_that_does_not_answer_leaves_no_sale_and_no_units_held()
    {
        await using var market = await Market.OpenAsync(inStock: 100);
        using var bruno = market.Shop.AsSeller();
        market.Inventory.Trouble = carryOut =>
        {
            carryOut();                                         // done, but the answer is lost
            market.Inventory.Trouble = null;                    // the next one is not
            return Task.FromResult(FakeReply.Broken);
        };

        using var response = await Market.PostAsync(bruno, market.Asks());

        await Market.ProblemAsync(response, HttpStatusCode.ServiceUnavailable, "unavailable");
        await market.RestAsync();
        Assert.Equal(100, market.Inventory.Free(market.Sneaker));
        await market.BooksBalanceAsync(inStock: 100);

        using var again = await Market.PostAsync(bruno, market.Asks());
        Assert.Equal(HttpStatusCode.Created, again.StatusCode);
        await market.BooksBalanceAsync(inStock: 100);
    }

    [Theory]
    [InlineData("units", 0)]
    [InlineData("units", 100_001)]
    [InlineData("admissionRate", 0)]
    [InlineData("admissionRate", -5)]
    [InlineData("admissionRate", 10_001)]
    [InlineData("insideLimit", 0)]
    [InlineData("limitPerCustomer", 0)]
    [InlineData("limitPerCustomer", 11)]
    [InlineData("admissionSeconds", 29)]
    [InlineData("admissionSeconds", 901)]
    [InlineData("waitingList", -1)]
    [InlineData("waitingList", 41)]
    public async Task A_number_out_of_bounds_is_refused_by_name(string field, int value)
    {
        await using var market = await Market.OpenAsync();
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PostAsync(bruno, market.Asks((field, value)));

        var problem = await Market.ProblemAsync(response, HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Contains(problem["errors"]!.AsObject(), error => string.Equals(error.Key, field, StringComparison.OrdinalIgnoreCase));
        Assert.Empty(market.Inventory.Questions);
        Assert.Equal(0L, await market.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM sales"));
    }

    [Fact]
    public async Task Without_a_product_it_is_refused_by_name()
    {
        await using var market = await Market.OpenAsync();
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PostAsync(bruno, market.Asks(("productId", Guid.Empty.ToString())));

        var problem = await Market.ProblemAsync(response, HttpStatusCode.UnprocessableEntity, "validation");
        Assert.NotNull(problem["errors"]!["productId"]);
        Assert.Empty(market.Inventory.Questions);
    }

    [Theory]
    [InlineData(-60, 60, "startsAt")]
    [InlineData(9, 600, "startsAt")]
    [InlineData(366 * 86400, 600, "startsAt")]
    [InlineData(600, 59, "endsAt")]
    [InlineData(600, -1, "endsAt")]
    [InlineData(600, 86401, "endsAt")]
    public async Task Dates_that_cannot_be_are_refused_by_name(int startsInSeconds, int lastsSeconds, string field)
    {
        await using var market = await Market.OpenAsync();
        using var bruno = market.Shop.AsSeller();
        var startsAt = market.Now.AddSeconds(startsInSeconds);

        using var response = await Market.PostAsync(bruno, market.Asks(("startsAt", startsAt), ("endsAt", startsAt.AddSeconds(lastsSeconds))));

        var problem = await Market.ProblemAsync(response, HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Equal([field], problem["errors"]!.AsObject().Select(error => error.Key));
        Assert.Empty(market.Inventory.Questions);
    }

    [Fact]
    public async Task The_last_moment_there_is_is_too_far()
    {
        await using var market = await Market.OpenAsync();
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PostAsync(bruno, market.Asks(("startsAt", DateTimeOffset.MaxValue), ("endsAt", DateTimeOffset.MaxValue)));

        var problem = await Market.ProblemAsync(response, HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Equal(["startsAt", "endsAt"], problem["errors"]!.AsObject().Select(error => error.Key));
    }

    [Theory]
    [InlineData("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z")]
    [InlineData("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z")]
    [InlineData("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")]
    [InlineData("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z")]
    public async Task Dates_at_the_end_of_the_calendar_are_refused_as_any_others(string startsAt, string endsAt)
    {
        await using var market = await Market.OpenAsync();
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PostAsync(bruno, market.Asks(("startsAt", startsAt), ("endsAt", endsAt)));

        var problem = await Market.ProblemAsync(response, HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Contains("startsAt", problem["errors"]!.AsObject().Select(error => error.Key));
        Assert.Contains("endsAt", problem["errors"]!.AsObject().Select(error => error.Key));
        Assert.Empty(market.Inventory.Questions);
    }

    [Theory]
    [InlineData(0, "GBP", "price.minor")]
    [InlineData(-1, "GBP", "price.minor")]
    [InlineData(100_000_001, "GBP", "price.minor")]
    [InlineData(4900, "EUR", "price.currency")]
    [InlineData(4900, "", "price.currency")]
    public async Task A_price_that_cannot_be_is_refused_by_name(long minor, string currency, string field)
    {
        await using var market = await Market.OpenAsync();
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PostAsync(bruno, market.Asks(("price", new JsonObject { ["minor"] = minor, ["currency"] = currency })));

        var problem = await Market.ProblemAsync(response, HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Equal([field], problem["errors"]!.AsObject().Select(error => error.Key));
        Assert.Empty(market.Inventory.Questions);
    }

    [Fact]
    public async Task A_request_without_dates_or_a_price_is_refused()
    {
        await using var market = await Market.OpenAsync();
        using var bruno = market.Shop.AsSeller();

        using var response = await Market.PostAsync(bruno, new JsonObject { ["productId"] = market.Sneaker, ["units"] = 1 });

        var problem = await Market.ProblemAsync(response, HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Equal(["price.minor", "price.currency", "startsAt"], problem["errors"]!.AsObject().Select(error => error.Key).Take(3));
    }

    [Fact]
    public async Task Another_sellers_product_looks_like_one_that_is_not_there()
    {
        await using var market = await Market.OpenAsync();
        using var another = market.Shop.AsSeller(Guid.CreateVersion7());
        using var bruno = market.Shop.AsSeller();

        using var foreign = await Market.PostAsync(another, market.Asks());
        using var unknown = await Market.PostAsync(bruno, market.Asks(("productId", Guid.CreateVersion7())));

        await Market.ProblemAsync(foreign, HttpStatusCode.NotFound, "product-not-found");
        await Market.ProblemAsync(unknown, HttpStatusCode.NotFound, "product-not-found");
        Assert.Empty(market.Inventory.Questions);
    }

    [Fact]
    public async Task Only_sellers_and_operators_schedule()
    {
        await using var market = await Market.OpenAsync();
        using var nobody = market.Shop.Service.As(null);
        using var ada = market.Shop.AsShopper(Guid.CreateVersion7());
        using var guest = market.Shop.AsGuest(Guid.CreateVersion7());
        using var bruno = market.Shop.AsSeller();
        using var olga = market.Shop.AsOperator();

        foreach (var (who, path, status) in new[]
        {
            (nobody, "/api/v1/seller/flash-sales", HttpStatusCode.Unauthorized), (ada, "/api/v1/seller/flash-sales", HttpStatusCode.Forbidden),
            (guest, "/api/v1/seller/flash-sales", HttpStatusCode.Forbidden), (bruno, "/api/v1/operations/flash-sales", HttpStatusCode.Forbidden),
            (olga, "/api/v1/operations/flash-sales", HttpStatusCode.Created),
        })
        {
            using var response = await Market.PostAsync(who, market.Asks(), path: path);
            Assert.Equal(status, response.StatusCode);
        }

        // The operator's sale is the seller's of the product.
        var sale = Assert.Single((await bruno.GetFromJsonAsync<ManagedSales>("/api/v1/seller/flash-sales"))!.Items);
        Assert.Equal(FlashSalesFixture.BrunosShop, sale.SellerId);
    }

    [Fact]
    public async Task A_key_is_needed_and_stands_for_one_request()
    {
        await using var market = await Market.OpenAsync();
        using var bruno = market.Shop.AsSeller();

        using var missing = await Market.PostAsync(bruno, market.Asks(), key: null);
        await Market.ProblemAsync(missing, HttpStatusCode.BadRequest, "idempotency-key-missing");

        using var first = await Market.PostAsync(bruno, market.Asks());
        using var other = await Market.PostAsync(bruno, market.Asks(("units", 41)));
        Assert.Equal(HttpStatusCode.Created, first.StatusCode);
        await Market.ProblemAsync(other, HttpStatusCode.UnprocessableEntity, "idempotency-key-reused");
        await market.BooksBalanceAsync(inStock: 100);
    }
}
