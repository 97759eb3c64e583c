namespace Marketplace.Gateway.Routes;

/// <summary>
/// Nearly all that comes is a read that is the same for everybody, by nobody in particular, and is answered from memory. Middlewares that would
/// find nothing to do for it cost more than the answer: a scope of services for each, a handler to see that there is no token, a dictionary to
/// note that they were passed.
/// </summary>
internal static class Asks
{
    public static bool FromAnotherOrigin(HttpContext http) => http.Request.Headers.Origin.Count > 0;

    public static bool WithAToken(HttpContext http) => http.Request.Headers.Authorization.Count > 0;

    /// <summary>Also what is not on the list: what else is mapped here says for itself who may have it.</summary>
    public static bool ForWhatIsNotForEverybody(HttpContext http) => http.GetEndpoint()?.Metadata.GetMetadata<PublicRoute>()?.Access is not (Access.Shared or Access.Open or Access.Webhook);

    /// <summary>Like UseWhen, which the framework does not look into when it asks whether a middleware was put in by hand: it would put it before all others.</summary>
    public static void UseWhere(this WebApplication app, Func<HttpContext, bool> condition, Action<IApplicationBuilder> middlewares)
    {
        app.UseWhen(condition, branch =>
        {
            middlewares(branch);
            foreach (var (name, value) in branch.Properties.Where(known => known.Key.EndsWith("MiddlewareSet", StringComparison.Ordinal)))
                ((IApplicationBuilder)app).Properties[name] = value;
        });
    }
}
