using System.ComponentModel.DataAnnotations;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Claims;
using System.Text;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;
using Xunit;
using Ok = Microsoft.AspNetCore.Http.HttpResults.Ok;

namespace Marketplace.Hosting.Tests;

public sealed record LampLit(Guid LampId, int Lit) : DomainEvent
{
    public const string Topic = "lamp.lit";
}

public sealed record Turn([property: Range(1, 99)] int Times, string Reason, Knob? Knob = null);

public sealed record Knob([property: Required] string Colour);

/// <summary>The smallest service there is: lamps that are lit, in this process and on a real database.</summary>
public sealed class SampleApp : IAsyncDisposable
{
    private const long HeldBy = 1300;
    private readonly WebApplication app;

    private SampleApp(WebApplication app, string connectionString) => (this.app, ConnectionString) = (app, connectionString);

    public string ConnectionString { get; }

    public IServiceProvider Services => app.Services;

    public Task StopAsync() => app.StopAsync();

    /// <summary>Until this is disposed of, turns whose reason is "held" stand amid their work.</summary>
    public async Task<IAsyncDisposable> HoldTurnsAsync()
    {
        // A connection outside the pool: the lock ends with it.
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(ConnectionString) { Pooling = false }.ConnectionString);
        await connection.OpenAsync();
        await using var hold = new NpgsqlCommand("SELECT pg_advisory_lock($1)", connection) { Parameters = { new() { Value = HeldBy } } };
        await hold.ExecuteNonQueryAsync();
        return connection;
    }

    public NpgsqlDataSource Database => app.Services.GetRequiredService<NpgsqlDataSource>();

    public static async Task<SampleApp> StartAsync(
        string? connectionString = null, Dictionary<string, string?>? settings = null, Action<IServiceCollection>? services = null, Action<WebApplication>? routes = null)
    {
        connectionString ??= await TestDatabase.CreateAsync(typeof(SampleApp).Assembly);
        var builder = WebApplication.CreateBuilder();
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["APP_ID"] = "sample",
            ["APP_API_TOKEN"] = "test-token",
            ["Auth:Jwks"] = TestTokens.Jwks,
            ["ConnectionStrings:lamps"] = connectionString,
            ["Health:Sidecar"] = "false",
            ["Outbox:Publish"] = "false",
        });
        builder.Configuration.AddInMemoryCollection(settings ?? []);
        if (string.IsNullOrEmpty(builder.Configuration["APP_PORT"]))
            builder.WebHost.UseTestServer();
        builder.AddMarketplaceDefaults(database: "lamps");
        builder.Services.AddValidation();
        builder.Logging.ClearProviders();
        services?.Invoke(builder.Services);

        var app = builder.Build();
        Assert.False(await app.MigratedAsync([]));
        app.UseMarketplaceDefaults();
        MapLamps(app);
        routes?.Invoke(app);
        await app.StartAsync();
        return new SampleApp(app, connectionString);
    }

    public HttpClient As(string? token)
    {
        var client = app.GetTestClient();
        if (token is not null)
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return client;
    }

    public HttpClient AsSidecar()
    {
        var client = As(null);
        client.DefaultRequestHeaders.Add("dapr-api-token", "test-token");
        return client;
    }

    /// <summary>Adds events of one lamp in a transaction that commits.</summary>
    public async Task LightAsync(Guid lampId, params int[] lit)
    {
        await using var connection = await Database.OpenConnectionAsync();
        await using var tx = await connection.BeginTransactionAsync();
        await Outbox.AddAsync(tx, [.. lit.Select(number => ((DomainEvent)new LampLit(lampId, number), lampId))], default);
        await tx.CommitAsync();
    }

    public async Task CommandAsync(string lane, Guid lampId, object payload)
    {
        await using var connection = await Database.OpenConnectionAsync();
        await using var tx = await connection.BeginTransactionAsync();
        await Outbox.AddCommandAsync(tx, lane, lampId, payload, default);
        await tx.CommitAsync();
    }

    public async Task<T?> ScalarAsync<T>(string sql, params object[] values)
    {
        await using var command = Database.CreateCommand(sql);
        foreach (var value in values)
            command.Parameters.Add(new() { Value = value });
        return await command.ExecuteScalarAsync() is { } found and not DBNull ? (T)found : default;
    }

    public async ValueTask DisposeAsync()
    {
        await app.StopAsync();
        await app.DisposeAsync();
    }

    public static HttpContent Json(string json) => new StringContent(json, Encoding.UTF8, "application/json");

    public static HttpContent Envelope(object data, string topic, Guid id) => JsonContent.Create(
        new Dictionary<string, object?>
        {
            ["specversion"] = "1.0",
            ["id"] = id,
            ["source"] = "test",
            ["type"] = topic,
            ["topic"] = topic,
            ["pubsubname"] = "pubsub",
            ["datacontenttype"] = "application/json",
            ["data"] = data,
        },
        new MediaTypeHeaderValue("application/cloudevents+json"));

    private static void MapLamps(WebApplication app)
    {
        var lamps = app.MapGroup("/lamps").RequireAuthorization();
        lamps.MapGet("/me", (ClaimsPrincipal user) => new { id = Buyer.Id(user), guest = Buyer.IsGuest(user), email = Buyer.Email(user) });
        lamps.MapPost("/{lampId:guid}/turns", TurnAsync);
        app.MapGet("/seller", (ClaimsPrincipal user) => SellerId.Of(user).Value).RequireAuthorization(Policies.Seller);
        app.MapGet("/account", () => "ok").RequireAuthorization(Policies.Account);
        app.MapGet("/buyer", () => "ok").RequireAuthorization(Policies.Buyer);
        app.MapGet("/operator", () => "ok").RequireAuthorization(Policies.Operator);
        app.MapPost("/turns", (Turn turn) => turn);
        app.MapGet("/search", (int? count, bool? lit, decimal? price, Guid[] lamp) => lamp.Length);
        app.MapGet("/broken", string () => throw new InvalidOperationException("secret details"));
        app.MapGet("/away", string () => throw new HttpRequestException("Connection refused (10.0.0.7:5432)"));
        app.MapGet("/kept", async (string text, NpgsqlDataSource database) =>
        {
            await using var keep = database.CreateCommand("SELECT $1::text");
            keep.Parameters.Add(new() { Value = text });
            return (string)(await keep.ExecuteScalarAsync())!;
        });
        app.MapGet("/status/{status:int}", (int status) => TypedResults.StatusCode(status));
        app.MapInternal("/internal/lamps").MapGet("/", () => "lamps");
        app.MapInternal("/internal/keys", "ordering").MapGet("/", () => "keys");
        app.MapGet("/library/lamps", () => "lamps").RequireAppToken();
        app.MapGet("/library/health", () => "well").AllowAnonymous().RequireAppToken();
        app.MapEvent(LampLit.Topic, OnLampLitAsync);
    }

    private static async Task<IResult> TurnAsync(Guid lampId, Turn turn, HttpContext http, Idempotency idempotency, CancellationToken ct)
    {
        await using var once = await idempotency.BeginAsync(http, turn, ct);
        if (once.Answer is { } answer)
            return answer;

        await using var light = new NpgsqlCommand(
            "INSERT INTO lamps (lamp_id, lit) VALUES ($1, $2) ON CONFLICT (lamp_id) DO UPDATE SET lit = lamps.lit + $2 RETURNING lit", once.Connection, once.Transaction)
        { Parameters = { new() { Value = lampId }, new() { Value = turn.Times } } };
        var lit = (int)(await light.ExecuteScalarAsync(ct))!;
        if (turn.Reason == "held")
        {
            await using var held = new NpgsqlCommand("SELECT pg_advisory_xact_lock_shared($1)", once.Connection, once.Transaction) { Parameters = { new() { Value = HeldBy } } };
            await held.ExecuteNonQueryAsync(ct);
        }

        if (turn.Reason == "refused")
            return Problems.Of(StatusCodes.Status409Conflict, "lamp-refuses", "The lamp refuses.");
        return await once.CommitAsync(StatusCodes.Status202Accepted, new { lampId, lit }, location: $"/lamps/{lampId}", ct);
    }

    private static async Task<Ok> OnLampLitAsync(LampLit lamp, NpgsqlDataSource database, CancellationToken ct)
    {
        if (lamp.Lit == 13)
            throw new InvalidOperationException("Nobody lights lamp 13.");
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        if (await Inbox.FirstTimeAsync(tx, lamp.EventId, ct))
        {
            await using var light = new NpgsqlCommand(
                "INSERT INTO lamps (lamp_id, lit) VALUES ($1, $2) ON CONFLICT (lamp_id) DO UPDATE SET lit = lamps.lit + $2", connection, tx)
            { Parameters = { new() { Value = lamp.LampId }, new() { Value = lamp.Lit } } };
            await light.ExecuteNonQueryAsync(ct);
        }

        await tx.CommitAsync(ct);
        return TypedResults.Ok();
    }
}
