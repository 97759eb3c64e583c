using Marketplace.Gateway.Routes;
using Microsoft.Extensions.Options;

namespace Marketplace.Gateway.FlashSales;

public static class QueueEndpoints
{
    private const string Queue = "/api/v1/flash-sales/{saleId:guid}/queue";

    public static void AddFlashSales(this IServiceCollection services)
    {
        services.AddOptions<FlashSaleOptions>().BindConfiguration("FlashSales").ValidateOnStart();
        services.AddSingleton<IValidateOptions<FlashSaleOptions>, FlashSaleOptionsValidator>();
        services.AddSingleton<TicketDesk>();
        services.AddHostedService(provider => provider.GetRequiredService<TicketDesk>());
        services.AddSingleton<AdmissionBoard>();
        services.AddSingleton<EarlyRefusals>();
        services.AddSingleton<Bulkheads>();
        services.AddSingleton<QueuePolls>();
        services.AddSingleton<QueueStreams>();
    }

    /// <summary>What is answered here; the rest is passed on as the list of routes says.</summary>
    public static void MapQueues(this WebApplication app)
    {
        RequestDelegate poll = app.Services.GetRequiredService<QueuePolls>().AnswerAsync;
        RequestDelegate stream = app.Services.GetRequiredService<QueueStreams>().StreamAsync;
        app.MapGet(Queue, poll).WithMetadata(new PublicRoute("gateway", "GET", Queue, Access.Open, Rate.Polls)).AllowAnonymous();
        app.MapGet($"{Queue}/events", stream).WithMetadata(new PublicRoute("gateway", "GET", $"{Queue}/events", Access.Open, Rate.Polls)).AllowAnonymous();
    }

    /// <summary>A call of a storm: refused at once where it cannot succeed, then one of so many at a time.</summary>
    public static RequestDelegate InStorm(this IServiceProvider services, PublicRoute route, RequestDelegate forward)
    {
        if (route.Storm is not { } storm)
            return forward;
        var early = services.GetRequiredService<EarlyRefusals>();
        var bounded = services.GetRequiredService<Bulkheads>().Within(storm, forward);
        return (route.Method, storm) switch
        {
            ("POST", Storm.Claims) => early.BeforeClaim(bounded),
            ("POST", Storm.Joins) => early.BeforeJoin(bounded),
            _ => bounded,
        };
    }
}
