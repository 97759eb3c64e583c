using System.Text.Json;
using Dapr.AppCallback.Autogen.Grpc.v1;
using Dapr.Client.Autogen.Grpc.v1;
using Grpc.Core;
using Grpc.Net.Client;
using Marketplace.TestKit;
using Xunit;
using Status = Dapr.AppCallback.Autogen.Grpc.v1.TopicEventResponse.Types.TopicEventResponseStatus;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>SubscribeTopicEventsAlpha1: the app opens a stream, and needs no port of its own.</summary>
public sealed class WhenAnAppStreamsItsEvents
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [EveryBroker]
    public async Task Events_come_over_the_stream_and_its_answers_count(string broker)
    {
        await using var sidecars = await Broadcast.StartAsync(broker);
        using var channel = Channel(sidecars);
        using var call = await OpenAsync(channel, "pubsub", "order.created");
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { i = 7 }, Ct);

        var first = await NextAsync(call);
        Assert.Equal("""{"i":7}""", first.Data.ToStringUtf8());
        Assert.Equal(("order.created", "pubsub", "shop", "com.dapr.event.sent", "1.0"), (first.Topic, first.PubsubName, first.Source, first.Type, first.SpecVersion));
        Assert.Contains("traceparent", first.Extensions.Fields.Keys);
        await AnswerAsync(call, first.Id, Status.Retry);
        var second = await NextAsync(call);
        Assert.Equal(first.Id, second.Id);
        await AnswerAsync(call, second.Id, Status.Success);
        await Eventually.Async(async () => await sidecars.WaitingAsync("pubsub") == 0, "it is done");

        using var metadata = JsonDocument.Parse(await sidecars.Http().GetStringAsync("v1.0/metadata", Ct));
        Assert.Equal("STREAMING", Assert.Single(metadata.RootElement.GetProperty("subscriptions").EnumerateArray()).GetProperty("type").GetString());
    }

    [Theory]
    [EveryBroker]
    public async Task What_was_not_answered_when_the_stream_ended_comes_over_the_next_one(string broker)
    {
        await using var sidecars = await Broadcast.StartAsync(broker);
        using var channel = Channel(sidecars);
        string id;
        using (var call = await OpenAsync(channel, "plain", "order.created"))
        {
            await sidecars.Client().PublishEventAsync("plain", "order.created", new { i = 1 }, Ct);
            id = (await NextAsync(call)).Id;
        }

        using var again = await OpenAsync(channel, "plain", "order.created");
        var repeated = await NextAsync(again);
        Assert.Equal(id, repeated.Id);
        await AnswerAsync(again, id, Status.Drop);
        await Eventually.Async(async () => await sidecars.WaitingAsync("plain") == 0, "it is dropped");
    }

    [Theory]
    [InlineData("", "order.created", StatusCode.Unknown)]
    [InlineData("pubsub", "", StatusCode.Unknown)]
    [InlineData("nowhere", "order.created", StatusCode.InvalidArgument)]
    [InlineData("plain", "vault", StatusCode.Unknown)]
    public async Task A_stream_for_what_is_not_there_is_refused(string pubsub, string topic, StatusCode code)
    {
        await using var sidecars = await Broadcast.StartAsync();
        using var channel = Channel(sidecars);
        var refused = await Assert.ThrowsAsync<RpcException>(() => OpenAsync(channel, pubsub, topic));
        Assert.Equal(code, refused.StatusCode);
    }

    private static GrpcChannel Channel(Broadcast sidecars) => GrpcChannel.ForAddress($"http://127.0.0.1:{sidecars.Plan.Apps[0].GrpcPort}");

    private static async Task<AsyncDuplexStreamingCall<SubscribeTopicEventsRequestAlpha1, SubscribeTopicEventsResponseAlpha1>> OpenAsync(GrpcChannel channel, string pubsub, string topic)
    {
        var call = new Dapr.Client.Autogen.Grpc.v1.Dapr.DaprClient(channel).SubscribeTopicEventsAlpha1(cancellationToken: Ct);
        await call.RequestStream.WriteAsync(new SubscribeTopicEventsRequestAlpha1 { InitialRequest = new SubscribeTopicEventsRequestInitialAlpha1 { PubsubName = pubsub, Topic = topic } }, Ct);
        Assert.True(await call.ResponseStream.MoveNext(Ct));
        Assert.NotNull(call.ResponseStream.Current.InitialResponse);
        return call;
    }

    private static async Task<TopicEventRequest> NextAsync(AsyncDuplexStreamingCall<SubscribeTopicEventsRequestAlpha1, SubscribeTopicEventsResponseAlpha1> call)
    {
        Assert.True(await call.ResponseStream.MoveNext(Ct));
        return call.ResponseStream.Current.EventMessage;
    }

    private static Task AnswerAsync(AsyncDuplexStreamingCall<SubscribeTopicEventsRequestAlpha1, SubscribeTopicEventsResponseAlpha1> call, string id, Status status) =>
        call.RequestStream.WriteAsync(new SubscribeTopicEventsRequestAlpha1 { EventProcessed = new SubscribeTopicEventsRequestProcessedAlpha1 { Id = id, Status = new TopicEventResponse { Status = status } } }, Ct);
}
