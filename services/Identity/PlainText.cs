namespace Marketplace.Identity;

/// <summary>Text that people typed: PostgreSQL cannot store a NUL, and nobody's name holds a line break.</summary>
internal static class PlainText
{
    public const string Pattern = @"^[^\x00-\x1F\x7F]*[^\x00-\x20\x7F][^\x00-\x1F\x7F]*$";
    public const string Message = "The field {0} must be text on one line.";

    public const string ManyLines = @"^[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F]*\z";
    public const string ManyLinesMessage = "The field {0} must be plain text.";
}
