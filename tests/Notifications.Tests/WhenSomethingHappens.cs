using System.Net;
using System.Net.Http.Json;
using Marketplace.Contracts;
using Marketplace.Notifications.Messages;
using Marketplace.TestKit;

namespace Marketplace.Notifications.Tests;

public sealed class WhenSomethingHappens
{
    [Theory, MemberData(nameof(Facts.Kinds), MemberType = typeof(Facts))]
    public async Task The_shopper_is_told_once_however_often_it_is_heard(string kind)
    {
        await using var office = await Office.OpenAsync();
        var order = Guid.CreateVersion7();
        var fact = Facts.All(order, Guid.CreateVersion7())[kind];

        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => office.HearAsync(fact)));
        await office.HearAsync(fact);

        var message = Assert.Single(await office.InboxAsync(Facts.Ada));
        Assert.Equal(kind, message.Kind);
        await Eventually.Async(() => office.Mails.Count > 0, "the mail leaves");
        await Eventually.Async(async () => (await office.InboxAsync(Facts.Ada))[0].Email == "sent", "it is noted");
        var mail = Assert.Single(office.Mails);
        Assert.Equal("ada@example.com", mail.To);
        if (kind is not ("welcome" or "flash_sale_missed"))
        {
            Assert.Contains(order.ToString(), mail.Subject, StringComparison.Ordinal);
            Assert.Contains(order.ToString(), mail.Html, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Out_of_order_the_old_news_stays_untold()
    {
        await using var office = await Office.OpenAsync();
        var (order, parcel) = (Guid.CreateVersion7(), Guid.CreateVersion7());

        await office.HearAsync(
            Facts.ParcelDelivered(order, parcel), Facts.Shipped(order, parcel), Facts.OutForDelivery(order, parcel),
            Facts.Confirmed(order, attempt: 2), Facts.PaymentFailed(order, attempt: 1), Facts.PaymentFailed(order, attempt: 2));

        Assert.Equal(["order_confirmed", "shipment_delivered"], (await office.InboxAsync(Facts.Ada)).Select(message => message.Kind).Order());
    }

    [Fact]
    public async Task In_order_every_step_is_told()
    {
        await using var office = await Office.OpenAsync();
        var (order, first, second) = (Guid.CreateVersion7(), Guid.CreateVersion7(), Guid.CreateVersion7());

        await office.HearAsync(
            Facts.PaymentFailed(order, 1), Facts.PaymentFailed(order, 2), Facts.Confirmed(order, 3),
            Facts.Shipped(order, first), Facts.Shipped(order, second), Facts.OutForDelivery(order, first), Facts.ParcelDelivered(order, first),
            Facts.OutForDelivery(order, second), Facts.ParcelDelivered(order, second), Facts.Delivered(order));

        Assert.Equal(10, (await office.InboxAsync(Facts.Ada)).Count);
        await Eventually.Async(() => office.Mails.Count == 10, "ten mails leave");
    }

    [Theory, MemberData(nameof(Facts.Kinds), MemberType = typeof(Facts))]
    public async Task After_the_end_of_an_order_nothing_earlier_about_it_is_told(string kind)
    {
        await using var office = await Office.OpenAsync();
        var order = Guid.CreateVersion7();
        await office.HearAsync(Facts.Cancelled(order));

        await office.HearAsync(Facts.All(order, Guid.CreateVersion7())[kind]);

        var told = (await office.InboxAsync(Facts.Ada)).Count;
        Assert.Equal(kind is "order_confirmed" or "order_payment_failed" or "flash_sale_claimed" or "flash_sale_your_turn" ? 1 : 2, told);    // parcels and accounts have an end of their own
    }

    [Fact]
    public async Task A_guest_is_reached_by_the_contact_on_the_order_and_finds_it_in_the_inbox()
    {
        await using var office = await Office.OpenAsync();
        var guest = Guid.CreateVersion7();

        await office.HearAsync(Facts.PaymentFailed(Guid.CreateVersion7()) with { BuyerId = guest, Contact = new OrderContact("guest@example.com", "Gil") });

        await Eventually.Async(() => office.Mails.Any(mail => mail.To == "guest@example.com"), "the guest gets a mail");
        using var client = office.Service.As(TestTokens.Guest(guest));
        var message = Assert.Single((await client.GetFromJsonAsync<MessagePage>("/api/v1/notifications", TestContext.Current.CancellationToken))!.Items);
        Assert.Contains("the card was declined", message.Text, StringComparison.Ordinal);
        Assert.Contains("35.00 GBP", message.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_others_wrote_is_text_and_never_markup()
    {
        await using var office = await Office.OpenAsync();

        await office.HearAsync(Facts.Confirmed(Guid.CreateVersion7(), title: """<script>alert("&")</script>"""));

        await Eventually.Async(() => office.Mails.Count == 1, "the mail leaves");
        Assert.DoesNotContain("<script", office.Mails[0].Html, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;: 25.00 GBP", office.Mails[0].Html, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("ada@example.com;everyone@example.com")]
    [InlineData("ada@example.com\r\nBcc: everyone@example.com")]
    [InlineData("Ada <ada@example.com>")]
    [InlineData("nonsense")]
    public async Task An_address_that_is_none_gets_no_mail_and_the_inbox_has_the_message(string address)
    {
        await using var office = await Office.OpenAsync();

        await office.HearAsync(Facts.Confirmed(Guid.CreateVersion7(), email: address), Facts.Registered());

        await Eventually.Async(() => office.Mails.Count == 1, "the other mail leaves");
        Assert.Equal("ada@example.com", office.Mails[0].To);
        Assert.Equal(["sent", "undeliverable"], await EmailsAsync());

        async Task<string[]> EmailsAsync()
        {
            await Eventually.Async(async () => (await office.InboxAsync(Facts.Ada)).All(message => message.Email != "waiting"), "both are settled");
            return [.. (await office.InboxAsync(Facts.Ada)).Select(message => message.Email).Order()];
        }
    }

    [Fact]
    public async Task Trap_3_an_inbox_is_its_owners_and_pages_newest_first()
    {
        await using var office = await Office.OpenAsync();
        for (var i = 0; i < 5; i++)
            await office.HearAsync(Facts.Confirmed(Guid.CreateVersion7()));
        await office.HearAsync(Facts.Confirmed(Guid.CreateVersion7()) with { BuyerId = Guid.CreateVersion7() });

        using var ada = office.Service.As(TestTokens.Buyer(Facts.Ada));
        var seen = new List<MessageView>();
        string? cursor = null;
        do
        {
            var page = (await ada.GetFromJsonAsync<MessagePage>($"/api/v1/notifications?limit=2{(cursor is null ? "" : $"&cursor={cursor}")}", TestContext.Current.CancellationToken))!;
            seen.AddRange(page.Items);
            cursor = page.Next;
        }
        while (cursor is not null);

        Assert.Equal(5, seen.Select(message => message.MessageId).Distinct().Count());
        Assert.Equal(5, seen.Count);
        // Newest first as far as a version 7 UUID tells: its first 48 bits are the millisecond.
        var times = seen.Select(message => message.MessageId.ToString("N")[..12]).ToList();
        Assert.Equal(times.OrderDescending(), times);
        Assert.Empty(await office.InboxAsync(Guid.CreateVersion7()));
        using var nobody = office.Service.As(null);
        Assert.Equal(HttpStatusCode.Unauthorized, (await nobody.GetAsync("/api/v1/notifications", TestContext.Current.CancellationToken)).StatusCode);
        foreach (var wrong in (string[])["limit=0", "limit=101", "cursor=%3Cscript%3E"])
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ada.GetAsync($"/api/v1/notifications?{wrong}", TestContext.Current.CancellationToken)).StatusCode);
    }

    [Fact]
    public async Task Only_the_sidecar_delivers_events()
    {
        await using var office = await Office.OpenAsync();
        using var stranger = office.Service.As(TestTokens.Buyer(Guid.CreateVersion7()));

        using var reply = await stranger.PostAsJsonAsync("/events/order-confirmed", Facts.Confirmed(Guid.CreateVersion7()), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.Unauthorized, reply.StatusCode);
        Assert.Empty(await office.InboxAsync(Facts.Ada));
    }
}
