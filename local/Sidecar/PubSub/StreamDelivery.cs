using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using Dapr.AppCallback.Autogen.Grpc.v1;
using Dapr.Client.Autogen.Grpc.v1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>Delivers over a stream that the app opened, instead of calling it. What is unanswered when the stream ends is as if it had never been sent.</summary>
internal sealed class StreamDelivery(
    OpenPubSub pubsub,
    SidecarInstance instance,
    Subscription subscription,
    IServerStreamWriter<SubscribeTopicEventsResponseAlpha1> stream,
    ILogger log) : Delivery(pubsub, instance, subscription, log), IDisposable
{
    private static readonly HashSet<string> NamedFields = ["id", "source", "datacontenttype", "type", "specversion", "topic", "pubsubname", "data", "data_base64"];

    private readonly ConcurrentDictionary<string, TaskCompletionSource<TopicEventResponse.Types.TopicEventResponseStatus>> waiting = new();
    private readonly SemaphoreSlim writing = new(0, 1);   // taken until the stream is open

    /// <summary>Tells the app that it is subscribed; events follow.</summary>
    public async Task OpenAsync(CancellationToken ct)
    {
        await stream.WriteAsync(new SubscribeTopicEventsResponseAlpha1 { InitialResponse = new SubscribeTopicEventsResponseInitialAlpha1() }, ct);
        writing.Release();
    }

    /// <summary>The app's word on an event; false when none of that id is waited for.</summary>
    public bool Answer(SubscribeTopicEventsRequestProcessedAlpha1 processed) =>
        waiting.TryGetValue(processed.Id, out var answer) && answer.TrySetResult(processed.Status?.Status ?? TopicEventResponse.Types.TopicEventResponseStatus.Success);

    public void Dispose()
    {
        foreach (var answer in waiting.Values) answer.TrySetCanceled();
        writing.Dispose();
    }

    protected override async Task<Answer> PostAsync(Incoming message, Prepared prepared, CancellationToken ct)
    {
        var sent = EventOf(prepared.Body.Span);
        var answer = waiting.GetOrAdd(sent.Id, static _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
        try
        {
            await writing.WaitAsync(ct);
            try
            {
                await stream.WriteAsync(new SubscribeTopicEventsResponseAlpha1 { EventMessage = sent }, ct);
            }
            finally
            {
                writing.Release();
            }

            return await answer.Task.WaitAsync(ct) switch
            {
                TopicEventResponse.Types.TopicEventResponseStatus.Success => new Answer(AnswerKind.Done),
                TopicEventResponse.Types.TopicEventResponseStatus.Drop => new Answer(AnswerKind.Drop, "the app answered DROP"),
                var other => new Answer(AnswerKind.Failed, $"the app answered {other}"),
            };
        }
        catch (Exception e) when (answer.Task.IsCanceled || e is InvalidOperationException or ObjectDisposedException or RpcException or IOException)
        {
            return new Answer(AnswerKind.NotSent, "the stream has ended");
        }
        finally
        {
            waiting.TryRemove(sent.Id, out _);
        }
    }

    private TopicEventRequest EventOf(ReadOnlySpan<byte> envelope)
    {
        var reader = new Utf8JsonReader(envelope);
        using var document = JsonDocument.ParseValue(ref reader);
        var fields = document.RootElement;
        var found = new TopicEventRequest
        {
            Id = Text(fields, "id"),
            Source = Text(fields, "source"),
            DataContentType = Text(fields, "datacontenttype"),
            Type = Text(fields, "type"),
            SpecVersion = Text(fields, "specversion"),
            Topic = Subscription.Topic,
            PubsubName = Subscription.PubSub,
            Path = "/",
            Extensions = new Struct(),
        };
        if (fields.TryGetProperty("data_base64", out var bytes) && bytes.ValueKind == JsonValueKind.String)
            found.Data = ByteString.CopyFrom(bytes.GetBytesFromBase64());
        else if (fields.TryGetProperty("data", out var data) && data.ValueKind != JsonValueKind.Null)
            found.Data = ByteString.CopyFrom(DataOf(data, found.DataContentType));
        foreach (var property in fields.EnumerateObject())
            if (!NamedFields.Contains(property.Name)) found.Extensions.Fields[property.Name] = Value.Parser.ParseJson(property.Value.GetRawText());
        return found;
    }

    /// <exception cref="FormatException">Text is announced, and something else is there.</exception>
    private static byte[] DataOf(JsonElement data, string type)
    {
        var bare = type.Split(';', 2)[0].Trim();
        if (bare.StartsWith("text/", StringComparison.OrdinalIgnoreCase) || bare.Equals("application/xml", StringComparison.OrdinalIgnoreCase))
            return data.ValueKind == JsonValueKind.String ? Encoding.UTF8.GetBytes(data.GetString()!) : throw new FormatException("unexpected data type encountered in envelope");
        return bare.Equals("application/json", StringComparison.OrdinalIgnoreCase) || bare.Equals(Publication.CloudEvents, StringComparison.OrdinalIgnoreCase)
            ? Encoding.UTF8.GetBytes(data.GetRawText())
            : [];
    }

    private static string Text(JsonElement fields, string name) => fields.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";
}
