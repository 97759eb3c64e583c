using System.Text.Json;

namespace Marketplace.Bench.FlashSale;

/// <summary>
/// What was sold, to whom and for what, counted where each service keeps it and at the payment provider. Every line says what it found; a finding is
/// something that must not be.
/// </summary>
internal sealed class Audit(Shop shop, Guid saleId, Guid productId, int units, int stockBefore, long price)
{
    private readonly List<string> lines = [];
    private readonly List<string> findings = [];

    public IReadOnlyList<string> Lines => lines;

    public IReadOnlyList<string> Findings => findings;

    /// <summary>From the start of the sale to the moment at which so many orders had been paid for and confirmed.</summary>
    public TimeSpan? LastUnitPaidAfter { get; private set; }

    public async Task RunAsync(Storm storm, DateTimeOffset startsAt)
    {
        await SettledAsync();
        await BuyersAsync(storm);
        await ClaimsAsync(storm);
        var orders = await OrdersAsync(startsAt);
        await MoneyAsync(orders);
        await StockAsync();
        await OperatorsOwnAsync();
    }

    /// <summary>Confirmed orders go out of the house in a step after the answer to the shopper, and the last events are on their way.</summary>
    private async Task SettledAsync()
    {
        for (var tried = 0; tried < 120; tried++)
        {
            var pending = await shop.OneAsync<long>("ordering", "SELECT count(*) FROM orders WHERE sale_id = $1 AND status = 'PENDING'", saleId);
            var committed = await shop.OneAsync<long>("inventory", "SELECT coalesce(sum(committed), 0) FROM allotment_levels WHERE sale_id = $1", saleId);
            var open = await shop.OneAsync<long>("flashsales", "SELECT count(*) FROM claims WHERE sale_id = $1 AND state IN ('claimed', 'waiting')", saleId);
            if (pending == 0 && committed == units && open == 0) return;
            await Task.Delay(250);
        }
    }

    private Task BuyersAsync(Storm storm)
    {
        var endings = storm.Buyers.CountBy(buyer => buyer.Ending).ToDictionary();
        lines.Add($"buyers: {string.Join(", ", Enum.GetValues<Ending>().Where(endings.ContainsKey).Select(ending => $"{endings[ending]:N0} {Words(ending)}"))}");
        Check(endings.GetValueOrDefault(Ending.None) == 0, $"{endings.GetValueOrDefault(Ending.None)} buyers were left without a final answer");
        Check(endings.GetValueOrDefault(Ending.Paid) == units, $"{endings.GetValueOrDefault(Ending.Paid)} buyers were told that they have paid, for {units} units");
        var declined = storm.Buyers.Count(buyer => buyer.Account.IsDeclined && buyer.Ending == Ending.Paid);
        Check(declined == 0, $"{declined} buyers with a card that is declined were told that they have paid");
        var charged = storm.Buyers.Count(buyer => !buyer.Account.IsDeclined && buyer.Ending == Ending.Released);
        Check(charged == 0, $"{charged} buyers with a good card lost their unit");
        return Task.CompletedTask;

        static string Words(Ending ending) => ending switch
        {
            Ending.Paid => "paid",
            Ending.Released => "declined and told so",
            Ending.Missed => "on the waiting list in vain",
            Ending.SoldOut => "told that it is sold out",
            Ending.Ended => "told that it is over",
            _ => "without an answer",
        };
    }

    private async Task ClaimsAsync(Storm storm)
    {
        var paid = await shop.SqlAsync<Guid>("flashsales", "SELECT buyer_id FROM claims WHERE sale_id = $1 AND state = 'paid'", saleId);
        var states = await shop.SqlAsync<string>("flashsales", "SELECT count(*) || ' ' || state FROM claims WHERE sale_id = $1 GROUP BY state ORDER BY state", saleId);
        var numbers = await shop.SqlAsync<int>("flashsales", "SELECT unit_no FROM claim_units u JOIN claims c USING (claim_id) WHERE u.sale_id = $1 AND c.state = 'paid'", saleId);
        lines.Add($"claims: {string.Join(", ", states)}; {numbers.Distinct().Count()} different units held by {paid.Distinct().Count()} different buyers");
        Check(paid.Count == units && paid.Distinct().Count() == units, $"{paid.Count} claims of {paid.Distinct().Count()} buyers are paid for, of {units} units");
        Check(numbers.Count == units && numbers.Distinct().Count() == units && numbers.All(number => number >= 1 && number <= units), $"the paid claims hold {numbers.Count} units, {numbers.Distinct().Count()} different ones");
        var told = storm.Buyers.Where(buyer => buyer.Ending == Ending.Paid).Select(buyer => buyer.Account.Id).ToHashSet();
        Check(told.SetEquals(paid), "those who were told that they have paid are not those whose claims are paid");
        var places = await shop.OneAsync<long>("flashsales", "SELECT count(DISTINCT buyer_id) FROM places WHERE sale_id = $1", saleId);
        var joined = storm.Buyers.Count(buyer => buyer.HasJoined);
        lines.Add($"places: {places:N0} in the queue's table, {joined:N0} buyers hold a ticket");
        Check(places >= joined, $"{joined - places} buyers hold a ticket for a place that is not there");
    }

    private async Task<List<Guid>> OrdersAsync(DateTimeOffset startsAt)
    {
        var states = await shop.SqlAsync<string>("ordering", "SELECT count(*) || ' ' || status FROM orders WHERE sale_id = $1 GROUP BY status ORDER BY status", saleId);
        var confirmed = await shop.SqlAsync<Guid>("ordering", "SELECT order_id FROM orders WHERE sale_id = $1 AND status IN ('CONFIRMED', 'SHIPPED', 'DELIVERED')", saleId);
        var customers = await shop.OneAsync<long>("ordering", "SELECT count(DISTINCT buyer_id) FROM orders WHERE sale_id = $1 AND status IN ('CONFIRMED', 'SHIPPED', 'DELIVERED')", saleId);
        var claimed = await shop.SqlAsync<Guid>("flashsales", "SELECT order_id FROM claims WHERE sale_id = $1 AND state = 'paid'", saleId);
        var last = await shop.SqlAsync<DateTime>("flashsales", "SELECT changed_at FROM claims WHERE sale_id = $1 AND state = 'paid' ORDER BY changed_at OFFSET $2 LIMIT 1", saleId, units - 1);
        if (last.Count == 1) LastUnitPaidAfter = last[0] - startsAt.UtcDateTime;
        lines.Add($"orders: {string.Join(", ", states)}; confirmed ones belong to {customers} different customers");
        Check(confirmed.Count == units && customers == units, $"{confirmed.Count} orders of {customers} customers are confirmed, for {units} units");
        Check(confirmed.ToHashSet().SetEquals(claimed), "the confirmed orders are not those of the paid claims");
        return confirmed;
    }

    private async Task MoneyAsync(List<Guid> confirmed)
    {
        var all = await shop.SqlAsync<Guid>("ordering", "SELECT order_id FROM orders WHERE sale_id = $1", saleId);
        var captured = await shop.SqlAsync<Guid>("payments", "SELECT order_id FROM payment_attempts WHERE order_id = ANY($1) AND status = 'captured' AND amount_minor = $2", all.ToArray(), price);
        Check(captured.Count == confirmed.Count && captured.ToHashSet().SetEquals(confirmed), $"{captured.Count} payments are captured for {confirmed.Count} confirmed orders");

        var intents = await shop.SqlAsync<string>("payments", "SELECT intent_id FROM payment_attempts WHERE order_id = ANY($1) AND intent_id IS NOT NULL", all.ToArray());
        var (charges, amount, refunded, customers) = (0, 0L, 0L, new HashSet<string>());
        foreach (var intent in intents)
        {
            foreach (var charge in (await shop.ProviderAsync($"/v1/charges?payment_intent={intent}&limit=100")).GetProperty("data").EnumerateArray().Where(charge => charge.GetProperty("paid").GetBoolean()))
            {
                charges++;
                amount += charge.GetProperty("amount").GetInt64();
                refunded += charge.GetProperty("amount_refunded").GetInt64();
                customers.Add(charge.GetProperty("customer").GetString()!);
            }
        }

        lines.Add($"money: {captured.Count} payments captured; at the provider {charges} charges of {customers.Count} customers, {amount - refunded} pence ({refunded} paid back)");
        Check(charges == units && customers.Count == units && amount - refunded == units * price, $"the provider took {charges} charges from {customers.Count} customers, {amount - refunded} pence, instead of {units * price}");

        var net = (await shop.ProviderAsync("/_control/totals")).GetProperty("net");
        var atProvider = net.TryGetProperty("gbp", out var pence) ? pence.GetInt64() : 0;
        var atOurs = await shop.OneAsync<long>("payments", "SELECT coalesce(sum(amount_minor), 0)::bigint FROM payment_attempts WHERE status = 'captured'");
        Check(atProvider == atOurs, $"over everything the provider holds {atProvider} pence, and payments says {atOurs}");
    }

    private async Task StockAsync()
    {
        var stock = await shop.OneAsync<long>("inventory", "SELECT coalesce(sum(stock), 0)::bigint FROM stock_levels WHERE product_id = $1", productId);
        var reserved = await shop.OneAsync<long>("inventory", "SELECT coalesce(sum(reserved), 0)::bigint FROM stock_levels WHERE product_id = $1", productId);
        var left = await shop.OneAsync<long>("inventory", "SELECT coalesce(sum(allotted - committed), 0)::bigint FROM allotment_levels WHERE sale_id = $1", saleId);
        lines.Add($"inventory: {stockBefore:N0} before, {stock:N0} on hand now, {reserved} reserved, {left} left in the allotment");
        Check(stock == stockBefore - units, $"{stockBefore - stock} units left the house instead of {units}");
        Check(reserved == 0 && left == 0, $"{reserved} units are still reserved, {left} still set aside for the sale");
    }

    private async Task OperatorsOwnAsync()
    {
        var own = await shop.CallAsync(HttpMethod.Get, $"/api/v1/operations/flash-sales/{saleId}/audit", await shop.OperatorTokenAsync());
        foreach (var finding in own.TryGetProperty("findings", out var found) && found.ValueKind == JsonValueKind.Array ? found.EnumerateArray().Select(one => one.ToString()) : [])
            findings.Add($"the operator's audit: {finding}");
        lines.Add($"the operator's audit: {own.GetRawText()}");
        Check(own.TryGetProperty("paid", out var paid) && paid.GetInt32() == units, "the operator's audit counts other paid units");
    }

    private void Check(bool holds, string finding)
    {
        if (!holds) findings.Add(finding);
    }
}
