using System.Security.Cryptography;
using System.Text.Json;

namespace Marketplace.Local.Provider;

/// <summary>One call, parsed. <see cref="Segments"/> is the path below <c>/v1/</c>.</summary>
internal sealed record Call(string Verb, string Path, string[] Segments, Form Form, string ApiVersion, string RequestId, string? Key);

internal sealed record Reply(int Status, string Body)
{
    public string? ReplayOf { get; init; }
}

/// <summary>What each call does. Runs under the ledger's gate, so that a call sees and leaves a consistent state.</summary>
internal sealed class Api(Ledger ledger, Shapes shapes, IReadOnlySet<string> wanted, TimeProvider time)
{
    private const string IdLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    /// <summary>Answers the call and notes what it changed in <paramref name="change"/>; nothing is kept when it throws without a change.</summary>
    public string Answer(Call call, Change change)
    {
        var s = call.Segments;
        return (call.Verb, s.Length, s[0], s.Length > 2 ? s[2] : "") switch
        {
            ("POST", 1, "payment_intents", _) => CreateIntent(call, change),
            ("GET", 1, "payment_intents", _) => ListIntents(call),
            ("GET", 2, "payment_intents", _) => Show(call, IntentOf(s[1]), shapes.Write),
            ("POST", 3, "payment_intents", "confirm") => ConfirmIntent(call, IntentOf(s[1]), change),
            ("POST", 3, "payment_intents", "cancel") => CancelIntent(call, IntentOf(s[1]), change),
            ("GET", 1, "charges", _) => ListCharges(call),
            ("GET", 2, "charges", _) => Show(call, ledger.Charges.Find(s[1]) ?? throw ApiError.Missing("charge", s[1]), shapes.Write),
            ("POST", 1, "refunds", _) => CreateRefund(call, change),
            ("GET", 1, "refunds", _) => ListRefunds(call),
            ("GET", 2, "refunds", _) => Show(call, ledger.Refunds.Find(s[1]) ?? throw ApiError.Missing("refund", s[1]), shapes.Write),
            ("POST", 1, "payment_methods", _) => CreateMethod(call, change),
            ("GET", 1, "payment_methods", _) => ListMethods(call, call.Form["customer"]),
            ("GET", 2, "payment_methods", _) => ShowMethod(call, s[1], change),
            ("POST", 3, "payment_methods", "attach") => Attach(call, s[1], change),
            ("POST", 3, "payment_methods", "detach") => Detach(call, s[1], change),
            ("POST", 1, "customers", _) => CreateCustomer(call, change),
            ("GET", 1, "customers", _) => ListCustomers(call),
            ("GET", 2, "customers", _) => Show(call, CustomerOf(s[1]), shapes.Write),
            ("GET", 3, "customers", "payment_methods") => ListMethods(call, CustomerOf(s[1]).Id),
            _ => throw new ApiError(404, "invalid_request_error", $"Unrecognized request URL ({call.Verb}: {call.Path}).") { Unkept = true },
        };
    }

    private string CreateIntent(Call call, Change change)
    {
        var form = call.Form;
        form.Allow("amount", "currency", "payment_method", "payment_method_types", "automatic_payment_methods", "confirm", "customer", "description", "metadata",
            "receipt_email", "return_url", "setup_future_usage", "off_session", "capture_method", "confirmation_method", "error_on_requires_action", "statement_descriptor_suffix");
        var amount = form.Integer("amount") ?? throw ApiError.Invalid("Missing required param: amount.", "amount", "parameter_missing");
        if (amount < 1)
            throw ApiError.Invalid("This value must be greater than or equal to 1.", "amount", "parameter_invalid_integer");
        if (amount > 99_999_999)
            throw ApiError.Invalid("Amount must be no more than 999,999.99", "amount", "amount_too_large");
        var currency = form.Required("currency").ToLowerInvariant();
        if (currency.Length != 3 || !currency.All(char.IsAsciiLetterLower))
            throw ApiError.Invalid($"Invalid currency: {currency}.", "currency");
        if (form["capture_method"] is "manual")
            throw ApiError.Invalid("The double does not capture manually.", "capture_method");

        var customer = form["customer"] is { } customerId ? CustomerOf(customerId, "customer") : null;
        var method = form["payment_method"] is { } reference ? MethodFor(reference, customer?.Id, change) : null;
        var id = NewId("pi_3");
        var intent = new Intent(id, Now(), amount, currency)
        {
            Secret = $"{id}_secret_{RandomNumberGenerator.GetString(IdLetters, 25)}",
            Status = method is null ? Status.RequiresPaymentMethod : Status.RequiresConfirmation,
            Customer = customer?.Id,
            PaymentMethod = method?.Id,
            Description = form["description"],
            ReceiptEmail = form["receipt_email"],
            SetupFutureUsage = form["setup_future_usage"],
            ReturnUrl = form["return_url"],
            Metadata = form.Metadata(),
        };
        change.Intents = [intent];
        Happened(call, change, "payment_intent.created", intent.Created, json => shapes.Write(json, intent));
        return form.Flag("confirm") ? Charge(call, intent, change) : Shapes.Text(json => shapes.Write(json, intent, form.Expansions));
    }

    private string ConfirmIntent(Call call, Intent intent, Change change)
    {
        call.Form.Allow("payment_method", "return_url", "off_session", "receipt_email", "setup_future_usage", "error_on_requires_action", "use_stripe_sdk");
        if (intent.Status == Status.Succeeded)
            throw ApiError.State(intent, "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.");
        if (intent.Status == Status.Canceled)
            throw ApiError.State(intent, "You cannot confirm this PaymentIntent because it has a status of canceled. Only a PaymentIntent with one of the following statuses may be confirmed: requires_confirmation, requires_action.");
        if (call.Form["payment_method"] is { } reference)
            intent = intent with { PaymentMethod = MethodFor(reference, intent.Customer, change).Id };
        if (intent.PaymentMethod is null)
            throw ApiError.State(intent, "You cannot confirm this PaymentIntent because it's missing a payment method. To confirm this PaymentIntent with a payment method, pass a payment method in the confirm call.");
        return Charge(call, intent, change);
    }

    private string Charge(Call call, Intent intent, Change change)
    {
        if (intent.PaymentMethod is null)
            throw ApiError.Invalid("You must provide a payment method to confirm this PaymentIntent.", "payment_method");
        var method = ledger.Methods.Find(intent.PaymentMethod) ?? change.Methods!.Single(m => m.Id == intent.PaymentMethod);
        var card = Cards.Named(method.Card);
        if (card.RequiresAction)
        {
            var waiting = intent with { Status = Status.RequiresAction };
            change.Intents = [waiting];
            return Written(waiting, change, call.Form);
        }

        var charge = new Charge(NewId("ch_3"), Now(), intent.Amount, intent.Currency, intent.Id, method.Id)
        {
            Transaction = NewId("txn_3"),
            Customer = intent.Customer,
            Description = intent.Description,
            Metadata = intent.Metadata,
            FailureCode = card.Decline?.Code,
            DeclineCode = card.Decline?.DeclineCode,
            FailureMessage = card.Decline?.Message,
        };
        change.Charges = [charge];
        if (card.Decline is { } decline)
        {
            var refused = intent with { Status = Status.RequiresPaymentMethod, PaymentMethod = null, LatestCharge = charge.Id, FailedCharge = charge.Id };
            change.Intents = [refused];
            Peek(change);
            Happened(call, change, "payment_intent.payment_failed", charge.Created, json => shapes.Write(json, refused));
            throw ApiError.Declined(decline, refused, charge.Id, method.Id);
        }

        var paid = intent with { Status = Status.Succeeded, AmountReceived = intent.Amount, LatestCharge = charge.Id, FailedCharge = null };
        change.Intents = [paid];
        Happened(call, change, "payment_intent.succeeded", charge.Created, json => shapes.Write(json, paid));
        return Written(paid, change, call.Form);
    }

    private string CancelIntent(Call call, Intent intent, Change change)
    {
        call.Form.Allow("cancellation_reason");
        var reason = call.Form["cancellation_reason"];
        if (reason is not (null or "duplicate" or "fraudulent" or "requested_by_customer" or "abandoned"))
            throw ApiError.Invalid("Invalid cancellation_reason: must be one of duplicate, fraudulent, requested_by_customer, or abandoned", "cancellation_reason");
        if (intent.Status is Status.Succeeded or Status.Canceled)
            throw ApiError.State(intent, $"You cannot cancel this PaymentIntent because it has a status of {intent.Status}. Only a PaymentIntent with one of the following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, requires_action, processing.");
        var canceled = intent with { Status = Status.Canceled, CanceledAt = Now(), CancellationReason = reason };
        change.Intents = [canceled];
        Happened(call, change, "payment_intent.canceled", canceled.CanceledAt!.Value, json => shapes.Write(json, canceled));
        return Shapes.Text(json => shapes.Write(json, canceled, call.Form.Expansions));
    }

    private string ListIntents(Call call)
    {
        call.Form.Allow("limit", "starting_after", "ending_before", "created", "customer");
        var customer = call.Form["customer"];
        return List(call, ledger.Intents, "payment_intent", i => customer is null || i.Customer == customer, shapes.Write);
    }

    private string ListCharges(Call call)
    {
        call.Form.Allow("limit", "starting_after", "ending_before", "created", "customer", "payment_intent");
        var (customer, intent) = (call.Form["customer"], call.Form["payment_intent"]);
        return List(call, ledger.Charges, "charge", c => (customer is null || c.Customer == customer) && (intent is null || c.Intent == intent), shapes.Write);
    }

    private string CreateRefund(Call call, Change change)
    {
        var form = call.Form;
        form.Allow("payment_intent", "charge", "amount", "reason", "metadata");
        if (form["reason"] is not (null or "duplicate" or "fraudulent" or "requested_by_customer"))
            throw ApiError.Invalid("Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer", "reason");
        var charge = (form["charge"], form["payment_intent"]) switch
        {
            ({ } id, _) => ledger.Charges.Find(id) ?? throw ApiError.Missing("charge", id, "charge"),
            (null, { } id) => ledger.Charges.Find(IntentOf(id, "payment_intent") is { Status: Status.Succeeded } paid ? paid.LatestCharge : null)
                ?? throw new ApiError(400, "invalid_request_error", $"This PaymentIntent ({id}) does not have a successful charge to refund.") { Param = "payment_intent" },
            _ => throw ApiError.Invalid("One of the following params should be provided for this request: payment_intent or charge."),
        };
        if (!charge.Paid)
            throw new ApiError(400, "invalid_request_error", $"Charge {charge.Id} cannot be refunded because it did not succeed.");
        var left = charge.Amount - charge.AmountRefunded;
        if (left == 0)
            throw new ApiError(400, "invalid_request_error", $"Charge {charge.Id} has already been refunded.") { Code = "charge_already_refunded" };
        var amount = form.Integer("amount") ?? left;
        if (amount < 1)
            throw ApiError.Invalid("Invalid positive integer", "amount", "parameter_invalid_integer");
        if (amount > left)
            throw new ApiError(400, "invalid_request_error", $"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})") { Param = "amount" };

        var refund = new Refund(NewId("re_3"), Now(), amount, charge.Currency, charge.Id, charge.Intent, NewId("txn_3")) { Reason = form["reason"], Metadata = form.Metadata() };
        charge = charge with { AmountRefunded = charge.AmountRefunded + amount };
        change.Refunds = [refund];
        change.Charges = [charge];
        Peek(change);
        Happened(call, change, "charge.refunded", refund.Created, json => shapes.Write(json, charge));
        return Shapes.Text(json => shapes.Write(json, refund, form.Expansions));
    }

    private string ListRefunds(Call call)
    {
        call.Form.Allow("limit", "starting_after", "ending_before", "created", "charge", "payment_intent");
        var (charge, intent) = (call.Form["charge"], call.Form["payment_intent"]);
        return List(call, ledger.Refunds, "refund", r => (charge is null || r.Charge == charge) && (intent is null || r.Intent == intent), shapes.Write);
    }

    private string CreateMethod(Call call, Change change)
    {
        call.Form.Allow("type", "card", "metadata");
        if (call.Form.Required("type") != "card")
            throw ApiError.Invalid("The double knows cards only.", "type");
        if (call.Form["card[number]"] is not null)
            throw new ApiError(402, "card_error", "Sending credit card numbers directly to the Stripe API is generally unsafe. Use test tokens instead, like tok_visa.") { Unkept = true };
        var token = call.Form.Required("card[token]");
        var card = Cards.Find(token) ?? throw ApiError.Missing("token", token, "card[token]");
        var method = new Method(NewId("pm_1"), Now(), card.Name) { Metadata = call.Form.Metadata() };
        change.Methods = [method];
        return Shapes.Text(json => shapes.Write(json, method, call.Form.Expansions));
    }

    private string ShowMethod(Call call, string reference, Change change)
    {
        var method = MethodFor(reference, ledger.Methods.Find(reference)?.Customer, change, "payment_method");
        return Shapes.Text(json => shapes.Write(json, method, call.Form.Expansions));
    }

    private string ListMethods(Call call, string? customer)
    {
        call.Form.Allow("limit", "starting_after", "ending_before", "customer", "type");
        if (customer is not null)
            CustomerOf(customer, "customer");
        return List(call, ledger.Methods, "payment_method", m => m.Customer is not null && m.Customer == customer, shapes.Write);
    }

    private string Attach(Call call, string reference, Change change)
    {
        call.Form.Allow("customer");
        var customer = CustomerOf(call.Form.Required("customer"), "customer");
        var method = MethodFor(reference, ledger.Methods.Find(reference)?.Customer, change, "payment_method");
        if (method.Customer is { } owner && owner != customer.Id)
            throw new ApiError(400, "invalid_request_error", "The payment method you provided has already been attached to a customer.");
        var card = Cards.Named(method.Card);
        if (card is { Attachable: false, Decline: { } decline })
            throw ApiError.Declined(decline, null, null, method.Id);
        method = method with { Customer = customer.Id };
        change.Methods = [method];
        return Shapes.Text(json => shapes.Write(json, method, call.Form.Expansions));
    }

    private string Detach(Call call, string id, Change change)
    {
        call.Form.Allow();
        var method = ledger.Methods.Find(id) ?? throw ApiError.Missing("PaymentMethod", id, "payment_method");
        if (method.Customer is null)
            throw new ApiError(400, "invalid_request_error", "The payment method you provided is not attached to a customer so detachment is impossible.");
        method = method with { Customer = null };
        change.Methods = [method];
        return Shapes.Text(json => shapes.Write(json, method, call.Form.Expansions));
    }

    private string CreateCustomer(Call call, Change change)
    {
        var form = call.Form;
        form.Allow("email", "name", "description", "phone", "metadata", "payment_method", "invoice_settings");
        var id = NewId("cus_");
        var method = form["payment_method"] is { } reference ? MethodFor(reference, null, change) with { Customer = id } : null;
        var customer = new Customer(id, Now())
        {
            Email = form["email"],
            Name = form["name"],
            Description = form["description"],
            Phone = form["phone"],
            Metadata = form.Metadata(),
            DefaultMethod = form["invoice_settings[default_payment_method]"] is null ? null : method?.Id,
        };
        change.Customers = [customer];
        if (method is not null)
            change.Methods = [method];
        Peek(change);
        return Shapes.Text(json => shapes.Write(json, customer, form.Expansions));
    }

    private string ListCustomers(Call call)
    {
        call.Form.Allow("limit", "starting_after", "ending_before", "created", "email");
        var email = call.Form["email"];
        return List(call, ledger.Customers, "customer", c => email is null || c.Email == email, shapes.Write);
    }

    /// <summary>A stored method, or a fresh one for the name of a test card: Stripe too makes a new object for each use of <c>pm_card_visa</c>.</summary>
    private Method MethodFor(string reference, string? customer, Change change, string param = "payment_method")
    {
        if (ledger.Methods.Find(reference) is { } method)
        {
            return method.Customer is null || method.Customer == customer
                ? method
                : throw new ApiError(400, "invalid_request_error", "The provided PaymentMethod cannot be used because it belongs to a Customer. Please include the Customer in the `customer` parameter on the PaymentIntent.") { Param = param };
        }

        if (!reference.StartsWith("pm_card_", StringComparison.Ordinal) || Cards.Find(reference) is not { } card)
            throw ApiError.Missing("PaymentMethod", reference, param);
        method = new Method(NewId("pm_1"), Now(), card.Name);
        (change.Methods ??= []).Add(method);
        return method;
    }

    private Intent IntentOf(string id, string param = "intent") => ledger.Intents.Find(id) ?? throw ApiError.Missing("payment_intent", id, param);

    private Customer CustomerOf(string id, string param = "id") => ledger.Customers.Find(id) ?? throw ApiError.Missing("customer", id, param);

    private string Written(Intent intent, Change change, Form form)
    {
        Peek(change);
        return Shapes.Text(json => shapes.Write(json, intent, form.Expansions));
    }

    // The reply is part of the journal line that makes it true, so it is written while the objects it shows are only in the change. Objects are put
    // on their shelves early; the gate is held, and the line follows before anybody else can look.
    private void Peek(Change change)
    {
        ledger.Methods.Put(change.Methods);
        ledger.Charges.Put(change.Charges);
        ledger.Refunds.Put(change.Refunds);
    }

    private static string Show<T>(Call call, T item, Action<Utf8JsonWriter, T, IReadOnlyList<string>?> write)
    {
        call.Form.Allow("client_secret");
        return Shapes.Text(json => write(json, item, call.Form.Expansions));
    }

    private static string List<T>(Call call, Shelf<T> shelf, string kind, Func<T, bool> belongs, Action<Utf8JsonWriter, T, IReadOnlyList<string>?> write) where T : class, IObject
    {
        var form = call.Form;
        var limit = form.Integer("limit") ?? 10;
        if (limit is < 1 or > 100)
            throw ApiError.Invalid("Limit must be between 1 and 100.", "limit", "parameter_invalid_integer");
        var (gte, gt, lte, lt, at) = (form.Integer("created[gte]"), form.Integer("created[gt]"), form.Integer("created[lte]"), form.Integer("created[lt]"), form.Integer("created"));
        bool Matches(T item) => belongs(item) && !(item.Created < gte) && !(item.Created <= gt) && !(item.Created > lte) && !(item.Created >= lt) && !(at is not null && item.Created != at);

        int PlaceOf(string name, string id) => shelf.PlaceOf(id) ?? throw ApiError.Missing(kind, id, name);
        var page = new List<T>();
        var more = false;
        if (form["ending_before"] is { } before)
        {
            for (var place = PlaceOf("ending_before", before) + 1; place < shelf.All.Count && !more; place++)
                Take(shelf.All[place]);
            page.Reverse();
        }
        else
        {
            var last = form["starting_after"] is { } after ? PlaceOf("starting_after", after) : shelf.All.Count;
            for (var place = last - 1; place >= 0 && !more; place--)
                Take(shelf.All[place]);
        }

        return Shapes.Text(json => Shapes.WriteList(json, call.Path, page, more, form.Expansions, write));

        void Take(T item)
        {
            if (!Matches(item))
                return;
            if (page.Count == limit)
                more = true;
            else
                page.Add(item);
        }
    }

    private void Happened(Call call, Change change, string type, long at, Action<Utf8JsonWriter> write)
    {
        if (!wanted.Contains(type))
            return;
        var id = NewId("evt_3");
        (change.Events ??= []).Add(new Happening(id, at, type, Shapes.EventBody(id, type, at, call.ApiVersion, call.RequestId, call.Key, write)));
    }

    private long Now() => time.GetUtcNow().ToUnixTimeSeconds();

    private static string NewId(string prefix) => prefix + RandomNumberGenerator.GetString(IdLetters, 23);
}
