using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Marketplace.Hosting;

/// <summary>What every service of the marketplace has in common; nothing here knows one of them.</summary>
public static class MarketplaceDefaults
{
    [MethodImpl(MethodImplOptions.NoInlining)]                  // the caller's assembly is the service: its migrations are in it
    public static WebApplicationBuilder AddMarketplaceDefaults(this WebApplicationBuilder builder, string? database)
    {
        var assembly = Assembly.GetCallingAssembly();
        var services = builder.Services;
        var appId = builder.Configuration["APP_ID"] is { Length: > 0 } id ? id : assembly.GetName().Name!.ToLowerInvariant();
        services.AddSingleton(new MarketplaceApp(appId, database, assembly));
        services.TryAddSingleton(TimeProvider.System);

        Listen(builder);
        LogPlainly(builder.Logging);
        services.Configure<HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromSeconds(25));
        Telemetry.Add(builder, appId);

        services.AddSingleton<IProblemDetailsWriter, ProblemWriter>();
        services.AddProblemDetails();
        services.Configure<RouteHandlerOptions>(options => options.ThrowOnBadRequest = true);   // or the reason is lost before we can name it
        services.ConfigureHttpJsonOptions(options =>
        {
            options.SerializerOptions.RespectNullableAnnotations = true;
            options.SerializerOptions.TypeInfoResolver = (options.SerializerOptions.TypeInfoResolver ?? new DefaultJsonTypeInfoResolver())
                .WithAddedModifier(RequireWhatCannotBeNull);
        });

        services.AddHttpClient(SigningKeys.HttpClientName, (provider, client) =>
        {
            var configuration = provider.GetRequiredService<IConfiguration>();
            client.BaseAddress = new Uri(Sidecar.HttpAddress(configuration) + "/");
            client.Timeout = TimeSpan.FromSeconds(5);
            Sidecar.AddToken(client, configuration);
        }).RemoveAllLoggers();
        services.AddSingleton<SigningKeys>();
        services.AddSingleton<TokenCheck>();
        services.AddSingleton(provider => new TokenReader(provider.GetRequiredService<TokenCheck>()));
        services.AddAuthentication(TokenSignIn.SchemeName).AddScheme<AuthenticationSchemeOptions, TokenSignIn>(TokenSignIn.SchemeName, null);
        services.AddAuthorizationBuilder()
            .AddPolicy(Policies.Buyer, policy => policy.RequireRole(Roles.Buyer, Roles.Guest))
            .AddPolicy(Policies.Account, policy => policy.RequireAuthenticatedUser().RequireAssertion(context => !Buyer.IsGuest(context.User)))
            .AddPolicy(Policies.Seller, policy => policy.RequireRole(Roles.Seller).RequireAssertion(context => context.User.HasClaim(claim => claim.Type == "seller_id" && Guid.TryParse(claim.Value, out _))))
            .AddPolicy(Policies.Operator, policy => policy.RequireRole(Roles.Operator));

        services.AddDaprClient();
        services.AddSingleton<SecretStore>();
        services.AddSingleton<Degradation>();
        services.AddOpenApi();
        services.AddSingleton<Readiness>();
        services.AddHostedService(provider => provider.GetRequiredService<Readiness>());
        services.AddHttpClient(Readiness.HttpClientName, client => client.Timeout = TimeSpan.FromSeconds(2)).RemoveAllLoggers();

        if (database is not null)
            AddDatabase(services);
        return builder;
    }

    /// <summary>
    /// The verb <c>migrate</c> brings the database up to date and answers true: the run is over. Otherwise the version is checked, and
    /// a database that does not fit stops the start with a message saying what to do.
    /// </summary>
    public static async Task<bool> MigratedAsync(this WebApplication app, string[] args)
    {
        var self = app.Services.GetRequiredService<MarketplaceApp>();
        var migrate = args is ["migrate", ..];
        if (self.Database is null)
            return migrate;

        var ct = app.Lifetime.ApplicationStopping;
        var address = app.Services.GetRequiredService<DatabaseAddress>();
        if (!migrate)
        {
            await address.ResolveAsync(ct);
            await Migrations.CheckAsync(app.Services.GetRequiredService<NpgsqlDataSource>(), self.Assembly, ct);
            return false;
        }

        try
        {
            var applied = await Migrations.ApplyAsync(await address.ResolveAsync(ct), self.Assembly, ct);
            Console.WriteLine(applied.Count == 0 ? $"{self.Database}: up to date" : $"{self.Database}: applied {string.Join(", ", applied)}");
        }
        catch (Exception refused) when (refused is DatabaseNotReadyException or TimeoutException or NpgsqlException)
        {
            await Console.Error.WriteLineAsync($"{self.Database}: {refused.Message}");
            Environment.ExitCode = 1;
        }

        return true;
    }

    public static WebApplication UseMarketplaceDefaults(this WebApplication app)
    {
        app.UseMiddleware<ProblemResponses>();
        app.UseRouting();
        app.UseMiddleware<BodyLimit>();
        app.UseMiddleware<AppTokenCheck>();
        app.UseAuthentication();
        app.UseAuthorization();
        app.UseWhen(http => !http.Request.Path.StartsWithSegments(DeadLetterRoutes.Path), branch => branch.UseCloudEvents());  // kept whole there

        app.MapSubscribeHandler();
        app.MapOpenApi().AllowAnonymous();
        app.MapReadiness();
        if (app.Services.GetRequiredService<MarketplaceApp>().Database is not null)
        {
            app.MapDeadLetters();
            app.MapOutbox();
        }

        return app;
    }

    private static void AddDatabase(IServiceCollection services)
    {
        services.AddSingleton<DatabaseAddress>();
        services.AddSingleton(provider => provider.GetRequiredService<DatabaseAddress>().CreateDataSource());
        services.AddSingleton<OutboxSignal>();
        services.AddSingleton<Idempotency>();
        services.AddOptions<OutboxOptions>().BindConfiguration("Outbox").ValidateDataAnnotations().ValidateOnStart();
        services.AddHostedService<OutboxRelay>();
        services.AddHostedService<Housekeeping>();
    }

    // Under Dapr the port is given by the sidecar; `--urls` (or ASPNETCORE_URLS) still wins, and without either ASP.NET's default applies.
    private static void Listen(WebApplicationBuilder builder)
    {
        if (builder.Configuration["APP_PORT"] is { Length: > 0 } port && string.IsNullOrEmpty(builder.Configuration[WebHostDefaults.ServerUrlsKey]))
            builder.WebHost.UseUrls($"http://127.0.0.1:{port}");
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = ProblemResponses.LargestBody;
        });
    }

    private static void LogPlainly(ILoggingBuilder logging)
    {
        logging.ClearProviders();
        logging.AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.TimestampFormat = "HH:mm:ss.fff ";
            console.UseUtcTimestamp = true;
            console.ColorBehavior = Microsoft.Extensions.Logging.Console.LoggerColorBehavior.Disabled;
        });
        logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning);
        logging.AddFilter(typeof(TokenSignIn).FullName, LogLevel.Warning);      // a missing token is the client's business
        logging.AddFilter("System.Net.Http", LogLevel.Warning);
        logging.AddFilter("Npgsql", LogLevel.Warning);
    }

    // A record's parameter that cannot be null and has no default must be in the body; else the handler would meet the null.
    private static void RequireWhatCannotBeNull(JsonTypeInfo type)
    {
        foreach (var property in type.Properties)
        {
            if (property is { IsRequired: false, AssociatedParameter: { IsNullable: false, HasDefaultValue: false } } && !property.PropertyType.IsValueType)
                property.IsRequired = true;
        }
    }
}
