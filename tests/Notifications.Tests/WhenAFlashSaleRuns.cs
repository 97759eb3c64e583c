using Marketplace.Contracts;
using Marketplace.Notifications.Messages;
using Marketplace.TestKit;

namespace Marketplace.Notifications.Tests;

public sealed class WhenAFlashSaleRuns
{
    [Fact]
    public async Task A_winner_hears_that_it_is_being_paid_and_then_that_it_is_theirs()
    {
        await using var office = await Office.OpenAsync();
        var order = Guid.CreateVersion7();

        await office.HearAsync(Facts.Claimed(order), Facts.Confirmed(order));

        var told = await office.InboxAsync(Facts.Ada);
        Assert.Equal(["flash_sale_claimed", "order_confirmed"], told.Select(message => message.Kind).Order());
        var claimed = told.Single(message => message.Kind == "flash_sale_claimed");
        Assert.Equal(order, claimed.OrderId);
        Assert.Contains("2 × Sneaker", claimed.Text, StringComparison.Ordinal);
        Assert.Contains("90.00 GBP", claimed.Text, StringComparison.Ordinal);
        await Eventually.Async(() => office.Mails.Count == 2, "two mails leave");
    }

    [Fact]
    public async Task That_it_is_being_paid_is_old_news_once_it_is_paid_or_gone()
    {
        await using var office = await Office.OpenAsync();
        var (paid, gone) = (Guid.CreateVersion7(), Guid.CreateVersion7());

        await office.HearAsync(Facts.Confirmed(paid), Facts.Claimed(paid), Facts.Released(gone), Facts.Claimed(gone));

        Assert.Equal(["flash_sale_released", "order_confirmed"], (await office.InboxAsync(Facts.Ada)).Select(message => message.Kind).Order());
    }

    [Fact]
    public async Task Who_waited_hears_that_their_turn_came()
    {
        await using var office = await Office.OpenAsync();
        await office.HearAsync(Facts.Claimed(Guid.CreateVersion7(), fromWaitingList: true));

        var told = Assert.Single(await office.InboxAsync(Facts.Ada));
        Assert.Contains("your turn came", told.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_declined_card_is_told_once_and_by_the_sale()
    {
        await using var office = await Office.OpenAsync();
        var order = Guid.CreateVersion7();

        await office.HearAsync(Facts.Failed(order) with { Reason = "card_declined", SaleId = Guid.CreateVersion7() }, Facts.Released(order));

        var told = Assert.Single(await office.InboxAsync(Facts.Ada));
        Assert.Equal("flash_sale_released", told.Kind);
        Assert.Contains("went to the next in line: the card was declined", told.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("not_paid_in_time", "next in line: it was not paid in time")]
    [InlineData("payment_method_missing", "next in line: no payment method is known")]
    [InlineData("out_of_stock", "next in line: something in it is out of stock")]
    [InlineData("cancelled", "next in line: it was cancelled")]
    [InlineData("a_word_of_tomorrow", "next in line: a word of tomorrow")]
    public void Why_it_is_gone_is_said_in_words(string reason, string words) =>
        Assert.Contains(words, Wording.Of(Facts.Released(Guid.CreateVersion7(), reason)).Text, StringComparison.Ordinal);

    [Fact]
    public async Task A_sellers_title_is_text_and_nothing_else()
    {
        await using var office = await Office.OpenAsync();
        await office.HearAsync(Facts.Claimed(Guid.CreateVersion7(), title: "<script>alert(1)</script>"), Facts.Missed() with { Title = "<b>Sneaker</b>" });

        await Eventually.Async(() => office.Mails.Count == 2, "two mails leave");
        Assert.All(office.Mails, mail => Assert.DoesNotMatch("<(script|b)>", mail.Html));
    }

    [Fact]
    public async Task Each_of_a_hundred_who_waited_in_vain_is_told_for_themselves()
    {
        await using var office = await Office.OpenAsync();
        var sale = Guid.CreateVersion7();
        FlashSaleMissed[] missed = [.. Enumerable.Range(0, 100).Select(at => new FlashSaleMissed(sale, Guid.CreateVersion7(), Guid.CreateVersion7(), "Sneaker", new OrderContact($"waiting{at}@example.com", $"Waiting {at}")))];

        await Task.WhenAll(missed.Concat(missed).Chunk(20).Select(some => office.HearAsync(some)));

        await Eventually.Async(() => office.Mails.Count >= 100, "everybody's mail leaves");
        Assert.Equal(missed.Select(each => each.Contact.Email).Order(), office.Mails.Select(mail => mail.To).Order());
        Assert.Equal("flash_sale_missed", Assert.Single(await office.InboxAsync(missed[7].BuyerId)).Kind);
    }
}
