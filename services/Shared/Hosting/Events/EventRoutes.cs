using Dapr;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Marketplace.Hosting;

public static class EventRoutes
{
    /// <summary>
    /// Subscribes to a topic. Only the sidecar may deliver. The handler's parameters bind as in any route: the event's record is the
    /// body. A body that cannot be read at all is dropped to the dead letters at once, everything thrown is retried first.
    /// </summary>
    public static RouteHandlerBuilder MapEvent(this IEndpointRouteBuilder routes, string topic, Delegate handler)
    {
        var app = routes.ServiceProvider.GetRequiredService<MarketplaceApp>();
        return routes.MapPost($"/events/{topic.Replace('.', '-').Replace('_', '-')}", handler)
            .WithTopic(new TopicOptions { PubsubName = PubSub.Name, Name = topic, DeadLetterTopic = app.DeadLetterTopic })
            .WithMetadata(new AppTokenRequired([]), new EventHandlerOf(topic))
            .AllowAnonymous()
            .ExcludeFromDescription();
    }
}

internal sealed record EventHandlerOf(string Topic);

/// <summary>Answers to a delivery besides plain success: see "Delivery and answers" of Dapr's pub/sub.</summary>
public static class Delivery
{
    /// <summary>This event can never succeed: keep it as a dead letter without further tries.</summary>
    public static IResult Drop() => TypedResults.Ok(new { status = "DROP" });
}
