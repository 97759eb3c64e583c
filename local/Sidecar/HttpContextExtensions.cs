namespace Marketplace.Local.Sidecar;

internal static class HttpContextExtensions
{
    /// <summary>A path parameter. The router leaves an encoded slash as it is and knows no plus; daprd decodes both.</summary>
    public static string RouteText(this HttpContext http, string name)
    {
        var text = (string?)http.GetRouteValue(name) ?? "";
        return text.AsSpan().ContainsAny('%', '+')
            ? text.Replace('+', ' ').Replace("%2F", "/", StringComparison.OrdinalIgnoreCase)
            : text;
    }

    /// <summary>What the query says about a request: parameters named <c>metadata.x</c> become x.</summary>
    public static Dictionary<string, string> QueryMetadata(this HttpContext http)
    {
        var metadata = new Dictionary<string, string>();
        if (!http.Request.QueryString.HasValue) return metadata;
        foreach (var (name, value) in http.Request.Query)
        {
            if (name.StartsWith("metadata.", StringComparison.Ordinal)) metadata[name["metadata.".Length..]] = value.ToString();
        }

        return metadata;
    }
}
