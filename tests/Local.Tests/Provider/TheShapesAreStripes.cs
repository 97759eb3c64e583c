using System.Net.Http.Headers;
using System.Text.Json;
using Marketplace.TestKit;
using Stripe;
using Xunit;

namespace Marketplace.Local.Tests.Provider;

/// <summary>Against Stripe's published example objects, where they are at hand: every field of an example is in the double's answer.</summary>
public sealed class TheShapesAreStripes
{
    [Theory]
    [InlineData("payment_intent")]
    [InlineData("charge")]
    [InlineData("refund")]
    [InlineData("payment_method")]
    [InlineData("customer")]
    [InlineData("event")]
    public async Task No_field_of_the_example_is_missing(string resource)
    {
        var example = Example(resource);
        await using var stripe = await Double.StartAsync();
        var customer = await stripe.Customers.CreateAsync(new CustomerCreateOptions(), cancellationToken: TestContext.Current.CancellationToken);
        var card = await stripe.Methods.AttachAsync("pm_card_visa", new PaymentMethodAttachOptions { Customer = customer.Id }, cancellationToken: TestContext.Current.CancellationToken);
        var intent = await stripe.Intents.CreateAsync(
            new PaymentIntentCreateOptions { Amount = 1_000, Currency = "gbp", Customer = customer.Id, PaymentMethod = card.Id, Confirm = true }, cancellationToken: TestContext.Current.CancellationToken);
        var refund = await stripe.Refunds.CreateAsync(new RefundCreateOptions { PaymentIntent = intent.Id }, cancellationToken: TestContext.Current.CancellationToken);
        await Eventually.Async(() => stripe.EventBodies.Count > 0, "an event arrives");

        using var answer = resource == "event"
            ? JsonDocument.Parse(stripe.EventBodies[0])
            : await GetAsync(stripe, resource switch
            {
                "payment_intent" => $"payment_intents/{intent.Id}",
                "charge" => $"charges/{intent.LatestChargeId}",
                "refund" => $"refunds/{refund.Id}",
                "payment_method" => $"payment_methods/{card.Id}",
                _ => $"customers/{customer.Id}",
            });

        var missing = new List<string>();
        Compare(example, answer.RootElement, resource, missing);
        Assert.Empty(missing);
    }

    // An object that is null in the answer, or a union's other arm, has no fields to compare; nor have free-form maps and an event's object.
    private static void Compare(JsonElement example, JsonElement answer, string path, List<string> missing)
    {
        if (example.ValueKind != JsonValueKind.Object || answer.ValueKind != JsonValueKind.Object || path.EndsWith(".metadata", StringComparison.Ordinal) || path == "event.data.object")
            return;
        foreach (var field in example.EnumerateObject())
        {
            if (answer.TryGetProperty(field.Name, out var value))
                Compare(field.Value, value, $"{path}.{field.Name}", missing);
            else
                missing.Add($"{path}.{field.Name}");
        }
    }

    private static JsonElement Example(string resource)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var file = Path.Combine(folder.FullName, "shared", "data", "stripe", "resource-examples.json");
            if (System.IO.File.Exists(file))
                return JsonDocument.Parse(System.IO.File.ReadAllText(file)).RootElement.GetProperty("resources").GetProperty(resource);
        }

        Assert.Skip("Stripe's example objects are not beside this repository (../shared/data/stripe/resource-examples.json).");
        return default;
    }

    private static async Task<JsonDocument> GetAsync(Double stripe, string path)
    {
        using var http = new HttpClient();
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "sk_test_double");
        return JsonDocument.Parse(await http.GetStringAsync(new Uri(stripe.Address, $"/v1/{path}"), TestContext.Current.CancellationToken));
    }
}
