using System.Diagnostics;

namespace Marketplace.Gateway;

/// <summary>Our own sidecar, through which every service is reached.</summary>
public sealed class Sidecar
{
    private readonly string address;

    public Sidecar(IConfiguration configuration)
    {
        address = configuration["DAPR_HTTP_ENDPOINT"] is { Length: > 0 } endpoint
            ? new Uri(endpoint).GetLeftPart(UriPartial.Authority)
            : $"http://127.0.0.1:{configuration["DAPR_HTTP_PORT"] ?? "3500"}";
        ApiToken = configuration["DAPR_API_TOKEN"] is { Length: > 0 } token ? token : null;
        Http = new(Pool());
        ForStorms = new(Pool());
    }

    public HttpMessageInvoker Http { get; }

    /// <summary>Connections of their own, so that what comes by the ten thousand shares none with what comes every day.</summary>
    public HttpMessageInvoker ForStorms { get; }

    public string? ApiToken { get; }

    /// <summary>What stands before a service's own path.</summary>
    public string PrefixOf(string app) => $"{address}/v1.0/invoke/{app}/method";

    private static SocketsHttpHandler Pool() => new()
    {
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = false,
        ConnectTimeout = TimeSpan.FromSeconds(2),
        PooledConnectionLifetime = TimeSpan.FromMinutes(10),
        EnableMultipleHttp2Connections = false,
        ActivityHeadersPropagator = new TraceOnly(),
    };
}

/// <summary>The framework passes on a trace's baggage as well: what a client wrote there would reach every service, and on a shared read in another's name.</summary>
internal sealed class TraceOnly : DistributedContextPropagator
{
    private static readonly DistributedContextPropagator Whole = CreateDefaultPropagator();

    public override IReadOnlyCollection<string> Fields { get; } = ["traceparent"];

    public override void Inject(Activity? activity, object? carrier, PropagatorSetterCallback? setter) => Whole.Inject(activity, carrier, (to, name, value) =>
    {
        if (name == "traceparent")
            setter?.Invoke(to, name, value);
    });

    public override void ExtractTraceIdAndState(object? carrier, PropagatorGetterCallback? getter, out string? traceId, out string? traceState) =>
        Whole.ExtractTraceIdAndState(carrier, getter, out traceId, out traceState);

    public override IEnumerable<KeyValuePair<string, string?>>? ExtractBaggage(object? carrier, PropagatorGetterCallback? getter) => null;
}
