using System.Globalization;
using Elastic.Clients.Elasticsearch;
using Elastic.Clients.Elasticsearch.IndexManagement;
using Elastic.Transport;
using Elastic.Transport.Products.Elasticsearch;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>Elasticsearch does not answer, or says it cannot now. Whoever asked is told to come again (503).</summary>
public sealed class ElasticsearchAwayException(string message, Exception? inner = null) : HttpRequestException(message, inner);

/// <summary>The client, and what its answers mean: an answer, somebody else's trouble, or a fault of ours.</summary>
internal sealed class ElasticsearchConnection : IDisposable
{
    private readonly ElasticsearchClientSettings settings;
    private volatile bool answers = true;

    public ElasticsearchConnection(Uri address, AuthorizationHeader? credentials, ElasticsearchOptions options)
    {
        var plain = new UriBuilder(address) { UserName = "", Password = "" }.Uri;
        settings = new ElasticsearchClientSettings(plain).RequestTimeout(options.SearchTimeout).DisablePing().MaximumRetries(0).EnableHttpCompression(false);
        if (credentials is not null)
            settings.Authentication(credentials);
        if (!string.IsNullOrEmpty(options.CertificateFingerprint))
            settings.CertificateFingerprint(options.CertificateFingerprint);
        Client = new ElasticsearchClient(settings);
        (Address, Options) = (plain.GetLeftPart(UriPartial.Authority), options);
    }

    public ElasticsearchClient Client { get; }

    public ElasticsearchOptions Options { get; }

    /// <summary>Without credentials.</summary>
    public string Address { get; }

    /// <summary>As of the last request.</summary>
    public bool Answers
    {
        get => answers;
        set => answers = value;
    }

    public static AuthorizationHeader? CredentialsIn(Uri address) => address.UserInfo.Split(':', 2) is [{ Length: > 0 } user, var password]
        ? new BasicAuthentication(Uri.UnescapeDataString(user), Uri.UnescapeDataString(password))
        : null;

    public static bool IsTransient(int? status) => status is null or 429 or 502 or 503 or 504;

    /// <exception cref="ElasticsearchAwayException">It may well work in a moment.</exception>
    /// <exception cref="InvalidOperationException">It will not.</exception>
    public TResponse Checked<TResponse>(TResponse response)
        where TResponse : ElasticsearchResponse
    {
        var call = response.ApiCallDetails;
        answers = call.HttpStatusCode is { } status && !IsTransient(status);
        if (response.IsValidResponse)
            return response;

        var why = response.ElasticsearchServerError?.Error?.Reason ?? call.OriginalException?.Message ?? "no reason given";
        if (IsTransient(call.HttpStatusCode) && (call.HttpStatusCode is not null || call.OriginalException is not null))
            throw new ElasticsearchAwayException($"Elasticsearch at {Address} does not answer ({call.HttpStatusCode?.ToString(CultureInfo.InvariantCulture) ?? "no connection"}: {why}).");
        throw new InvalidOperationException($"Elasticsearch refused {call.HttpMethod} {call.Uri?.AbsolutePath} with {call.HttpStatusCode}: {why}");
    }

    /// <summary>All indices of ours, whether they serve or are left over.</summary>
    public async Task<IReadOnlyList<KnownIndex>> IndicesAsync(CancellationToken ct)
    {
        var all = Checked(await Client.Indices.GetAsync(new GetIndexRequest($"{Options.Index}-*"), ct));
        return [.. all.Indices
            .Select(index => (Name: index.Key, Number: ProductIndex.NumberOf(Options.Index, index.Key), State: index.Value))
            .Where(index => index.Number is not null)
            .Select(index => new KnownIndex(
                index.Name,
                index.Number!.Value,
                index.State.Aliases?.ContainsKey(Options.Index) == true,
                (index.State.Settings?.Index?.Blocks ?? index.State.Settings?.Blocks)?.Write == true,
                index.State.Mappings?.Meta?.ToDictionary(entry => entry.Key, entry => $"{entry.Value}", StringComparer.Ordinal) ?? []))
            .OrderBy(index => index.Number)];
    }

    public void Dispose() => ((IDisposable)settings).Dispose();
}

/// <param name="Serving">Behind the alias.</param>
/// <param name="Blocked">Takes no writes: a rebuild is handing over to the next one.</param>
internal sealed record KnownIndex(string Name, long Number, bool Serving, bool Blocked, IReadOnlyDictionary<string, string> Meta)
{
    public bool Filled => Meta.GetValueOrDefault(ProductIndex.FilledKey) == "yes" && Meta.GetValueOrDefault(ProductIndex.FormatKey) == ProductIndex.Format;

    public string? RebuiltBy => Meta.GetValueOrDefault(ProductIndex.RebuiltByKey);

    /// <summary>When the rebuild that fills it was last heard of.</summary>
    public DateTimeOffset RebuiltAt => long.TryParse(Meta.GetValueOrDefault(ProductIndex.RebuiltAtKey), out var at) ? DateTimeOffset.FromUnixTimeMilliseconds(at) : DateTimeOffset.MinValue;
}
