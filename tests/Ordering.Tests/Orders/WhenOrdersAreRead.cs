using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.TestKit;

namespace Marketplace.Ordering.Tests.Orders;

public sealed class WhenOrdersAreRead : IAsyncLifetime
{
    private readonly Guid ada = Guid.CreateVersion7();
    private readonly Guid mallory = Guid.CreateVersion7();
    private Shop shop = null!;
    private HttpClient buyer = null!;
    private HttpClient stranger = null!;

    public async ValueTask InitializeAsync()
    {
        shop = await Shop.OpenAsync();
        (buyer, stranger) = (shop.As(ada), shop.As(mallory));
    }

    public async ValueTask DisposeAsync()
    {
        buyer.Dispose();
        stranger.Dispose();
        await shop.DisposeAsync();
    }

    [Fact]
    public async Task A_poll_is_told_when_something_changed_and_nothing_else()
    {
        var order = await shop.OrderAsync(ada);
        using var first = await buyer.GetAsync($"/api/v1/orders/{order}");
        var tag = first.Headers.ETag!;

        Assert.Equal(HttpStatusCode.NotModified, (await PollAsync(order, tag)).StatusCode);
        await shop.RunAsync(order);

        using var changed = await PollAsync(order, tag);
        Assert.Equal(HttpStatusCode.OK, changed.StatusCode);
        Assert.NotEqual(tag, changed.Headers.ETag);
        Assert.Equal("CONFIRMED", (await changed.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("status").GetString());
        Assert.True(changed.Headers.CacheControl!.Private);
    }

    [Fact]
    public async Task Trap_3_somebody_elses_order_does_not_exist_for_any_action()
    {
        var order = await shop.SoldAsync(ada, "pm_card_declined");

        Assert.Equal(HttpStatusCode.NotFound, (await stranger.GetAsync($"/api/v1/orders/{order}")).StatusCode);
        using var conditional = new HttpRequestMessage(HttpMethod.Get, $"/api/v1/orders/{order}") { Headers = { IfNoneMatch = { new EntityTagHeaderValue("\"2\"") } } };
        Assert.Equal(HttpStatusCode.NotFound, (await stranger.SendAsync(conditional)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await stranger.GetAsync($"/api/v1/orders/{order}/history")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await Shop.PayAgainAsync(stranger, order)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, await shop.CancelAsync(order, mallory));
        Assert.Equal(HttpStatusCode.Forbidden, (await stranger.PostAsync($"/api/v1/operations/orders/{order}/retry", null)).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await stranger.PostAsJsonAsync($"/api/v1/operations/orders/{order}/abort", new { reason = "x" })).StatusCode);
        Assert.Empty((await stranger.GetFromJsonAsync<JsonElement>("/api/v1/orders")).GetProperty("items").EnumerateArray());

        Assert.Equal("PAYMENT_FAILED", await shop.StatusAsync(order));
        Assert.Equal(HttpStatusCode.NotFound, (await buyer.GetAsync($"/api/v1/orders/{Guid.NewGuid()}")).StatusCode);
        using var nobody = shop.Service.As(null);
        Assert.Equal(HttpStatusCode.Unauthorized, (await nobody.GetAsync($"/api/v1/orders/{order}")).StatusCode);
    }

    [Fact]
    public async Task History_goes_back_page_by_page_newest_first()
    {
        var orders = new List<Guid>();
        foreach (var _ in Enumerable.Range(0, 5)) orders.Add(await shop.OrderAsync(ada));
        await shop.OrderAsync(mallory);

        var found = new List<Guid>();
        string? next = null;
        do
        {
            var page = await buyer.GetFromJsonAsync<JsonElement>($"/api/v1/orders?limit=2{(next is null ? "" : $"&cursor={next}")}");
            found.AddRange(page.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("orderId").GetGuid()));
            next = page.GetProperty("next").GetString();
        }
        while (next is not null);

        Assert.Equal(orders.AsEnumerable().Reverse(), found);
        foreach (var wrong in (string[])["cursor=rubbish", "limit=0", "limit=101"])
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await buyer.GetAsync($"/api/v1/orders?{wrong}")).StatusCode);
    }

    [Fact]
    public async Task The_operator_sees_orders_by_state()
    {
        var open = await shop.OrderAsync(ada);
        var unpaid = await shop.SoldAsync(ada, "pm_card_declined");
        var sold = await shop.SoldAsync(ada);
        using var desk = shop.Service.As(TestTokens.Operator());

        foreach (var (state, order) in new[] { ("pending", open), ("payment_failed", unpaid), ("confirmed", sold) })
        {
            var page = await desk.GetFromJsonAsync<JsonElement>($"/api/v1/operations/orders?state={state}");
            Assert.Equal([order], page.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("orderId").GetGuid()));
        }

        Assert.Equal(3, (await desk.GetFromJsonAsync<JsonElement>("/api/v1/operations/orders")).GetProperty("items").GetArrayLength());
        foreach (var wrong in (string[])["state=lost';--", "limit=-1", "limit=201"])
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await desk.GetAsync($"/api/v1/operations/orders?{wrong}")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await desk.GetAsync($"/api/v1/orders/{open}")).StatusCode);
    }

    [Fact]
    public async Task Inventory_learns_whether_an_attempt_needs_its_units()
    {
        var open = await shop.OrderAsync(ada);
        var unpaid = await shop.SoldAsync(ada, "pm_card_declined");
        using var inventory = shop.Service.AsNeighbour("inventory");

        Assert.Equal(("pending", true), await AskAsync(inventory, open, 1));
        Assert.Equal(("payment_failed", false), await AskAsync(inventory, unpaid, 1));
        Assert.Equal(("unknown", false), await AskAsync(inventory, unpaid, 7));
        Assert.Equal(("unknown", false), await AskAsync(inventory, Guid.NewGuid(), 1));
        Assert.Equal(HttpStatusCode.Unauthorized, (await buyer.GetAsync($"/internal/orders/{open}/attempts/1")).StatusCode);
    }

    private static async Task<(string?, bool)> AskAsync(HttpClient inventory, Guid order, int attempt)
    {
        var reply = await inventory.GetFromJsonAsync<JsonElement>($"/internal/orders/{order}/attempts/{attempt}");
        return (reply.GetProperty("status").GetString(), reply.GetProperty("needsStock").GetBoolean());
    }

    private async Task<HttpResponseMessage> PollAsync(Guid order, EntityTagHeaderValue tag)
    {
        using var poll = new HttpRequestMessage(HttpMethod.Get, $"/api/v1/orders/{order}") { Headers = { IfNoneMatch = { tag } } };
        return await buyer.SendAsync(poll);
    }
}
