using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace Marketplace.TestKit;

/// <summary>
/// The service's real <c>Program</c> on a real database. Replaced are only the sidecar's side of things: neighbours answer what the test
/// announces, tokens come from <see cref="TestTokens"/>, events stay in the outbox table, where the test reads them.
/// <code>
/// await using var catalog = await ServiceUnderTest&lt;Program&gt;.StartAsync("catalog");
/// var seller = catalog.As(TestTokens.Seller(id, sellerId));
/// </code>
/// </summary>
public sealed class ServiceUnderTest<TProgram> : WebApplicationFactory<TProgram>
    where TProgram : class
{
    public const string AppToken = "test-token";
    private readonly Dictionary<string, string?> settings;
    private readonly Action<IServiceCollection>? replace;
    private readonly Dictionary<string, FakeNeighbour> neighbours;

    private ServiceUnderTest(Dictionary<string, string?> settings, Action<IServiceCollection>? replace, Dictionary<string, FakeNeighbour> neighbours, string? connectionString)
    {
        (this.settings, this.replace, this.neighbours) = (settings, replace, neighbours);
        ConnectionString = connectionString;
    }

    public string? ConnectionString { get; }

    public NpgsqlDataSource Database => Services.GetRequiredService<NpgsqlDataSource>();

    /// <param name="database">The name given to AddMarketplaceDefaults; null for a service without one.</param>
    /// <param name="calls">App ids of the neighbours this service calls; see <see cref="Neighbour"/>.</param>
    /// <param name="replace">Services to put in place of the real ones: a clock, a client of the outside world.</param>
    /// <param name="connectionString">An existing database, to start a second replica or to start again.</param>
    public static async Task<ServiceUnderTest<TProgram>> StartAsync(
        string? database = null,
        IReadOnlyList<string>? calls = null,
        IReadOnlyDictionary<string, string?>? settings = null,
        Action<IServiceCollection>? replace = null,
        string? connectionString = null)
    {
        var all = new Dictionary<string, string?>
        {
            ["Auth:Jwks"] = TestTokens.Jwks,
            ["APP_API_TOKEN"] = AppToken,
            ["Outbox:Publish"] = "false",
            ["Health:Sidecar"] = "false",
            ["Logging:LogLevel:Default"] = "Warning",
            ["Logging:LogLevel:Microsoft.Hosting.Lifetime"] = "Warning",
            ["Logging:LogLevel:Microsoft.AspNetCore.Routing"] = "Error",     // the test server cannot limit bodies and says so on each request
        };

        var neighbours = new Dictionary<string, FakeNeighbour>();
        foreach (var appId in calls ?? [])
        {
            neighbours[appId] = await FakeNeighbour.StartAsync();
            all[$"Neighbours:{appId}"] = neighbours[appId].Address.ToString();
        }

        if (database is not null)
        {
            connectionString ??= await TestDatabase.CreateAsync<TProgram>();
            all[$"ConnectionStrings:{database}"] = connectionString;
        }

        foreach (var (key, value) in settings ?? new Dictionary<string, string?>())
            all[key] = value;

        var service = new ServiceUnderTest<TProgram>(all, replace, neighbours, connectionString);
        _ = service.Server;                                     // starts it
        return service;
    }

    public FakeNeighbour Neighbour(string appId) => neighbours[appId];

    /// <summary>A client with this access token, or nobody's.</summary>
    public HttpClient As(string? token)
    {
        var client = CreateClient(new WebApplicationFactoryClientOptions { AllowAutoRedirect = false });
        if (token is not null)
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return client;
    }

    /// <summary>A client as a neighbour's call arrives: with the app token and the caller's name, which the sidecars add.</summary>
    public HttpClient AsNeighbour(string callerAppId = "ordering")
    {
        var client = As(null);
        client.DefaultRequestHeaders.Add("dapr-api-token", AppToken);
        client.DefaultRequestHeaders.Add("dapr-caller-app-id", callerAppId);
        return client;
    }

    /// <summary>Delivers an event as the sidecar does: wrapped in a CloudEvent, to the route that listens to its topic.</summary>
    public async Task<HttpResponseMessage> DeliverAsync<TEvent>(TEvent @event)
        where TEvent : DomainEvent
    {
        var topic = (string)@event.GetType().GetField("Topic")!.GetRawConstantValue()!;
        using var client = AsNeighbour();
        using var envelope = JsonContent.Create(
            new Dictionary<string, object?>
            {
                ["specversion"] = "1.0",
                ["id"] = @event.EventId,
                ["source"] = "test",
                ["type"] = topic,
                ["topic"] = topic,
                ["pubsubname"] = "pubsub",
                ["datacontenttype"] = "application/json",
                ["data"] = JsonSerializer.SerializeToElement(@event, @event.GetType(), JsonSerializerOptions.Web),
            },
            new MediaTypeHeaderValue("application/cloudevents+json"));
        return await client.PostAsync(new Uri($"/events/{topic.Replace('.', '-').Replace('_', '-')}", UriKind.Relative), envelope);
    }

    /// <summary>What the service announced, in the order it did.</summary>
    public async Task<IReadOnlyList<TEvent>> EventsAsync<TEvent>()
        where TEvent : DomainEvent
    {
        var topic = (string)typeof(TEvent).GetField("Topic")!.GetRawConstantValue()!;
        await using var select = Database.CreateCommand("SELECT payload FROM outbox WHERE topic = $1 ORDER BY position");
        select.Parameters.Add(new() { Value = topic });
        await using var reader = await select.ExecuteReaderAsync();
        var events = new List<TEvent>();
        while (await reader.ReadAsync())
            events.Add(JsonSerializer.Deserialize<TEvent>(reader.GetString(0), JsonSerializerOptions.Web)!);
        return events;
    }

    public async Task<T?> ScalarAsync<T>(string sql, params object[] values)
    {
        await using var command = Database.CreateCommand(sql);
        foreach (var value in values)
            command.Parameters.Add(new() { Value = value });
        return await command.ExecuteScalarAsync() is { } found and not DBNull ? (T)found : default;
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        foreach (var neighbour in neighbours.Values)
            await neighbour.DisposeAsync();
    }

    protected override void ConfigureWebHost(IWebHostBuilder builder)
    {
        foreach (var (key, value) in settings)
            builder.UseSetting(key, value);
        builder.UseContentRoot(ContentRoot());
        builder.ConfigureTestServices(services => replace?.Invoke(services));
    }

    // appsettings.json lies beside the service's sources.
    private static string ContentRoot()
    {
        var name = typeof(TProgram).Assembly.GetName().Name!;
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Marketplace.sln")) && Path.Combine(folder.FullName, "services", name) is var service && Directory.Exists(service))
                return service;
        }

        return AppContext.BaseDirectory;
    }
}
