using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace Marketplace.Hosting;

public static class Neighbour
{
    /// <summary>
    /// A typed client that calls another app through this app's sidecar. Retries belong to resiliency.yaml or the workflow, not here.
    /// </summary>
    public static IHttpClientBuilder AddNeighbour<TClient>(this IServiceCollection services, string appId)
        where TClient : class =>
        services.AddHttpClient<TClient>((provider, client) =>
            {
                var configuration = provider.GetRequiredService<IConfiguration>();
                client.BaseAddress = new Uri(configuration[$"Neighbours:{appId}"] is { Length: > 0 } direct
                    ? direct.TrimEnd('/') + "/"
                    : $"{Sidecar.HttpAddress(configuration)}/v1.0/invoke/{appId}/method/");
                client.Timeout = TimeSpan.FromSeconds(5);
                Sidecar.AddToken(client, configuration);
            })
            .ConfigurePrimaryHttpMessageHandler(() => new SocketsHttpHandler
            {
                ConnectTimeout = TimeSpan.FromSeconds(2),
                PooledConnectionLifetime = TimeSpan.FromMinutes(5),
                UseCookies = false,
                AllowAutoRedirect = false,
                UseProxy = false,
            })
            .SetHandlerLifetime(Timeout.InfiniteTimeSpan)       // the pool above already renews its connections
            .RemoveAllLoggers();                                // four lines per call otherwise, with addresses in them
}

internal static class Sidecar
{
    public static string HttpAddress(IConfiguration configuration) =>
        configuration["DAPR_HTTP_ENDPOINT"] is { Length: > 0 } endpoint
            ? new Uri(endpoint).GetLeftPart(UriPartial.Authority)
            : $"http://127.0.0.1:{configuration["DAPR_HTTP_PORT"] ?? "3500"}";

    /// <summary>What a sidecar asks of its app when DAPR_API_TOKEN is set; it does not pass it on.</summary>
    public static void AddToken(HttpClient client, IConfiguration configuration)
    {
        if (configuration["DAPR_API_TOKEN"] is { Length: > 0 } token)
            client.DefaultRequestHeaders.Add("dapr-api-token", token);
    }
}
