namespace Marketplace.Identity;

/// <summary>Text that people typed into one line: PostgreSQL cannot store a NUL, and nobody's name holds a line break.</summary>
internal static class PlainText
{
    public const string Pattern = @"^[^\x00-\x1F\x7F]*[^\x00-\x20\x7F][^\x00-\x1F\x7F]*$";
    public const string Message = "The field {0} must be text on one line.";
}
