namespace Marketplace.Catalog.Listings;

/// <summary>
/// Text of sellers is kept as it was typed, markup and all; who shows it escapes it. Only what no person types is refused: PostgreSQL
/// cannot store a NUL, and a title has no second line.
/// </summary>
public static class PlainText
{
    public const string OneLineOnly = "This must be text on one line, without control characters.";
    public const string NoControls = "This must be plain text, without control characters.";

    public static bool IsOneLine(string text) => !text.Any(char.IsControl);

    public static bool IsPlain(string text) => !text.Any(letter => char.IsControl(letter) && letter is not ('\n' or '\r' or '\t'));
}
