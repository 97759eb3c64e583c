namespace Marketplace.Gateway.Caching;

internal static class Queries
{
    /// <summary>
    /// The parameters of a query by name, so that their order makes no other answer of it. Those of one name keep theirs, and nothing is decoded: what
    /// a service gets says what the client's said.
    /// </summary>
    public static string InOrder(string query)
    {
        if (query.Length <= 1)
            return "";
        if (!query.Contains('&', StringComparison.Ordinal))
            return query;
        var parameters = query[1..].Split('&', StringSplitOptions.RemoveEmptyEntries);
        return "?" + string.Join('&', parameters.OrderBy(Name, StringComparer.Ordinal));

        static string Name(string parameter) => parameter.IndexOf('=', StringComparison.Ordinal) is >= 0 and var end ? parameter[..end] : parameter;
    }
}
