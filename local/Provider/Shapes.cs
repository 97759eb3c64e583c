using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Marketplace.Local.Provider;

/// <summary>
/// Objects as the API shows them, every field that Stripe.net reads among them. Written by hand: it is most of what a call costs, and the
/// machine is shared with what is being measured.
/// </summary>
internal sealed class Shapes(Ledger ledger)
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    public static string Text(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>(3072);
        using (var json = new Utf8JsonWriter(buffer, Options))
            write(json);
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    public void Write(Utf8JsonWriter json, Intent intent, IReadOnlyList<string>? expand = null)
    {
        json.WriteStartObject();
        json.WriteString("id", intent.Id);
        json.WriteString("object", "payment_intent");
        json.WriteNumber("amount", intent.Amount);
        json.WriteNumber("amount_capturable", 0);
        json.WriteStartObject("amount_details");
        json.WriteStartObject("tip");
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteNumber("amount_received", intent.AmountReceived);
        Nulls(json, "application", "application_fee_amount");
        json.WriteStartObject("automatic_payment_methods");
        json.WriteString("allow_redirects", "never");
        json.WriteBoolean("enabled", true);
        json.WriteEndObject();
        Number(json, "canceled_at", intent.CanceledAt);
        json.WriteString("cancellation_reason", intent.CancellationReason);
        json.WriteString("capture_method", "automatic_async");
        json.WriteString("client_secret", intent.Secret);
        json.WriteString("confirmation_method", "automatic");
        json.WriteNumber("created", intent.Created);
        json.WriteString("currency", intent.Currency);
        Reference(json, "customer", intent.Customer, expand, ledger.Customers, Write);
        Nulls(json, "customer_account");
        json.WriteString("description", intent.Description);
        Nulls(json, "excluded_payment_method_types");
        json.WritePropertyName("last_payment_error");
        if (ledger.Charges.Find(intent.FailedCharge) is { } failed)
            WriteError(json, new ApiError(402, "card_error", failed.FailureMessage!)
            {
                Code = failed.FailureCode,
                DeclineCode = failed.DeclineCode,
                Charge = failed.Id,
                MethodId = failed.PaymentMethod,
            });
        else
            json.WriteNullValue();
        Reference(json, "latest_charge", intent.LatestCharge, expand, ledger.Charges, Write);
        json.WriteBoolean("livemode", false);
        Nulls(json, "managed_payments");
        Metadata(json, intent.Metadata);
        json.WritePropertyName("next_action");
        if (intent.Status == Status.RequiresAction)
        {
            json.WriteStartObject();
            json.WriteString("type", "use_stripe_sdk");
            json.WriteStartObject("use_stripe_sdk");
            json.WriteString("type", "three_d_secure_redirect");
            json.WriteEndObject();
            json.WriteEndObject();
        }
        else
        {
            json.WriteNullValue();
        }

        Nulls(json, "on_behalf_of");
        Reference(json, "payment_method", intent.PaymentMethod, expand, ledger.Methods, Write);
        Nulls(json, "payment_method_configuration_details");
        json.WriteStartObject("payment_method_options");
        json.WriteStartObject("card");
        Nulls(json, "installments", "mandate_options", "network");
        json.WriteString("request_three_d_secure", "automatic");
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteStartArray("payment_method_types");
        json.WriteStringValue("card");
        json.WriteEndArray();
        Nulls(json, "processing");
        json.WriteString("receipt_email", intent.ReceiptEmail);
        Nulls(json, "review");
        json.WriteString("setup_future_usage", intent.SetupFutureUsage);
        Nulls(json, "shipping", "source", "statement_descriptor", "statement_descriptor_suffix");
        json.WriteString("status", intent.Status);
        Nulls(json, "transfer_data", "transfer_group");
        json.WriteEndObject();
    }

    public void Write(Utf8JsonWriter json, Charge charge, IReadOnlyList<string>? expand = null)
    {
        var card = Cards.Named(ledger.Methods[charge.PaymentMethod].Card);
        json.WriteStartObject();
        json.WriteString("id", charge.Id);
        json.WriteString("object", "charge");
        json.WriteNumber("amount", charge.Amount);
        json.WriteNumber("amount_captured", charge.Paid ? charge.Amount : 0);
        json.WriteNumber("amount_refunded", charge.AmountRefunded);
        Nulls(json, "application", "application_fee", "application_fee_amount");
        json.WriteString("balance_transaction", charge.Paid ? charge.Transaction : null);
        BillingDetails(json);
        json.WriteString("calculated_statement_descriptor", "MARKETPLACE");
        json.WriteBoolean("captured", charge.Paid);
        json.WriteNumber("created", charge.Created);
        json.WriteString("currency", charge.Currency);
        Reference(json, "customer", charge.Customer, expand, ledger.Customers, Write);
        json.WriteString("description", charge.Description);
        json.WriteBoolean("disputed", false);
        Nulls(json, "failure_balance_transaction");
        json.WriteString("failure_code", charge.FailureCode);
        json.WriteString("failure_message", charge.FailureMessage);
        json.WriteStartObject("fraud_details");
        json.WriteEndObject();
        json.WriteBoolean("livemode", false);
        Metadata(json, charge.Metadata);
        Nulls(json, "on_behalf_of");
        json.WriteStartObject("outcome");
        Nulls(json, "advice_code", "network_advice_code", "network_decline_code");
        json.WriteString("network_status", charge.Paid ? "approved_by_network" : "declined_by_network");
        json.WriteString("reason", charge.DeclineCode ?? charge.FailureCode);
        json.WriteString("seller_message", charge.Paid ? "Payment complete." : "The bank did not return any further details with this decline.");
        json.WriteString("type", charge.Paid ? "authorized" : "issuer_declined");
        json.WriteEndObject();
        json.WriteBoolean("paid", charge.Paid);
        Reference(json, "payment_intent", charge.Intent, expand, ledger.Intents, Write);
        json.WriteString("payment_method", charge.PaymentMethod);
        PaidWith(json, card, charge.Amount);
        Nulls(json, "receipt_email", "receipt_number", "receipt_url");
        json.WriteBoolean("refunded", charge.AmountRefunded == charge.Amount);
        json.WriteStartObject("refunds");
        json.WriteString("object", "list");
        json.WriteStartArray("data");
        if (charge.AmountRefunded > 0)
        {
            foreach (var refund in ledger.Refunds.All.Where(r => r.Charge == charge.Id).Reverse())
                Write(json, refund);
        }

        json.WriteEndArray();
        json.WriteBoolean("has_more", false);
        json.WriteString("url", $"/v1/charges/{charge.Id}/refunds");
        json.WriteEndObject();
        Nulls(json, "review", "shipping", "source", "source_transfer", "statement_descriptor", "statement_descriptor_suffix");
        json.WriteString("status", charge.Paid ? Status.Succeeded : Status.Failed);
        Nulls(json, "transfer_data", "transfer_group");
        json.WriteEndObject();
    }

    public void Write(Utf8JsonWriter json, Refund refund, IReadOnlyList<string>? expand = null)
    {
        var charge = ledger.Charges[refund.Charge];
        json.WriteStartObject();
        json.WriteString("id", refund.Id);
        json.WriteString("object", "refund");
        json.WriteNumber("amount", refund.Amount);
        json.WriteString("balance_transaction", refund.Transaction);
        Reference(json, "charge", refund.Charge, expand, ledger.Charges, Write);
        json.WriteNumber("created", refund.Created);
        json.WriteString("currency", refund.Currency);
        json.WriteString("customer", charge.Customer);
        Nulls(json, "customer_account");
        json.WriteStartObject("destination_details");
        json.WriteStartObject("card");
        json.WriteString("type", "refund");
        json.WriteEndObject();
        json.WriteString("type", "card");
        json.WriteEndObject();
        Metadata(json, refund.Metadata);
        Reference(json, "payment_intent", refund.Intent, expand, ledger.Intents, Write);
        json.WriteString("payment_method", charge.PaymentMethod);
        json.WriteString("reason", refund.Reason);
        Nulls(json, "receipt_number", "source_transfer_reversal");
        json.WriteString("status", Status.Succeeded);
        Nulls(json, "transfer_reversal");
        json.WriteEndObject();
    }

    public void Write(Utf8JsonWriter json, Method method, IReadOnlyList<string>? expand = null)
    {
        var card = Cards.Named(method.Card);
        json.WriteStartObject();
        json.WriteString("id", method.Id);
        json.WriteString("object", "payment_method");
        json.WriteString("allow_redisplay", "unspecified");
        BillingDetails(json);
        json.WriteStartObject("card");
        json.WriteString("brand", card.Brand);
        Checks(json);
        json.WriteString("country", card.Country);
        json.WriteString("display_brand", card.Brand);
        json.WriteNumber("exp_month", 8);
        json.WriteNumber("exp_year", 2030);
        json.WriteString("fingerprint", Fingerprint(card));
        json.WriteString("funding", card.Funding);
        Nulls(json, "generated_from");
        json.WriteString("last4", card.Last4);
        json.WriteStartObject("networks");
        json.WriteStartArray("available");
        json.WriteStringValue(card.Brand);
        json.WriteEndArray();
        Nulls(json, "preferred");
        json.WriteEndObject();
        json.WriteString("regulated_status", "unregulated");
        json.WriteStartObject("three_d_secure_usage");
        json.WriteBoolean("supported", true);
        json.WriteEndObject();
        Nulls(json, "wallet");
        json.WriteEndObject();
        json.WriteNumber("created", method.Created);
        Reference(json, "customer", method.Customer, expand, ledger.Customers, Write);
        Nulls(json, "customer_account");
        json.WriteBoolean("livemode", false);
        Metadata(json, method.Metadata);
        json.WriteString("type", "card");
        json.WriteEndObject();
    }

    public void Write(Utf8JsonWriter json, Customer customer, IReadOnlyList<string>? expand = null)
    {
        json.WriteStartObject();
        json.WriteString("id", customer.Id);
        json.WriteString("object", "customer");
        Nulls(json, "address");
        json.WriteNumber("balance", 0);
        json.WriteNumber("created", customer.Created);
        Nulls(json, "currency", "default_source");
        json.WriteBoolean("delinquent", false);
        json.WriteString("description", customer.Description);
        Nulls(json, "discount");
        json.WriteString("email", customer.Email);
        json.WriteString("invoice_prefix", customer.Id[^8..].ToUpperInvariant());
        json.WriteStartObject("invoice_settings");
        Nulls(json, "custom_fields");
        Reference(json, "default_payment_method", customer.DefaultMethod, expand, ledger.Methods, Write);
        Nulls(json, "footer", "rendering_options");
        json.WriteEndObject();
        json.WriteBoolean("livemode", false);
        Metadata(json, customer.Metadata);
        json.WriteString("name", customer.Name);
        json.WriteNumber("next_invoice_sequence", 1);
        json.WriteString("phone", customer.Phone);
        json.WriteStartArray("preferred_locales");
        json.WriteEndArray();
        Nulls(json, "shipping");
        json.WriteString("tax_exempt", "none");
        Nulls(json, "test_clock");
        json.WriteEndObject();
    }

    public static void WriteList<T>(Utf8JsonWriter json, string url, IReadOnlyList<T> page, bool more, IReadOnlyList<string> expand, Action<Utf8JsonWriter, T, IReadOnlyList<string>?> write)
    {
        var inside = expand.Where(e => e.StartsWith("data.", StringComparison.Ordinal)).Select(e => e["data.".Length..]).ToList();
        json.WriteStartObject();
        json.WriteString("object", "list");
        json.WriteStartArray("data");
        foreach (var item in page)
            write(json, item, inside);
        json.WriteEndArray();
        json.WriteBoolean("has_more", more);
        json.WriteString("url", url);
        json.WriteEndObject();
    }

    public static string EventBody(string id, string type, long created, string apiVersion, string? requestId, string? idempotencyKey, Action<Utf8JsonWriter> write) => Text(json =>
    {
        json.WriteStartObject();
        json.WriteString("id", id);
        json.WriteString("object", "event");
        json.WriteString("api_version", apiVersion);
        json.WriteNumber("created", created);
        json.WriteStartObject("data");
        json.WritePropertyName("object");
        write(json);
        json.WriteEndObject();
        json.WriteBoolean("livemode", false);
        json.WriteNumber("pending_webhooks", 1);
        json.WriteStartObject("request");
        json.WriteString("id", requestId);
        json.WriteString("idempotency_key", idempotencyKey);
        json.WriteEndObject();
        json.WriteString("type", type);
        json.WriteEndObject();
    });

    public void WriteError(Utf8JsonWriter json, ApiError error)
    {
        json.WriteStartObject();
        if (error.Charge is not null)
            json.WriteString("charge", error.Charge);
        if (error.Code is not null)
        {
            json.WriteString("code", error.Code);
            json.WriteString("doc_url", $"https://stripe.com/docs/error-codes/{error.Code.Replace('_', '-')}");
        }

        if (error.DeclineCode is not null)
            json.WriteString("decline_code", error.DeclineCode);
        json.WriteString("message", error.Message);
        if (error.Param is not null)
            json.WriteString("param", error.Param);
        if (error.Intent is not null)
        {
            json.WritePropertyName("payment_intent");
            Write(json, error.Intent);
        }

        if (ledger.Methods.Find(error.MethodId) is { } method)
        {
            json.WritePropertyName("payment_method");
            Write(json, method);
        }

        json.WriteString("type", error.Type);
        json.WriteEndObject();
    }

    private static void PaidWith(Utf8JsonWriter json, Card card, long amount)
    {
        json.WriteStartObject("payment_method_details");
        json.WriteStartObject("card");
        json.WriteNumber("amount_authorized", amount);
        Nulls(json, "authorization_code");
        json.WriteString("brand", card.Brand);
        Checks(json);
        json.WriteString("country", card.Country);
        json.WriteNumber("exp_month", 8);
        json.WriteNumber("exp_year", 2030);
        Feature(json, "extended_authorization", "disabled");
        json.WriteString("fingerprint", Fingerprint(card));
        json.WriteString("funding", card.Funding);
        Feature(json, "incremental_authorization", "unavailable");
        Nulls(json, "installments");
        json.WriteString("last4", card.Last4);
        Nulls(json, "mandate");
        Feature(json, "multicapture", "unavailable");
        json.WriteString("network", card.Brand);
        json.WriteStartObject("network_token");
        json.WriteBoolean("used", false);
        json.WriteEndObject();
        Nulls(json, "network_transaction_id");
        json.WriteStartObject("overcapture");
        json.WriteNumber("maximum_amount_capturable", amount);
        json.WriteString("status", "unavailable");
        json.WriteEndObject();
        json.WriteString("regulated_status", "unregulated");
        Nulls(json, "three_d_secure", "transaction_link_id", "wallet");
        json.WriteEndObject();
        json.WriteString("type", "card");
        json.WriteEndObject();
    }

    private static void Feature(Utf8JsonWriter json, string name, string status)
    {
        json.WriteStartObject(name);
        json.WriteString("status", status);
        json.WriteEndObject();
    }

    private static void Checks(Utf8JsonWriter json)
    {
        json.WriteStartObject("checks");
        Nulls(json, "address_line1_check", "address_postal_code_check");
        json.WriteString("cvc_check", "pass");
        json.WriteEndObject();
    }

    private static void BillingDetails(Utf8JsonWriter json)
    {
        json.WriteStartObject("billing_details");
        json.WriteStartObject("address");
        Nulls(json, "city", "country", "line1", "line2", "postal_code", "state");
        json.WriteEndObject();
        Nulls(json, "email", "name", "phone", "tax_id");
        json.WriteEndObject();
    }

    private static string Fingerprint(Card card) => $"double{card.Brand}{card.Last4}";

    private static void Nulls(Utf8JsonWriter json, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
            json.WriteNull(name);
    }

    private static void Number(Utf8JsonWriter json, string name, long? value)
    {
        if (value is { } number)
            json.WriteNumber(name, number);
        else
            json.WriteNull(name);
    }

    private static void Metadata(Utf8JsonWriter json, IReadOnlyDictionary<string, string>? metadata)
    {
        json.WriteStartObject("metadata");
        foreach (var (name, value) in metadata ?? new Dictionary<string, string>())
            json.WriteString(name, value);
        json.WriteEndObject();
    }

    private static void Reference<T>(
        Utf8JsonWriter json, string name, string? id, IReadOnlyList<string>? expand, Shelf<T> shelf, Action<Utf8JsonWriter, T, IReadOnlyList<string>?> write) where T : class, IObject
    {
        if (id is null)
        {
            json.WriteNull(name);
        }
        else if (expand is { Count: > 0 } && expand.Any(e => e == name || e.StartsWith(name + ".", StringComparison.Ordinal)))
        {
            json.WritePropertyName(name);
            write(json, shelf[id], expand.Where(e => e.StartsWith(name + ".", StringComparison.Ordinal)).Select(e => e[(name.Length + 1)..]).ToList());
        }
        else
        {
            json.WriteString(name, id);
        }
    }
}
