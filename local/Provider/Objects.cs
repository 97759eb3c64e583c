using System.Text.Json.Serialization;

namespace Marketplace.Local.Provider;

/// <summary>What the journal keeps of each object: the facts, from which <see cref="Shapes"/> makes what the API shows.</summary>
internal interface IObject
{
    string Id { get; }

    long Created { get; }
}

internal static class Status
{
    public const string RequiresPaymentMethod = "requires_payment_method";
    public const string RequiresConfirmation = "requires_confirmation";
    public const string RequiresAction = "requires_action";
    public const string Succeeded = "succeeded";
    public const string Canceled = "canceled";
    public const string Failed = "failed";
}

internal sealed record Intent(string Id, long Created, long Amount, string Currency) : IObject
{
    public required string Secret { get; init; }
    public string Status { get; init; } = Provider.Status.RequiresPaymentMethod;
    public long AmountReceived { get; init; }
    public string? Customer { get; init; }
    public string? PaymentMethod { get; init; }
    public string? LatestCharge { get; init; }

    /// <summary>The charge whose decline is the last payment error.</summary>
    public string? FailedCharge { get; init; }
    public long? CanceledAt { get; init; }
    public string? CancellationReason { get; init; }
    public string? Description { get; init; }
    public string? ReceiptEmail { get; init; }
    public string? SetupFutureUsage { get; init; }
    public string? ReturnUrl { get; init; }
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }
}

internal sealed record Charge(string Id, long Created, long Amount, string Currency, string Intent, string PaymentMethod) : IObject
{
    public required string Transaction { get; init; }
    public string? Customer { get; init; }
    public string? FailureCode { get; init; }
    public string? DeclineCode { get; init; }
    public string? FailureMessage { get; init; }
    public long AmountRefunded { get; init; }
    public string? Description { get; init; }
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }

    [JsonIgnore]
    public bool Paid => FailureCode is null;
}

internal sealed record Refund(string Id, long Created, long Amount, string Currency, string Charge, string Intent, string Transaction) : IObject
{
    public string? Reason { get; init; }
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }
}

internal sealed record Method(string Id, long Created, string Card) : IObject
{
    public string? Customer { get; init; }
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }
}

internal sealed record Customer(string Id, long Created) : IObject
{
    public string? Email { get; init; }
    public string? Name { get; init; }
    public string? Description { get; init; }
    public string? Phone { get; init; }
    public string? DefaultMethod { get; init; }
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }
}

/// <summary>An event with the object as it was then, ready to be sent.</summary>
internal sealed record Happening(string Id, long Created, string Type, string Body) : IObject;

/// <summary>The answer that a key will get again.</summary>
internal sealed record Answered(string Key, string Path, string Fingerprint, int Status, string Body, string RequestId, long At);

/// <summary>One line of the journal: all that one request changed, so that it is there wholly or not at all.</summary>
internal sealed class Change
{
    public List<Intent>? Intents { get; set; }
    public List<Charge>? Charges { get; set; }
    public List<Refund>? Refunds { get; set; }
    public List<Method>? Methods { get; set; }
    public List<Customer>? Customers { get; set; }
    public List<Happening>? Events { get; set; }
    public Answered? Answer { get; set; }

    /// <summary>The webhook was answered with 2xx.</summary>
    public string? Delivered { get; set; }
}

[JsonSourceGenerationOptions(DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(Change))]
internal sealed partial class JournalJson : JsonSerializerContext;
