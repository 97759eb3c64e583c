using System.Text.Json;
using System.Text.Json.Serialization;

namespace Marketplace.Local.Provider;

/// <summary>The tester's side of the double: how it behaves, and what it took.</summary>
internal sealed class Control(Ledger ledger, Weather weather, Webhooks webhooks)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { DictionaryKeyPolicy = null };

    public async Task AnswerAsync(HttpContext http)
    {
        var what = http.Request.Path.Value!["/_control".Length..].Trim('/');
        var wish = HttpMethods.IsGet(http.Request.Method) ? null : await WishAsync(http);
        if (wish is null && !HttpMethods.IsGet(http.Request.Method))
        {
            http.Response.StatusCode = StatusCodes.Status400BadRequest;
            return;
        }

        switch (http.Request.Method, what)
        {
            case ("GET", ""):
                break;
            case ("GET", "totals"):
                await http.Response.WriteAsJsonAsync(Totals(), Json, http.RequestAborted);
                return;
            case ("PUT", "outage") when wish!.Mode is "off" or "503" or "hang" or "reset":
                weather.Outage = wish.Mode;
                break;
            case ("PUT", "latency") when wish!.Ms is >= 0:
                weather.LatencyMs = wish.Ms.Value;
                break;
            case ("PUT", "charge-then-timeout") when wish!.Times is >= 0:
                weather.ChargeThenTimeout = wish.Times.Value;
                break;
            case ("PUT", "error-after") when wish!.Times is >= 0:
                weather.ErrorAfter = wish.Times.Value;
                break;
            case ("PUT", "error-before") when wish!.Times is >= 0:
                weather.ErrorBefore = wish.Times.Value;
                break;
            case ("PUT", "webhooks"):
                weather.WebhooksPaused = wish!.Paused ?? weather.WebhooksPaused;
                weather.WebhooksDuplicated = wish.Duplicated ?? weather.WebhooksDuplicated;
                weather.WebhooksReordered = wish.Reordered ?? weather.WebhooksReordered;
                weather.WebhookDelayMs = wish.DelayMs is >= 0 and var delay ? delay : weather.WebhookDelayMs;
                webhooks.Changed();
                break;
            case ("POST", "reset"):
                lock (ledger.Gate)
                {
                    webhooks.Forget();
                    ledger.Reset();
                }

                weather.Clear();
                break;
            case ("PUT", _):
                http.Response.StatusCode = StatusCodes.Status400BadRequest;
                return;
            default:
                http.Response.StatusCode = StatusCodes.Status404NotFound;
                return;
        }

        await http.Response.WriteAsJsonAsync(
            new WeatherReport(weather.Outage, weather.LatencyMs, weather.ChargeThenTimeout, weather.ErrorAfter, weather.ErrorBefore,
                new WebhookReport(weather.WebhooksPaused, weather.WebhooksDuplicated, weather.WebhooksReordered, weather.WebhookDelayMs)), Json, http.RequestAborted);
    }

    private ProviderTotals Totals()
    {
        lock (ledger.Gate)
        {
            var paid = ledger.Charges.All.Where(c => c.Paid).ToList();
            return new ProviderTotals(
                paid.Count,
                paid.GroupBy(c => c.Currency).ToDictionary(g => g.Key, g => g.Sum(c => c.Amount)),
                paid.GroupBy(c => c.Currency).ToDictionary(g => g.Key, g => g.Sum(c => c.AmountRefunded)),
                paid.GroupBy(c => c.Currency).ToDictionary(g => g.Key, g => g.Sum(c => c.Amount - c.AmountRefunded)),
                ledger.Charges.All.Count - paid.Count,
                ledger.Refunds.All.Count,
                ledger.Intents.All.GroupBy(i => i.Status).ToDictionary(g => g.Key, g => g.Count()),
                ledger.Customers.All.Count,
                ledger.Undelivered.Count,
                weather.Calls);
        }
    }

    private static async Task<Wish?> WishAsync(HttpContext http)
    {
        if (http.Request.ContentLength is 0 || (http.Request.ContentLength is null && !http.Request.Headers.ContainsKey("Transfer-Encoding")))
            return new Wish();
        try
        {
            return await http.Request.ReadFromJsonAsync<Wish>(Json, http.RequestAborted);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private sealed record Wish
    {
        public string? Mode { get; init; }
        public int? Ms { get; init; }
        public int? Times { get; init; }
        public bool? Paused { get; init; }
        public bool? Duplicated { get; init; }
        public bool? Reordered { get; init; }
        public int? DelayMs { get; init; }
    }

    private sealed record WeatherReport(
        string Outage, int LatencyMs, [property: JsonPropertyName("charge-then-timeout")] int ChargeThenTimeout,
        [property: JsonPropertyName("error-after")] int ErrorAfter, [property: JsonPropertyName("error-before")] int ErrorBefore, WebhookReport Webhooks);

    private sealed record WebhookReport(bool Paused, bool Duplicated, bool Reordered, int DelayMs);
}

/// <summary>What the provider took and gave back, per currency in its smallest unit.</summary>
public sealed record ProviderTotals(
    int Charges,
    IReadOnlyDictionary<string, long> Captured,
    IReadOnlyDictionary<string, long> Refunded,
    IReadOnlyDictionary<string, long> Net,
    int DeclinedCharges,
    int Refunds,
    IReadOnlyDictionary<string, int> IntentsByStatus,
    int Customers,
    int WebhooksOutstanding,
    long Calls);
