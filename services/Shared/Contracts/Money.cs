namespace Marketplace.Contracts;

/// <summary>An amount in the smallest unit of its ISO 4217 currency (pence for GBP). On the wire: <c>{"minor":1299,"currency":"GBP"}</c>.</summary>
public readonly record struct Money(long Minor, string Currency)
{
    public static Money Gbp(long minor) => new(minor, "GBP");

    public static Money operator +(Money left, Money right) => left.Currency == right.Currency
        ? left with { Minor = checked(left.Minor + right.Minor) }
        : throw new InvalidOperationException($"Cannot add {right.Currency} to {left.Currency}.");

    public static Money operator *(Money unit, int quantity) => unit with { Minor = checked(unit.Minor * quantity) };
}
