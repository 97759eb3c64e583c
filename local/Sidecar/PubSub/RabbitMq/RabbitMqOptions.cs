using System.Globalization;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Marketplace.Local.Sidecar.Resources;
using RabbitMQ.Client;

namespace Marketplace.Local.Sidecar.PubSub.RabbitMq;

/// <summary>
/// The metadata of a pubsub.rabbitmq component, with daprd's names and defaults (components-contrib, pubsub/rabbitmq). Several of those defaults lose events: messages are not
/// on disk (deliveryMode 0), a publish does not wait for the broker (publisherConfirm), and a queue goes with its last listener (deletedWhenUnused). Our own sets change them.
/// </summary>
internal sealed class RabbitMqOptions
{
    public RabbitMqOptions(Component component)
    {
        ConnectionString = component.Get("connectionString") ?? component.Get("host");
        Durable = component.Bool("durable", true);
        EnableDeadLetter = component.Bool("enableDeadLetter");
        DeletedWhenUnused = component.Bool("deletedWhenUnused", true);
        AutoAck = component.Bool("autoAck");
        RequeueInFailure = component.Bool("requeueInFailure");
        Persistent = Between(component, "deliveryMode", 2) == 2;
        PrefetchCount = (ushort)Between(component, "prefetchCount", 255);
        ReconnectWait = component.Duration("reconnectWaitSeconds", TimeSpan.FromSeconds(3));
        MaxLen = component.Int("maxLen", 0);
        MaxLenBytes = component.Int("maxLenBytes", 0);
        ExchangeKind = component.Get("exchangeKind") ?? "fanout";
        if (ExchangeKind is not ("fanout" or "topic" or "direct" or "headers")) throw component.Error("exchangeKind", $"must be fanout, topic, direct or headers, not {ExchangeKind}.");
        PublisherConfirm = component.Bool("publisherConfirm");
        OneAtATime = component.Get("concurrencyMode") switch
        {
            null or "parallel" => false,
            "single" => true,
            var other => throw component.Error("concurrencyMode", $"must be parallel or single, not {other}."),
        };
        TimeToLive = component.Get("ttlInSeconds") is null ? null : component.Duration("ttlInSeconds", TimeSpan.Zero);
        PropertiesToMetadata = component.Bool("publishMessagePropertiesToMetadata");
        Factory = FactoryOf(component);
    }

    public ConnectionFactory Factory { get; }
    public bool Durable { get; }
    public bool EnableDeadLetter { get; }
    public bool DeletedWhenUnused { get; }
    public bool AutoAck { get; }
    public bool RequeueInFailure { get; }
    public bool Persistent { get; }
    public ushort PrefetchCount { get; }
    public TimeSpan ReconnectWait { get; }
    public int MaxLen { get; }
    public int MaxLenBytes { get; }
    public string ExchangeKind { get; }
    public bool PublisherConfirm { get; }
    public bool OneAtATime { get; }
    public TimeSpan? TimeToLive { get; }
    public bool PropertiesToMetadata { get; }
    private string? ConnectionString { get; }

    private static int Between(Component component, string name, int most) =>
        component.Int(name, 0) is >= 0 and var number && number <= most ? number : throw component.Error(name, $"must be between 0 and {most}, not {component.Get(name)}.");

    private ConnectionFactory FactoryOf(Component component)
    {
        var protocol = component.Get("protocol");
        if (protocol is not (null or "amqp" or "amqps")) throw component.Error("protocol", $"must be amqp or amqps, not {protocol}.");
        Uri? url;
        if (ConnectionString is not null)
        {
            if (!Uri.TryCreate(ConnectionString, UriKind.Absolute, out url) || url.Scheme is not ("amqp" or "amqps") || url.Host.Length == 0)
                throw component.Error("connectionString", "must have the form amqp://user:password@host:port/.");   // without its text: there is a password in it
            if (protocol is not null && protocol != url.Scheme) throw component.Error("protocol", $"is {protocol}, but the connection string says {url.Scheme}.");
        }
        else
        {
            var login = (component.Get("username"), component.Get("password")) switch
            {
                ({ } user, { } password) => $"{Uri.EscapeDataString(user)}:{Uri.EscapeDataString(password)}@",
                ({ } user, null) => $"{Uri.EscapeDataString(user)}@",
                _ => "",
            };
            var host = component.Get("hostname") ?? "localhost";
            if (!Uri.TryCreate($"{protocol ?? "amqp"}://{login}{host}", UriKind.Absolute, out url)) throw component.Error("hostname", $"is no host name: {host}.");
        }

        var factory = new ConnectionFactory
        {
            Uri = url,
            ClientProvidedName = component.Get("clientName"),
            RequestedHeartbeat = component.Duration("heartBeat", TimeSpan.FromSeconds(10)),
            RequestedConnectionTimeout = TimeSpan.FromSeconds(10),

            // Exchanges, queues and consumers are declared anew by those who use them; the client's own recovery would do it a second time.
            AutomaticRecoveryEnabled = false,
            TopologyRecoveryEnabled = false,
        };
        if (url.Scheme == "amqps") Secure(factory, component);
        else if (component.Bool("saslExternal")) throw component.Error("saslExternal", "needs amqps and caCert, clientCert and clientKey.");
        return factory;
    }

    private static void Secure(ConnectionFactory factory, Component component)
    {
        factory.Ssl.Enabled = true;
        factory.Ssl.ServerName = factory.HostName;
        var (certificate, key) = (component.Get("clientCert"), component.Get("clientKey"));
        if ((certificate is null) != (key is null)) throw component.Error(certificate is null ? "clientKey" : "clientCert", "clientCert and clientKey belong together.");
        if (certificate is not null) factory.Ssl.Certs = [Read("clientCert", () => X509Certificate2.CreateFromPem(certificate, key))];
        if (component.Get("caCert") is { } authority)
        {
            var root = Read("caCert", () => X509Certificate2.CreateFromPem(authority));
            factory.Ssl.CertificateValidationCallback = (_, presented, chain, errors) => Trusted(root, presented, chain, errors);
        }

        if (!component.Bool("saslExternal")) return;
        if (certificate is null || component.Get("caCert") is null) throw component.Error("saslExternal", "needs caCert, clientCert and clientKey.");
        factory.AuthMechanisms = [new ExternalMechanismFactory()];

        X509Certificate2 Read(string name, Func<X509Certificate2> read)
        {
            try
            {
                return read();
            }
            catch (CryptographicException e)
            {
                throw component.Error(name, $"is no PEM text of a certificate: {e.Message}");
            }
        }
    }

    private static bool Trusted(X509Certificate2 root, X509Certificate? presented, X509Chain? chain, SslPolicyErrors errors)
    {
        if (presented is null || chain is null || (errors & ~SslPolicyErrors.RemoteCertificateChainErrors) != 0) return false;
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.Add(root);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        using var copy = X509CertificateLoader.LoadCertificate(presented.GetRawCertData());
        return chain.Build(copy);
    }

    /// <summary>Address without password, for messages.</summary>
    public string Address => string.Create(CultureInfo.InvariantCulture, $"{Factory.HostName}:{Factory.Port}");
}
