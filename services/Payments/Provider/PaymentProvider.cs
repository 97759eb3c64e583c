using System.Net;
using Microsoft.Extensions.Options;
using Polly;
using Polly.CircuitBreaker;
using Polly.Timeout;
using Stripe;

namespace Marketplace.Payments.Provider;

/// <summary>Where an intent stands, in our words.</summary>
public enum IntentStatus
{
    /// <summary>Nothing was taken and it can still be confirmed.</summary>
    Open,

    /// <summary>The provider is at it: ask again.</summary>
    Busy,
    Succeeded,
    Declined,
    Cancelled,
}

public sealed record IntentState(IntentStatus Status, bool Refunded = false, string? DeclineCode = null);

/// <summary>Either an intent or the refusal that kept it from being made.</summary>
public sealed record IntentMade(string? IntentId, string? Refusal);

public sealed record SavedCard(string ProviderMethod, string Brand, string Last4, int ExpMonth, int ExpYear);

/// <summary>
/// The provider gave no usable answer. <see cref="Reached"/> false: the call never left, so it has no effect. True: doubt, which only a look at
/// the intent settles.
/// </summary>
public sealed class ProviderFaultException(string message, bool reached, Exception? inner = null) : Exception(message, inner)
{
    public bool Reached => reached;

    /// <summary>The very same call is under way, by somebody who began it before us.</summary>
    public bool UnderWay { get; init; }
}

/// <summary>
/// Stripe, as far as we use it. Keys for its idempotency are given by the caller and named after the business step. Stripe.net's own retries are
/// off: doubt is settled by looking, not by asking the same again.
/// </summary>
public sealed class PaymentProvider
{
    public const string HttpClientName = "stripe";

    private readonly PaymentIntentService intents;
    private readonly PaymentMethodService methods;
    private readonly CustomerService customers;
    private readonly RefundService refunds;

    public PaymentProvider(IHttpClientFactory http, ProviderKeys keys)
    {
        var client = new StripeClient(new StripeClientOptions
        {
            ApiKey = keys.ApiKey,
            ApiBase = keys.ApiBase,
            HttpClient = new SystemNetHttpClient(http.CreateClient(HttpClientName), maxNetworkRetries: 0, enableTelemetry: false),
        });
        (intents, methods, customers, refunds) = (new(client), new(client), new(client), new(client));
    }

    public Task<IntentMade> CreateIntentAsync(ProviderCharge charge, string key) => CallAsync(async () =>
    {
        try
        {
            // A token is not a payment method yet; the payment method made from it is.
            var method = charge.PaymentMethod.StartsWith("tok_", StringComparison.Ordinal)
                ? (await methods.CreateAsync(
                    new PaymentMethodCreateOptions { Type = "card", Card = new PaymentMethodCardOptions { Token = charge.PaymentMethod } }, Keyed($"{key}-method"))).Id
                : charge.PaymentMethod;
            var intent = await intents.CreateAsync(
                new PaymentIntentCreateOptions
                {
                    Amount = charge.AmountMinor,
                    Currency = charge.Currency.ToLowerInvariant(),
                    Customer = charge.Customer,
                    PaymentMethod = method,
                    // Redirects would leave the shopper's browser waiting for a page that a saga cannot show.
                    AutomaticPaymentMethods = new PaymentIntentAutomaticPaymentMethodsOptions { Enabled = true, AllowRedirects = "never" },
                    Metadata = new Dictionary<string, string> { ["order_id"] = charge.OrderId.ToString(), ["attempt"] = $"{charge.Attempt}" },
                },
                Keyed(key));
            return new IntentMade(intent.Id, null);
        }
        catch (StripeException refused) when (refused.StripeError?.Type == "card_error")
        {
            return new IntentMade(null, Refusals.CardDeclined);
        }
        catch (StripeException unknown) when (unknown.HttpStatusCode is HttpStatusCode.BadRequest or HttpStatusCode.NotFound && unknown.StripeError?.Param is "payment_method" or "card[token]" or "customer")
        {
            return new IntentMade(null, Refusals.PaymentMethodMissing);
        }
    });

    public Task<IntentState> ConfirmAsync(string intentId, string key) => CallAsync(async () =>
    {
        try
        {
            return StateOf(await intents.ConfirmAsync(intentId, new PaymentIntentConfirmOptions(), Keyed(key)));
        }
        catch (StripeException refused) when (refused.StripeError is { Type: "card_error" } error)
        {
            return new IntentState(IntentStatus.Declined, DeclineCode: error.DeclineCode ?? error.Code);
        }
        catch (StripeException refused) when (refused.StripeError is { Code: "payment_intent_unexpected_state", PaymentIntent: { } intent })
        {
            return StateOf(intent);                                  // confirmed or cancelled by somebody else meanwhile
        }
    });

    /// <summary>With <paramref name="refunds"/> also whether the money went back: one object more to fetch.</summary>
    public Task<IntentState> LookAsync(string intentId, bool refunds = false) => CallAsync(async () =>
    {
        var options = new PaymentIntentGetOptions();
        if (refunds)
            options.AddExpand("latest_charge");
        return StateOf(await intents.GetAsync(intentId, options));
    });

    /// <summary>The state after trying: an intent that had succeeded stays so.</summary>
    public Task<IntentState> CancelAsync(string intentId, string key) => CallAsync(async () =>
    {
        try
        {
            return StateOf(await intents.CancelAsync(intentId, new PaymentIntentCancelOptions { CancellationReason = "abandoned" }, Keyed(key)));
        }
        catch (StripeException refused) when (refused.StripeError is { Code: "payment_intent_unexpected_state" } error)
        {
            return StateOf(error.PaymentIntent ?? await intents.GetAsync(intentId));
        }
    });

    /// <summary>Gives the whole amount back; having done so before is as good.</summary>
    public Task RefundAsync(string intentId, string key) => CallAsync(async () =>
    {
        try
        {
            await refunds.CreateAsync(new RefundCreateOptions { PaymentIntent = intentId, Reason = "requested_by_customer" }, Keyed(key));
        }
        catch (StripeException refused) when (refused.StripeError?.Code == "charge_already_refunded")
        {
            return false;
        }

        return true;
    });

    public Task<string> CreateCustomerAsync(Guid buyerId, string? email) => CallAsync(async () => (await customers.CreateAsync(
        new CustomerCreateOptions { Email = email, Metadata = new Dictionary<string, string> { ["buyer_id"] = buyerId.ToString() } }, Keyed($"{buyerId:N}-customer"))).Id);

    /// <summary>Null: the provider knows no such method, will not save it, or it is somebody else's.</summary>
    public Task<SavedCard?> AttachAsync(string providerToken, string customer) => CallAsync(async () =>
    {
        try
        {
            var id = providerToken.StartsWith("tok_", StringComparison.Ordinal)
                ? (await methods.CreateAsync(new PaymentMethodCreateOptions { Type = "card", Card = new PaymentMethodCardOptions { Token = providerToken } })).Id
                : providerToken;
            var method = await methods.AttachAsync(id, new PaymentMethodAttachOptions { Customer = customer });
            return method.Card is { } card ? new SavedCard(method.Id, card.Brand, card.Last4, (int)card.ExpMonth, (int)card.ExpYear) : null;
        }
        catch (StripeException refused) when (refused.HttpStatusCode is HttpStatusCode.BadRequest or HttpStatusCode.PaymentRequired or HttpStatusCode.NotFound)
        {
            return null;
        }
    });

    public Task DetachAsync(string providerMethod) => CallAsync(async () =>
    {
        try
        {
            await methods.DetachAsync(providerMethod);
        }
        catch (StripeException gone) when (gone.HttpStatusCode is HttpStatusCode.BadRequest or HttpStatusCode.NotFound)
        {
            return false;
        }

        return true;
    });

    private static IntentState StateOf(PaymentIntent intent) => intent.Status switch
    {
        "succeeded" => new IntentState(IntentStatus.Succeeded, Refunded: intent.LatestCharge?.Refunded ?? false),
        "canceled" => new IntentState(IntentStatus.Cancelled),
        "processing" => new IntentState(IntentStatus.Busy),
        "requires_confirmation" => new IntentState(IntentStatus.Open),
        // A card that wants its owner to act (3-D Secure) counts as declined: a saga has no page to show.
        "requires_action" => new IntentState(IntentStatus.Declined, DeclineCode: "authentication_required"),
        "requires_payment_method" => new IntentState(IntentStatus.Declined, DeclineCode: intent.LastPaymentError?.DeclineCode ?? intent.LastPaymentError?.Code),
        var other => throw new ProviderFaultException($"The provider reports a payment as '{other}'.", reached: true),
    };

    private static RequestOptions Keyed(string key) => new() { IdempotencyKey = key };

    private static async Task<T> CallAsync<T>(Func<Task<T>> call)
    {
        try
        {
            return await call();
        }
        catch (BrokenCircuitException open)
        {
            throw new ProviderFaultException("The provider is down; the breaker is open.", reached: false, open);
        }
        catch (HttpRequestException failed)
        {
            var reached = failed.HttpRequestError is not (HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError);
            throw new ProviderFaultException("The provider could not be reached.", reached, failed);
        }
        catch (Exception slow) when (slow is TimeoutRejectedException or OperationCanceledException or IOException)
        {
            throw new ProviderFaultException("The provider did not answer in time.", reached: true, slow);
        }
        catch (StripeException failed)
        {
            // A reply that is none of the answers above: 5xx, 429, 409, a wrong key of ours. No effect is certain only below 500.
            var reached = (int)failed.HttpStatusCode is < 400 or >= 500 || failed.HttpStatusCode == HttpStatusCode.Conflict;
            throw new ProviderFaultException($"The provider answered {(int)failed.HttpStatusCode} {failed.StripeError?.Type} {failed.StripeError?.Code}.", reached, failed)
            {
                UnderWay = failed.HttpStatusCode == HttpStatusCode.Conflict,
            };
        }
    }
}

/// <summary>What is charged: exactly these facts make the intent, so that a repeat with the same key is the same request.</summary>
public sealed record ProviderCharge(Guid OrderId, int Attempt, long AmountMinor, string Currency, string PaymentMethod, string? Customer);

public static class ProviderRegistration
{
    public static void AddPaymentProvider(this IServiceCollection services)
    {
        services.AddOptions<ProviderOptions>().BindConfiguration("Provider").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<ProviderKeys>();
        services.AddSingleton<PaymentProvider>();
        services.AddHttpClient(PaymentProvider.HttpClientName, client => client.Timeout = System.Threading.Timeout.InfiniteTimeSpan)
            .ConfigurePrimaryHttpMessageHandler(() => new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.FromMinutes(5), ConnectTimeout = TimeSpan.FromSeconds(2) })
            .SetHandlerLifetime(System.Threading.Timeout.InfiniteTimeSpan)
            .RemoveAllLoggers()
            .AddResilienceHandler("provider", (pipeline, context) =>
            {
                var options = context.ServiceProvider.GetRequiredService<IOptions<ProviderOptions>>().Value;
                pipeline.AddCircuitBreaker(new()
                {
                    FailureRatio = options.FailureShare,
                    MinimumThroughput = options.EnoughCalls,
                    SamplingDuration = options.Window,
                    BreakDuration = options.OpenFor,
                });
                pipeline.AddTimeout(options.Timeout);
            });
    }
}
