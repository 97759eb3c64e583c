namespace Marketplace.Payments.Methods;

/// <summary>Card data never reaches the system. What looks like it is refused unread: not stored, not logged, not sent on.</summary>
public static class CardNumbers
{
    /// <summary>Twelve to nineteen digits, whatever stands between them.</summary>
    public static bool LooksLikeOne(string? text)
    {
        if (text is null || text.Any(char.IsAsciiLetter))
            return false;                                            // provider tokens and our ids have letters
        return text.Count(char.IsAsciiDigit) is >= 12 and <= 19;
    }
}
