using System.Net;
using System.Net.Http.Json;
using Marketplace.Payments.Charges;
using Marketplace.Payments.Methods;
using Marketplace.TestKit;

namespace Marketplace.Payments.Tests;

public sealed class WhenAShopperSavesACard
{
    [Fact]
    public async Task The_default_is_charged_and_another_by_its_id()
    {
        await using var till = await Till.OpenAsync();
        var ada = Guid.CreateVersion7();
        using var shop = till.Payments.As(TestTokens.Buyer(ada));
        var visa = await SaveAsync(shop, "pm_card_visa");
        var failing = await SaveAsync(shop, "pm_card_chargeCustomerFail");
        Assert.Equal((true, "4242", "visa"), (visa.IsDefault, visa.Last4, visa.Brand));
        Assert.False(failing.IsDefault);

        Assert.Equal("captured", (await till.ChargeAsync(A.ChargeOf(1_000, null) with { BuyerId = ada })).Status);
        Assert.Equal("captured", (await till.ChargeAsync(A.ChargeOf(1_000, visa.Id.ToString()) with { BuyerId = ada })).Status);
        Assert.Equal("card_declined", (await till.ChargeAsync(A.ChargeOf(1_000, failing.Id.ToString()) with { BuyerId = ada })).Refusal);

        var mastercard = await SaveAsync(shop, "tok_mastercard", makeDefault: true);
        var all = (await shop.GetFromJsonAsync<MethodPage>("/api/v1/payment-methods", TestContext.Current.CancellationToken))!.Items;
        Assert.Equal([mastercard.Id], all.Where(method => method.IsDefault).Select(method => method.Id));
        Assert.Equal(1, (await till.TotalsAsync()).Customers);
    }

    [Fact]
    public async Task A_flash_sale_looks_up_defaults_and_certain_methods_of_their_own_shoppers()
    {
        await using var till = await Till.OpenAsync();
        var (ada, bruno, eve) = (Guid.CreateVersion7(), Guid.CreateVersion7(), Guid.CreateVersion7());
        using var adas = till.Payments.As(TestTokens.Buyer(ada));
        using var brunos = till.Payments.As(TestTokens.Buyer(bruno, "bruno@example.com", "Bruno"));
        var (first, second, foreign) = (await SaveAsync(adas, "pm_card_visa"), await SaveAsync(adas, "pm_card_mastercard"), await SaveAsync(brunos, "pm_card_visa"));

        using var flashSales = till.Payments.AsNeighbour("flashsales");
        using var asked = await flashSales.PostAsJsonAsync("/internal/payment-methods", new MethodLookup([
            new(ada), new(bruno), new(eve), new(ada, second.Id), new(ada, foreign.Id)]), TestContext.Current.CancellationToken);
        var found = (await asked.Content.ReadFromJsonAsync<MethodLookupReply>(TestContext.Current.CancellationToken))!.Methods;

        Assert.Equal(
            new[] { new BuyerMethod(ada, first.Id), new BuyerMethod(bruno, foreign.Id), new BuyerMethod(ada, second.Id) }.OrderBy(one => one.MethodId),
            found.OrderBy(one => one.MethodId));
        using var another = till.Payments.AsNeighbour("ordering");
        Assert.Equal(HttpStatusCode.Forbidden, (await another.PostAsJsonAsync("/internal/payment-methods", new MethodLookup([new(ada)]), TestContext.Current.CancellationToken)).StatusCode);
    }

    [Fact]
    public async Task Nobody_else_can_charge_see_or_remove_it()
    {
        await using var till = await Till.OpenAsync();
        using var ada = till.Payments.As(TestTokens.Buyer(Guid.CreateVersion7()));
        var brunosId = Guid.CreateVersion7();
        using var bruno = till.Payments.As(TestTokens.Buyer(brunosId, "bruno@example.com", "Bruno"));
        var visa = await SaveAsync(ada, "pm_card_visa");
        var atProvider = await till.Payments.ScalarAsync<string>("SELECT provider_method FROM payment_methods");

        Assert.Equal("payment_method_missing", (await till.ChargeAsync(A.ChargeOf(1_000, visa.Id.ToString()) with { BuyerId = brunosId })).Refusal);
        Assert.Equal("payment_method_missing", (await till.ChargeAsync(A.ChargeOf(1_000, atProvider) with { BuyerId = brunosId })).Refusal);
        Assert.Equal("payment_method_missing", (await till.ChargeAsync(A.ChargeOf(1_000, null) with { BuyerId = brunosId })).Refusal);
        Assert.Equal(HttpStatusCode.NotFound, (await bruno.DeleteAsync($"/api/v1/payment-methods/{visa.Id}", TestContext.Current.CancellationToken)).StatusCode);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await bruno.PostAsJsonAsync("/api/v1/payment-methods", new SaveMethodRequest(atProvider!), TestContext.Current.CancellationToken)).StatusCode);
        Assert.Empty((await bruno.GetFromJsonAsync<MethodPage>("/api/v1/payment-methods", TestContext.Current.CancellationToken))!.Items);
        Assert.Equal(0, await till.NetPenceAsync());
    }

    [Fact]
    public async Task Removed_it_is_charged_no_more_and_the_next_one_is_the_default()
    {
        await using var till = await Till.OpenAsync();
        var ada = Guid.CreateVersion7();
        using var shop = till.Payments.As(TestTokens.Buyer(ada));
        var visa = await SaveAsync(shop, "pm_card_visa");
        var mastercard = await SaveAsync(shop, "pm_card_mastercard");

        Assert.Equal(HttpStatusCode.NoContent, (await shop.DeleteAsync($"/api/v1/payment-methods/{visa.Id}", TestContext.Current.CancellationToken)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await shop.DeleteAsync($"/api/v1/payment-methods/{visa.Id}", TestContext.Current.CancellationToken)).StatusCode);

        Assert.Equal("payment_method_missing", (await till.ChargeAsync(A.ChargeOf(1_000, visa.Id.ToString()) with { BuyerId = ada })).Refusal);
        var left = Assert.Single((await shop.GetFromJsonAsync<MethodPage>("/api/v1/payment-methods", TestContext.Current.CancellationToken))!.Items);
        Assert.Equal((mastercard.Id, true), (left.Id, left.IsDefault));
    }

    [Theory]
    [InlineData("4242424242424242", "Card numbers")]
    [InlineData("4242-4242-4242-4242", "Card numbers")]
    [InlineData("tok_4000000000000002", "Card numbers")]
    [InlineData("visa", "token")]
    [InlineData("", "providerToken")]
    [InlineData("pm_card_chargeDeclined", "payment-method-refused")]
    [InlineData("pm_unknown", "payment-method-refused")]
    public async Task What_is_no_good_token_is_refused_without_being_repeated(string token, string says)
    {
        await using var till = await Till.OpenAsync();
        using var shop = till.Payments.As(TestTokens.Buyer(Guid.CreateVersion7()));

        using var reply = await shop.PostAsJsonAsync("/api/v1/payment-methods", new SaveMethodRequest(token), TestContext.Current.CancellationToken);

        var body = await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, reply.StatusCode);
        Assert.Contains(says, body, StringComparison.Ordinal);
        Assert.True(token.Length == 0 || !body.Contains(token, StringComparison.Ordinal));
        Assert.Equal(0, await till.Payments.ScalarAsync<long>("SELECT count(*) FROM payment_methods"));
    }

    [Fact]
    public async Task A_guest_saves_nothing_and_nobody_without_a_token_asks_anything()
    {
        await using var till = await Till.OpenAsync();
        using var guest = till.Payments.As(TestTokens.Guest(Guid.CreateVersion7()));
        using var nobody = till.Payments.As(null);

        Assert.Equal(HttpStatusCode.Forbidden, (await guest.PostAsJsonAsync("/api/v1/payment-methods", new SaveMethodRequest("pm_card_visa"), TestContext.Current.CancellationToken)).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await nobody.GetAsync("/api/v1/payment-methods", TestContext.Current.CancellationToken)).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await nobody.GetAsync("/api/v1/payments", TestContext.Current.CancellationToken)).StatusCode);
    }

    [Fact]
    public async Task Trap_3_payments_are_shown_to_their_shopper_only()
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(1_000, "pm_card_chargeDeclined");
        await till.ChargeAsync(order);
        await till.ChargeAsync(order.Again());
        var path = $"/api/v1/payments?orderId={order.OrderId}";

        using var owner = till.Payments.As(TestTokens.Buyer(order.BuyerId));
        var mine = (await owner.GetFromJsonAsync<PaymentPage>(path, TestContext.Current.CancellationToken))!.Items;
        Assert.Equal([(2, "captured", null), (1, "cancelled", "card_declined")], mine.Select(p => (p.Attempt, p.Status, p.Refusal)));
        var first = (await owner.GetFromJsonAsync<PaymentPage>("/api/v1/payments?limit=1", TestContext.Current.CancellationToken))!;
        var second = (await owner.GetFromJsonAsync<PaymentPage>($"/api/v1/payments?limit=1&cursor={first.Next}", TestContext.Current.CancellationToken))!;
        Assert.Equal((2, 1, null), (first.Items[0].Attempt, second.Items[0].Attempt, second.Next));

        using var stranger = till.Payments.As(TestTokens.Buyer(Guid.CreateVersion7()));
        Assert.Equal(HttpStatusCode.NotFound, (await stranger.GetAsync(path, TestContext.Current.CancellationToken)).StatusCode);
    }

    private static async Task<SavedMethod> SaveAsync(HttpClient shop, string token, bool makeDefault = false)
    {
        using var reply = await shop.PostAsJsonAsync("/api/v1/payment-methods", new SaveMethodRequest(token, makeDefault), TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Created, reply.StatusCode);
        return (await reply.Content.ReadFromJsonAsync<SavedMethod>(TestContext.Current.CancellationToken))!;
    }
}
