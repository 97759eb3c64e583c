using System.Net.Sockets;
using System.Reflection;
using System.Text.Json;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Refit;

namespace Marketplace.Hosting;

public static class Neighbour
{
    private static readonly RefitSettings Settings = new()
    {
        ContentSerializer = new SomethingSaid(),

        // As HttpClient's own helpers fail, so that a neighbour that is away looks the same everywhere.
        ExceptionFactory = reply => new ValueTask<Exception?>(reply.IsSuccessStatusCode
            ? null
            : new HttpRequestException($"{reply.RequestMessage?.RequestUri?.AbsolutePath} answered {(int)reply.StatusCode}.", null, reply.StatusCode)),
        // A peer that goes away between accepting and being asked for its address: HttpClient lets the bare SocketException out.
        TransportExceptionFactory = (_, fault, _) => fault is SocketException ? new HttpRequestException(fault.Message, fault) : fault,
        DeserializationExceptionFactory = (reply, fault) => new ValueTask<Exception?>(
            new HttpRequestException($"{reply.RequestMessage?.RequestUri?.AbsolutePath} answered what cannot be read: {fault.Message}", fault)),
    };

    /// <summary>
    /// Calls another app through this app's sidecar: <typeparamref name="TClient"/> is a Refit interface of its routes. What is no success throws
    /// <see cref="HttpRequestException"/> with the status. Retries belong to
    /// resiliency.yaml or the workflow, not here.
    /// </summary>
    public static IHttpClientBuilder AddNeighbour<TClient>(this IServiceCollection services, string appId)
        where TClient : class =>
        services.AddHttpClient(typeof(TClient).FullName!, (provider, client) =>
            {
                var configuration = provider.GetRequiredService<IConfiguration>();
                client.BaseAddress = new Uri(configuration[$"Neighbours:{appId}"] is { Length: > 0 } direct
                    ? direct.TrimEnd('/')
                    : $"{Sidecar.HttpAddress(configuration)}/v1.0/invoke/{appId}/method");
                client.Timeout = TimeSpan.FromSeconds(5);
                Sidecar.AddToken(client, configuration);
            })
            .AddTypedClient(client => RestService.For<TClient>(client, Settings))
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

/// <summary>JSON as everywhere, but an answer of <c>null</c> is no answer: nobody looks for it behind a method that promises a record.</summary>
internal sealed class SomethingSaid : IHttpContentSerializer
{
    private readonly SystemTextJsonContentSerializer json = new(JsonSerializerOptions.Web);

    public HttpContent ToHttpContent<T>(T item) => json.ToHttpContent(item);

    public async Task<T?> FromHttpContentAsync<T>(HttpContent content, CancellationToken cancellationToken = default) =>
        await json.FromHttpContentAsync<T>(content, cancellationToken) ?? throw new JsonException("it is null");

    public string? GetFieldNameForProperty(PropertyInfo propertyInfo) => json.GetFieldNameForProperty(propertyInfo);
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
