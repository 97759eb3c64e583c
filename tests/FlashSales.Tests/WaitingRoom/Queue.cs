using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.FlashSales.ExpressCheckout;
using Marketplace.FlashSales.Sales;
using Marketplace.FlashSales.WaitingRoom;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.Tests.WaitingRoom;

/// <summary>What tests of the waiting room do again and again.</summary>
internal static class Queue
{
    public static Guid[] Crowd(int size) => [.. Enumerable.Range(0, size).Select(_ => Guid.CreateVersion7())];

    /// <summary>They have left an address and a payment method before.</summary>
    public static async Task<Guid[]> PreparedAsync(this FlashSalesFixture shop, int size)
    {
        var crowd = Crowd(size);
        foreach (var some in crowd.Chunk(1_000))
            await shop.Get<CheckoutStore>().RememberAsync([.. some.Select(buyer => Remembered(buyer))], default);
        return crowd;
    }

    public static RememberedCheckout Remembered(Guid buyer) => new(
        buyer, Guid.CreateVersion7(), new PostalAddress("Ada", "1 Ockham Park", null, "London", "SW1Y 4JH", "GB"), new OrderContact("ada@example.com", "Ada"), null);

    public static Task<HttpResponseMessage> PostQueueAsync(this FlashSalesFixture shop, Sale sale, Guid buyer) =>
        shop.AsShopper(buyer).PostAsync(Path(sale), null, TestContext.Current.CancellationToken);

    public static async Task<QueueReply> JoinAsync(this FlashSalesFixture shop, Sale sale, Guid buyer)
    {
        using var reply = await shop.PostQueueAsync(sale, buyer);
        Assert.True(reply.StatusCode == HttpStatusCode.OK, await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
        return (await reply.Content.ReadFromJsonAsync<QueueReply>(TestContext.Current.CancellationToken))!;
    }

    public static async Task LeaveAsync(this FlashSalesFixture shop, Sale sale, Guid buyer)
    {
        using var reply = await shop.AsShopper(buyer).DeleteAsync(Path(sale), TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.NoContent, reply.StatusCode);
    }

    public static Ticket TicketOf(this FlashSalesFixture shop, QueueReply reply)
    {
        Assert.Equal(TicketFault.None, shop.Get<TicketKeys>().Read(reply.Ticket, shop.Now, out var ticket));
        return ticket!;
    }

    /// <summary>The clock comes to the start, and somebody makes the draw.</summary>
    public static async Task<Sale> StartAsync(this FlashSalesFixture shop, Sale sale)
    {
        shop.Clock.Advance(sale.StartsAt - shop.Now);
        await shop.RoundAsync();
        var started = (await shop.SaleAsync(sale.SaleId))!;
        Assert.True(started.IsDrawn);
        return started;
    }

    /// <summary>Time passes, and the doorkeeper looks.</summary>
    public static async Task<Admission> PassAsync(this FlashSalesFixture shop, Sale sale, double seconds)
    {
        shop.Clock.Advance(TimeSpan.FromSeconds(seconds));
        await shop.RoundAsync();
        return await shop.AdmissionAsync(sale);
    }

    public static async Task RoundAsync(this FlashSalesFixture shop)
    {
        shop.Get<AdmissionBoard>().Forget();
        await shop.Get<Doorkeeper>().RoundAsync(default);
        shop.Get<AdmissionBoard>().Forget();
    }

    public static async Task<Admission> AdmissionAsync(this FlashSalesFixture shop, Sale sale)
    {
        shop.Get<AdmissionBoard>().Forget();
        return (await shop.Get<AdmissionBoard>().FindAsync(sale.SaleId, default))!;
    }

    public static async Task<EntryState> MayClaimAsync(this FlashSalesFixture shop, Ticket ticket) =>
        (await shop.Get<AdmissionBoard>().MayClaimAsync(ticket, default)).State;

    public static async Task<JsonElement> ProblemAsync(this HttpResponseMessage reply, HttpStatusCode status, string slug)
    {
        var document = await reply.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken);
        Assert.Equal((status, $"/problems/{slug}"), (reply.StatusCode, document.GetProperty("type").GetString()));
        return document;
    }

    private static Uri Path(Sale sale) => new($"/api/v1/flash-sales/{sale.SaleId}/queue", UriKind.Relative);
}
