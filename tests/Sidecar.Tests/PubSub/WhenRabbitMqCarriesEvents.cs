using Dapr;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using RabbitMQ.Client;
using Xunit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>What is RabbitMQ's own in pubsub.rabbitmq, on a real node.</summary>
public sealed class WhenRabbitMqCarriesEvents
{
    /// <summary>Names of a test: exchanges and queues stay in the node that all share.</summary>
    private readonly string topic = $"order.created.{Guid.NewGuid():N}";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_event_goes_through_an_exchange_of_its_topic_into_a_queue_of_each_app()
    {
        var node = await RabbitMqNode.SharedAsync();
        await using var billing = await StartedAsync(Listening("billing", () => Results.Ok()));
        await using var mailing = await StartedAsync(Listening("mailing", () => Results.Ok()));
        await using var sidecars = await SidecarsUnderTest.StartAsync(Component(node), new AppUnderTest("billing", billing.Port), new AppUnderTest("mailing", mailing.Port));
        await sidecars.ReadyAsync();
        await IntroducedAsync(sidecars);

        await sidecars.Client().PublishEventAsync("pubsub", topic, new { i = 1 }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 1 && mailing.Arrivals.Count == 1, "both apps get it");

        await using var connection = await node.ConnectAsync();
        await using var channel = await connection.CreateChannelAsync(cancellationToken: Ct);
        await channel.ExchangeDeclarePassiveAsync(topic, Ct);
        Assert.Equal(1u, await channel.ConsumerCountAsync($"billing-{topic}", Ct));
        Assert.Equal(1u, await channel.ConsumerCountAsync($"mailing-{topic}", Ct));
    }

    private ListeningApp Listening(string app, Func<IResult> answer) =>
        new(app, server => server.MapPost("/orders", answer).WithTopic(new TopicOptions { PubsubName = "pubsub", Name = topic }));

    private static async Task<ListeningApp> StartedAsync(ListeningApp app)
    {
        await app.StartAsync();
        return app;
    }

    private static Task IntroducedAsync(SidecarsUnderTest sidecars) =>
        Eventually.Async(() => sidecars.Host.Instances.All(instance => instance.App.AppPort is null || instance.Introduced), "the sidecars know who listens");

    private static string Component(RabbitMqNode node, params IEnumerable<(string Name, string Value)> more)
    {
        var metadata = new List<(string Name, string Value)>
        {
            ("connectionString", node.Url), ("deliveryMode", "2"), ("publisherConfirm", "true"), ("deletedWhenUnused", "false"), ("reconnectWaitSeconds", "1"),
        };
        foreach (var (name, value) in more)
        {
            metadata.RemoveAll(item => item.Name == name);
            metadata.Add((name, value));
        }
        return $"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata:
              name: pubsub
            spec:
              type: pubsub.rabbitmq
              version: v1
              metadata: [{string.Join(", ", metadata.Select(item => $"{{name: {item.Name}, value: \"{item.Value}\"}}"))}]

            """;
    }
}
