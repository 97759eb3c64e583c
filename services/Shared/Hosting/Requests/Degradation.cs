using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Http;

namespace Marketplace.Hosting;

/// <summary>An answer that had to do without something says so, to whoever reads headers and to whoever watches metrics.</summary>
public sealed class Degradation(IMeterFactory meters)
{
    public const string Header = "X-Degraded";
    public const string MeterName = "Marketplace.Hosting";

    private readonly Counter<long> degraded = meters.Create(MeterName).CreateCounter<long>(
        "marketplace.degraded", "{answer}", "Answers that did without something that is away.");

    /// <param name="missing">What is away: <c>cache</c>, <c>database</c>, <c>search</c>, or another app's id. Several become a comma list.</param>
    public void Tell(HttpContext http, string missing)
    {
        Count(missing);
        // Set last: an answer that turns out to be a refusal has its headers cleared on the way.
        http.Response.OnStarting(
            static state =>
            {
                var (http, missing) = ((HttpContext, string))state;
                var told = http.Response.Headers[Header].ToString();
                if (!told.Split(", ").Contains(missing, StringComparer.Ordinal))
                    http.Response.Headers[Header] = told.Length == 0 ? missing : $"{told}, {missing}";
                return Task.CompletedTask;
            },
            (http, missing));
    }

    /// <summary>For an answer whose header comes from elsewhere.</summary>
    public void Count(string missing) => degraded.Add(1, new KeyValuePair<string, object?>("missing", missing));
}
