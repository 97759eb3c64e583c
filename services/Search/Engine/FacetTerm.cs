namespace Marketplace.Search.Engine;

/// <summary>A facet's value as it stands in the index: dimension, value to compare by, label to show.</summary>
internal static class FacetTerm
{
    private const char Between = '\u001f';
    private const int LongestValue = 100;

    public static string Alike(string value) => Cut(value).ToLowerInvariant();

    public static string Of(string dimension, string value, string? label = null) => $"{dimension}{Between}{Alike(value)}{Between}{Cut(label ?? value)}";

    public static (string Dimension, string Value, string Label) Read(string term) => term.Split(Between) is [var dimension, var value, var label]
        ? (dimension, value, label)
        : throw new InvalidDataException("A facet in the index has another shape.");

    private static string Cut(string value)
    {
        var plain = value.Replace(Between, ' ').Trim();
        return plain.Length <= LongestValue ? plain : plain[..LongestValue];
    }
}
