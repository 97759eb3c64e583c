using Marketplace.FlashSales.Clients;
using Marketplace.Hosting;

namespace Marketplace.FlashSales.Claims;

public static class ClaimServices
{
    public static void AddClaims(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<ClaimOptions>().BindConfiguration("Claims").ValidateDataAnnotations().ValidateOnStart();
        services.AddNeighbour<IOrderingClient>("ordering");
        services.AddSingleton<ClaimMeter>();
        services.AddSingleton<ClaimStore>();
        services.AddSingleton<IShards, ActorShards>();
        services.AddSingleton<ClaimGate>();
        services.AddSingleton<ClaimDesk>();
        services.AddSingleton<Farewells>().AddHostedService(provider => provider.GetRequiredService<Farewells>());
        services.AddSingleton<Outcomes>();
        services.AddSingleton<ClaimSweep>().AddHostedService(provider => provider.GetRequiredService<ClaimSweep>());
        services.AddActors(actors =>
        {
            actors.HttpEndpoint = configuration["DAPR_HTTP_ENDPOINT"] is { Length: > 0 } endpoint ? endpoint : $"http://127.0.0.1:{configuration["DAPR_HTTP_PORT"] ?? "3500"}";
            if (configuration["DAPR_API_TOKEN"] is { Length: > 0 } token) actors.DaprApiToken = token;
            actors.JsonSerializerOptions = ActorJson.Options;
            actors.ActorIdleTimeout = TimeSpan.FromMinutes(10);
            actors.Actors.RegisterActor<FlashSaleActor>();
        });
    }

    public static void MapClaims(this WebApplication app)
    {
        app.MapActorsHandlers().RequireAppToken();
        app.MapClaimRoutes();
        app.MapOrderOutcomes();
    }
}
