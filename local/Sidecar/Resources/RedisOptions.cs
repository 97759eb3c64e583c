using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using StackExchange.Redis;

namespace Marketplace.Local.Sidecar.Resources;

/// <summary>The metadata that every Redis component shares, as options of the client.</summary>
public static class RedisOptions
{
    public static ConfigurationOptions Of(Component component)
    {
        var options = new ConfigurationOptions
        {
            AbortOnConnectFail = true,
            ConnectTimeout = (int)component.Duration("dialTimeout", TimeSpan.FromSeconds(5)).TotalMilliseconds,
            AsyncTimeout = 10_000,
            User = component.Get("redisUsername"),
            Password = component.Get("redisPassword"),
            Ssl = component.Bool("enableTLS"),
            ClientName = "sidecar",
        };
        var port = component.Int("redisPort");
        foreach (var address in component.Require("redisHost").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var given = address.Contains(':', StringComparison.Ordinal);
            if (given && port is not null && !address.EndsWith($":{port}", StringComparison.Ordinal)) throw component.Error("redisPort", $"is {port}, but redisHost already says {address}.");
            options.EndPoints.Add(given ? address : $"{address}:{port ?? 6379}");
        }

        if (options.Ssl) Secure(options, component);
        if (component.Bool("failover")) options.ServiceName = component.Require("sentinelMasterName");
        return options;
    }

    private static void Secure(ConfigurationOptions options, Component component)
    {
        var trusting = component.Bool("insecureSkipTLSVerify");
        var (certificate, key) = (component.Get("clientCert"), component.Get("clientKey"));
        if ((certificate is null) != (key is null)) throw component.Error(certificate is null ? "clientKey" : "clientCert", "clientCert and clientKey belong together.");
        X509Certificate2? own;
        try
        {
            own = certificate is null ? null : X509Certificate2.CreateFromPem(certificate, key);
        }
        catch (CryptographicException e)
        {
            throw component.Error("clientCert", $"cannot be read as PEM: {e.Message}");
        }

        options.SslClientAuthenticationOptions = host => new SslClientAuthenticationOptions
        {
            TargetHost = host,
            ClientCertificates = own is null ? null : [own],
            RemoteCertificateValidationCallback = (_, _, _, problems) => trusting || problems == SslPolicyErrors.None,
        };
    }
}
