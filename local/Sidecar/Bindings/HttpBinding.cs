using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.Local.Sidecar.RunFile;

namespace Marketplace.Local.Sidecar.Bindings;

/// <summary>bindings.http: a request to somebody else's server. Metadata that begins with a capital letter are headers.</summary>
internal sealed class HttpBinding : BindingComponent
{
    private const long DefaultMostBytes = 100 << 20;

    private readonly HttpMessageInvoker client;
    private readonly string url;
    private readonly TimeSpan? responseTimeout;
    private readonly bool errorIfNot2XX;
    private readonly long mostBytes;
    private readonly (string Header, string Token)? security;

    public HttpBinding(Component component)
        : base(component)
    {
        url = component.Require("url");
        if (!Uri.TryCreate(url, UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https")) throw component.Error("url", $"is no http address: {url}.");
        responseTimeout = component.Get("responseTimeout") is null ? null : component.Duration("responseTimeout", default);
        errorIfNot2XX = component.Bool("errorIfNot2XX", otherwise: true);
        mostBytes = component.Get("maxResponseBodySize") is not { } size ? DefaultMostBytes
            : Quantity.TryParse(size, out var bytes) ? bytes
            : throw component.Error("maxResponseBodySize", $"must be a size such as 100Mi or 4194304, not {size}.");
        security = component.Get("securityToken") is { } token && component.Get("securityTokenHeader") is { } header ? (header, token) : null;
        client = new HttpMessageInvoker(new SocketsHttpHandler
        {
            UseCookies = false,
            ConnectTimeout = TimeSpan.FromSeconds(15),
            ActivityHeadersPropagator = null,
            SslOptions = Tls(component),
        });
    }

    public override IReadOnlyList<string> Operations { get; } = ["create", "get", "head", "post", "put", "patch", "delete", "options", "trace"];

    public override async Task<BindingReply> InvokeAsync(BindingCall call, CancellationToken ct)
    {
        using var request = Request(call);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        if (responseTimeout is { } timeout) limit.CancelAfter(timeout);
        try
        {
            using var response = await client.SendAsync(request, limit.Token);
            var metadata = new Dictionary<string, string>
            {
                ["statusCode"] = ((int)response.StatusCode).ToString(CultureInfo.InvariantCulture),
                ["status"] = $"{(int)response.StatusCode} {response.ReasonPhrase}",
            };
            foreach (var (name, values) in response.Headers.Concat(response.Content.Headers))
                metadata[name] = string.Join(", ", values);
            var body = await ReadAsync(response.Content, limit.Token);
            var isError = call.Get("errorIfNot2XX") is { } wish ? IsTrue(wish) : errorIfNot2XX;
            if (isError && !response.IsSuccessStatusCode) throw new BindingException($"received status code {(int)response.StatusCode}", metadata);
            return new BindingReply(body, metadata);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            throw new BindingException($"{request.Method} \"{request.RequestUri}\": context deadline exceeded");
        }
    }

    public override ValueTask DisposeAsync()
    {
        client.Dispose();
        return base.DisposeAsync();
    }

    private HttpRequestMessage Request(BindingCall call)
    {
        var path = call.Metadata.GetValueOrDefault("path");
        var request = new HttpRequestMessage(
            new HttpMethod(call.Operation == "create" ? "POST" : call.Operation.ToUpperInvariant()),
            string.IsNullOrEmpty(path) ? url : $"{url.TrimEnd('/')}/{path.TrimStart('/')}");
        if (call.Operation is "create" or "post" or "put" or "patch")
        {
            request.Content = new ReadOnlyMemoryContent(call.Data);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json", "utf-8");
        }

        request.Headers.TryAddWithoutValidation("Accept", "application/json; charset=utf-8");
        if (security is { } given) Set(request, given.Header, given.Token);
        foreach (var (name, value) in call.Metadata)
        {
            if (name is [>= 'A' and <= 'Z', ..] or "traceparent" or "tracestate" or "baggage") Set(request, name, value);
        }

        return request;
    }

    private static void Set(HttpRequestMessage request, string name, string value)
    {
        HttpHeaders? headers = name.StartsWith("Content-", StringComparison.OrdinalIgnoreCase) || name.ToUpperInvariant() is "ALLOW" or "EXPIRES" or "LAST-MODIFIED" ? request.Content?.Headers : request.Headers;
        headers?.Remove(name);
        headers?.TryAddWithoutValidation(name, value);
    }

    /// <summary>What is longer than allowed is cut off.</summary>
    private async Task<byte[]> ReadAsync(HttpContent content, CancellationToken ct)
    {
        if (mostBytes <= 0) return await content.ReadAsByteArrayAsync(ct);
        await using var stream = await content.ReadAsStreamAsync(ct);
        using var body = new MemoryStream();
        var buffer = new byte[16 << 10];
        while (body.Length < mostBytes && await stream.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, mostBytes - body.Length)), ct) is > 0 and var count)
            body.Write(buffer, 0, count);
        return body.ToArray();
    }

    private static SslClientAuthenticationOptions Tls(Component component)
    {
        var tls = new SslClientAuthenticationOptions();
        if (component.Get("mtlsRootCA") is { } root)
        {
            tls.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            tls.CertificateChainPolicy.CustomTrustStore.ImportFromPem(Pem(component, "mtlsRootCA", root));
        }

        if (component.Get("mtlsClientCert") is { } certificate && component.Get("mtlsClientKey") is { } key)
            tls.ClientCertificates = [X509Certificate2.CreateFromPem(Pem(component, "mtlsClientCert", certificate), Pem(component, "mtlsClientKey", key))];
        return tls;
    }

    /// <summary>The text itself, or the file it names.</summary>
    private static string Pem(Component component, string name, string value)
    {
        if (value.Contains("-----BEGIN", StringComparison.Ordinal)) return value;
        return File.Exists(value) ? File.ReadAllText(value) : throw component.Error(name, "is neither PEM nor the path of a file.");
    }

    private static bool IsTrue(string text) => text.Trim().ToUpperInvariant() is "Y" or "YES" or "TRUE" or "T" or "ON" or "1";
}
