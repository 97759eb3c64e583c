using System.Diagnostics.CodeAnalysis;

namespace Marketplace.Identity.Accounts;

/// <summary>
/// An address as the key of an account: trimmed, lower case. Dots and plus parts are kept apart: only some providers ignore them, and
/// merging two people is worse than letting one person have two accounts.
/// </summary>
public readonly record struct EmailAddress
{
    public const int Longest = 254;

    private readonly string? value;

    private EmailAddress(string value) => this.value = value;

    /// <summary>Empty for an address that could not be read: nobody has an account under it.</summary>
    public string Value => value ?? "";

    public static EmailAddress Parse(string text) => TryParse(text, out var email) ? email : throw new FormatException($"'{text}' is not an e-mail address.");

    public static bool TryParse([NotNullWhen(true)] string? text, out EmailAddress email)
    {
        email = default;
        var trimmed = text?.Trim();
        if (trimmed is null or { Length: < 3 or > Longest })
            return false;

        var at = trimmed.IndexOf('@');
        if (at is < 1 or > 64 || at == trimmed.Length - 1 || trimmed.IndexOf('@', at + 1) >= 0)
            return false;
        if (trimmed.Any(letter => char.IsWhiteSpace(letter) || char.IsControl(letter) || letter is '<' or '>' or ',' or ';' or '"'))
            return false;

        var domain = trimmed.AsSpan(at + 1);
        if (domain[0] == '.' || domain[^1] == '.' || domain.Contains("..", StringComparison.Ordinal))
            return false;

        email = new(trimmed.ToLowerInvariant());
        return true;
    }

    public override string ToString() => Value;
}
