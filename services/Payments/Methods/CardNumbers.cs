namespace Marketplace.Payments.Methods;

/// <summary>Card data never reaches the system. What looks like it is refused unread: not stored, not logged, not sent on.</summary>
public static class CardNumbers
{
    /// <summary>
    /// Twelve to nineteen digits and nothing but separators, or, hidden in other text, as many with the check digit of a card. Our own ids are digits and
    /// dashes for the most part, so they are told apart first.
    /// </summary>
    public static bool LooksLikeOne(string? text)
    {
        if (string.IsNullOrEmpty(text) || Guid.TryParse(text, out _))
            return false;
        var hidden = text.Any(char.IsAsciiLetter);
        Span<int> run = stackalloc int[19];
        var length = 0;
        foreach (var c in text.Length > 512 ? text[..512] : text)
        {
            if (char.IsAsciiDigit(c))
            {
                if (length == run.Length)
                {
                    run[1..].CopyTo(run);                            // longer than any card: slide along
                    length--;
                }

                run[length++] = c - '0';
                if (hidden && length >= 13 && HasCheckDigit(run[..length]))
                    return true;
            }
            else if (c is not (' ' or '-' or '.'))
            {
                length = 0;
            }
        }

        return !hidden && text.Count(char.IsAsciiDigit) is >= 12 and <= 19;
    }

    private static bool HasCheckDigit(ReadOnlySpan<int> digits)
    {
        var sum = 0;
        for (var i = 0; i < digits.Length; i++)
        {
            var digit = digits[^(i + 1)];
            sum += i % 2 == 0 ? digit : digit > 4 ? digit * 2 - 9 : digit * 2;
        }

        return sum % 10 == 0;
    }
}
