namespace Marketplace.Local.Provider;

/// <summary>A refusal of the API, in Stripe's own words where they matter to a client: type, code, decline code.</summary>
internal sealed class ApiError(int status, string type, string message) : Exception(message)
{
    public int Status => status;
    public string Type => type;
    public string? Code { get; init; }
    public string? DeclineCode { get; init; }
    public string? Param { get; init; }
    public string? Charge { get; init; }
    public Intent? Intent { get; init; }
    public string? MethodId { get; init; }

    /// <summary>Refused before anything was tried: a repeat with the same key is judged anew.</summary>
    public bool Unkept { get; init; }

    public static ApiError Invalid(string message, string? param = null, string? code = null) =>
        new(400, "invalid_request_error", message) { Param = param, Code = code, Unkept = true };

    public static ApiError Missing(string kind, string id, string param = "id") =>
        new(404, "invalid_request_error", $"No such {kind}: '{id}'") { Param = param, Code = "resource_missing" };

    public static ApiError State(Intent intent, string message) =>
        new(400, "invalid_request_error", message) { Code = "payment_intent_unexpected_state", Intent = intent };

    public static ApiError Declined(Decline decline, Intent? intent, string? charge, string methodId) =>
        new(402, "card_error", decline.Message) { Code = decline.Code, DeclineCode = decline.DeclineCode, Intent = intent, Charge = charge, MethodId = methodId };

    public static ApiError Fault() =>
        new(500, "api_error", "An unknown error occurred.");
}
