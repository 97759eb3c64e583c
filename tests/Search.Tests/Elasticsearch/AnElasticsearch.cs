using DotNet.Testcontainers.Builders;
using Xunit;

namespace Marketplace.Search.Tests.Elasticsearch;

/// <summary>
/// A real Elasticsearch: the one ELASTICSEARCH_URL names, else a container, one for the test process. Without either the same tests run
/// against the stand-in, and <see cref="WhereElasticsearchRuns"/> says so.
/// </summary>
internal static class RealElasticsearch
{
    public const string WhyNot = "There is neither a Docker to run Elasticsearch in nor an ELASTICSEARCH_URL that names one: its tests ran against the stand-in.";
    private const int Port = 9200;
    private static readonly Lazy<Task<string?>> Found = new(FindAsync);

    /// <summary>Null when there is none.</summary>
    public static Task<string?> AddressAsync() => Found.Value;

    private static async Task<string?> FindAsync()
    {
        if (Environment.GetEnvironmentVariable("ELASTICSEARCH_URL") is { Length: > 0 } given)
            return given.TrimEnd('/');
        if (!File.Exists("/var/run/docker.sock") && Environment.GetEnvironmentVariable("DOCKER_HOST") is null)
            return null;

        // Testcontainers' own reaper removes it after the process.
        var container = new ContainerBuilder("elasticsearch:9.2.0")
            .WithEnvironment("discovery.type", "single-node")
            .WithEnvironment("xpack.security.enabled", "false")
            .WithEnvironment("ES_JAVA_OPTS", "-Xms512m -Xmx512m")
            .WithPortBinding(Port, assignRandomHostPort: true)
            .WithWaitStrategy(Wait.ForUnixContainer().UntilHttpRequestIsSucceeded(request => request.ForPort(Port).ForPath("/_cluster/health?wait_for_status=yellow")))
            .Build();
        await container.StartAsync();
        return $"http://{container.Hostname}:{container.GetMappedPublicPort(Port)}";
    }
}

/// <summary>Indices of a test's own, in the real one or in a stand-in.</summary>
internal sealed class AnElasticsearch : IAsyncDisposable
{
    private readonly StandIn? standIn;
    private readonly string address;
    private readonly string index = $"t{Guid.NewGuid():N}";

    private AnElasticsearch(string address, StandIn? standIn) => (this.address, this.standIn) = (address, standIn);

    public (string Key, string Value)[] Settings =>
        [("Secrets:elasticsearch-url", address), ("Search:Elasticsearch:Index", index), ("Search:Elasticsearch:WritePatience", "00:00:05"), ("Search:Elasticsearch:SearchTimeout", "00:00:30")];

    public static async Task<AnElasticsearch> OfOnesOwnAsync()
    {
        if (await RealElasticsearch.AddressAsync() is { } real)
            return new AnElasticsearch(real, null);

        var standIn = await StandIn.StartAsync();
        return new AnElasticsearch(standIn.Address, standIn);
    }

    public async ValueTask DisposeAsync()
    {
        if (standIn is not null)
        {
            await standIn.DisposeAsync();
            return;
        }

        using var http = new HttpClient();
        foreach (var name in (await http.GetStringAsync(new Uri($"{address}/_cat/indices/{index}-*?h=index"))).Split('\n', StringSplitOptions.RemoveEmptyEntries))
            (await http.DeleteAsync(new Uri($"{address}/{name.Trim()}"))).EnsureSuccessStatusCode();
    }
}

public sealed class WhereElasticsearchRuns
{
    [Fact]
    public async Task What_both_engines_must_do_is_asked_of_a_real_Elasticsearch()
    {
        if (await RealElasticsearch.AddressAsync() is not { } address)
        {
            Assert.Skip(RealElasticsearch.WhyNot);
            return;
        }

        using var http = new HttpClient();
        Assert.Contains("You Know, for Search", await http.GetStringAsync(new Uri(address)), StringComparison.Ordinal);
    }
}
