using System.Buffers;

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

    /// <summary>The whole body in an array of its own; the size limit of the app's sidecar is in force.</summary>
    public static async ValueTask<byte[]> BodyAsync(this HttpContext http)
    {
        if (http.Request.ContentLength == 0) return [];
        var reader = http.Request.BodyReader;
        while (true)
        {
            var result = await reader.ReadAsync(http.RequestAborted);
            if (result.IsCompleted)
            {
                var bytes = result.Buffer.ToArray();
                reader.AdvanceTo(result.Buffer.End);
                return bytes;
            }

            reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        }
    }
}
