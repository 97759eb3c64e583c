using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text.Json;
using Marketplace.Local.Sidecar.Resiliency;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>
/// What Dapr does with a message on its way to one app instance, whatever broker it came from: expiry, routing rules, the call and its verdict, the
/// inbound policy of the component, the dead-letter topic.
/// </summary>
internal partial class Delivery(OpenPubSub pubsub, SidecarInstance instance, Subscription subscription, ILogger log)
{
    /// <summary>How often the app may die with a message in its hands before the message counts as failed.</summary>
    private const int MaxLosses = 5;
    private const int LargestAnswer = 64 * 1024;
    private static readonly TimeSpan DeadLetterTimeout = TimeSpan.FromSeconds(30);
    private static readonly MediaTypeHeaderValue CloudEvents = new(Publication.CloudEvents);
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    /// <summary>What a publisher's metadata may not set: they are about this call, not about the event.</summary>
    private static readonly HashSet<string> OurHeaders = new(StringComparer.OrdinalIgnoreCase)
    {
        "dapr-api-token", "pubsubName", "Host", "Connection", "Expect", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
    };

    private readonly ResiliencePolicy? policy = instance.Components.Resiliency.ComponentInbound(subscription.PubSub, "Pubsub");
    private readonly ConcurrentDictionary<string, int> losses = new();
    private Bulk? bulk;

    public SidecarInstance Instance { get; } = instance;
    public Subscription Subscription { get; } = subscription;
    public string App => Instance.AppId;

    /// <summary>What the broker calls the topic; the app knows it as that of its subscription.</summary>
    public string Topic { get; } = pubsub.NameOf(subscription.Topic);

    /// <summary>
    /// Delivers until there is an answer, the policy gives up, or <paramref name="ct"/> ends. For components that keep a place for each message under
    /// way; those that would rather put waiting retries aside take the steps themselves, as <see cref="ConsumerGroup"/> does.
    /// </summary>
    public async Task<Outcome> DeliverAsync(Incoming message, CancellationToken ct)
    {
        var lostAs = losses.IsEmpty ? "" : LostAs(message);
        var tries = new Tries { Losses = losses.GetValueOrDefault(lostAs) };
        while (true)
        {
            var answer = await AttemptAsync(message, ct);
            switch (Next(message, answer, ref tries, out var pause))
            {
                case Step.Finish:
                    losses.TryRemove(lostAs, out _);
                    return await FinishAsync(message, answer, ct);
                case Step.Leave:
                    if (tries.Losses > 0 && LostAs(message) is { Length: > 0 } lost) losses[lost] = tries.Losses;
                    return Outcome.Abandoned;
                default:
                    try
                    {
                        await Task.Delay(pause, Instance.Host.Time, ct);
                    }
                    catch (OperationCanceledException)
                    {
                        return Outcome.Abandoned;
                    }
                    break;
            }
        }
    }

    /// <summary>What a message that the app died with is known by when it comes again: the broker's name for it, or the event's own id.</summary>
    private static string LostAs(in Incoming message)
    {
        if (message.Id.Length > 0) return message.Id;
        try
        {
            return EnvelopeHead.Of(message.Data.Span).Id ?? "";
        }
        catch (JsonException)
        {
            return "";   // bare bytes, which have no name: they come again without end, as long as they cost the app its life
        }
    }

    /// <summary>One attempt. What can go wrong on the way to the app becomes an answer; anything else is a bug and counts as a failed delivery, with a trace.</summary>
    public async Task<Answer> AttemptAsync(Incoming message, CancellationToken ct)
    {
        try
        {
            var prepared = Prepare(message);
            if (prepared.Refusal is { } refusal) return refusal;
            if (Subscription.Bulk is { } options) return await (bulk ??= new Bulk(this, options)).SendAsync(message, prepared, ct);
            if (Instance.Host.Faults.Deliver(Subscription.Topic, App) is { } fault)
            {
                if (fault.Mode == "fail") return new Answer(AnswerKind.Failed, "fault ordered", 500);
                await GuardAsync(limit => PostAsync(message, prepared, limit), ct);
            }
            return await GuardAsync(limit => PostAsync(message, prepared, limit), ct);
        }
        catch (Exception e)
        {
            return AnswerOf(e, ct);
        }
    }

    /// <summary>What follows from an answer: another attempt after a pause, an end, or leaving the message to a later life of the app.</summary>
    public Step Next(in Incoming message, in Answer answer, ref Tries tries, out TimeSpan pause)
    {
        pause = default;
        switch (answer.Kind)
        {
            case AnswerKind.Done or AnswerKind.Drop:
                return Step.Finish;
            case AnswerKind.NotSent or AnswerKind.Stopped:
                return Step.Leave;
            case AnswerKind.Lost when ++tries.Losses <= MaxLosses:
                return Step.Leave;
        }

        tries.Failures++;
        tries.FirstFailure ??= Instance.Host.Time.GetTimestamp();
        if (answer.Final || policy?.Retry is not { } retry || (answer.Status is { } status && !retry.RetriesHttp(status))) return Step.Finish;
        if (retry.Pause(tries.Failures, Instance.Host.Time.GetElapsedTime(tries.FirstFailure.Value)) is not { } wait) return Step.Finish;
        LogRetry(App, Topic, message.Id, tries.Failures, answer.Reason);
        pause = wait;
        return Step.Again;
    }

    /// <summary>The end of a message after its last answer: its dead-letter topic, or what the broker should hear.</summary>
    public async Task<Outcome> FinishAsync(Incoming message, Answer answer, CancellationToken ct)
    {
        if (answer.Kind == AnswerKind.Done) return Outcome.Done;
        if (Subscription.DeadLetterTopic is { } deadLetters)
        {
            LogDeadLetter(App, Topic, message.Id, deadLetters, answer.Reason);
            try
            {
                using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
                limit.CancelAfter(DeadLetterTimeout);
                await pubsub.Component.PublishAsync(pubsub.NameOf(deadLetters), [new Sealed(Array(message.Data), message.Key, Raw: true, Expires: null, message.Metadata)], limit.Token);
                return Outcome.Done;
            }
            catch (Exception e)
            {
                if (ct.IsCancellationRequested) return Outcome.Abandoned;
                LogNoDeadLetter(App, Topic, message.Id, deadLetters, e);
                return Outcome.Failed;
            }
        }

        if (answer.Kind == AnswerKind.Drop)
        {
            LogDropped(App, Topic, message.Id, answer.Reason);
            return Outcome.Done;
        }
        LogFailed(App, Topic, message.Id, answer.Reason);
        return Outcome.Failed;
    }

    /// <summary>The call itself, inside timeout and breaker.</summary>
    protected virtual async Task<Answer> PostAsync(Incoming message, Prepared prepared, CancellationToken ct)
    {
        using var content = new ReadOnlyMemoryContent(prepared.Body);
        content.Headers.ContentType = CloudEvents;
        using var request = Instance.Channel.Request(HttpMethod.Post, prepared.Path, content);
        foreach (var (name, value) in message.Metadata)
            if (!OurHeaders.Contains(name)) request.Headers.TryAddWithoutValidation(name, value);
        request.Headers.TryAddWithoutValidation("pubsubName", Subscription.PubSub);
        if (prepared.Trace is { } trace)
        {
            request.Headers.Remove("traceparent");
            request.Headers.TryAddWithoutValidation("traceparent", trace);
        }

        using var response = await Instance.Channel.SendAsync(request, ct);
        var status = (int)response.StatusCode;
        return status switch
        {
            404 => new Answer(AnswerKind.Drop, "the app has no route for it (404)"),
            >= 200 and < 300 => Verdict(await ReadAsync(response, ct)),
            _ => new Answer(AnswerKind.Failed, $"status {status}", status),
        };
    }

    /// <summary>All that needs no call: envelope, expiry and route. Failures here are final, as no policy of daprd reaches them.</summary>
    private Prepared Prepare(in Incoming message)
    {
        var now = Instance.Host.Time.GetUtcNow();
        if (message.Expires <= now) return Prepared.Refused(new Answer(AnswerKind.Drop, "expired"));
        try
        {
            var body = Subscription.IsRaw ? Publication.WrapRaw(message.Data.Span, Subscription.PubSub, Subscription.Topic) : message.Data;
            var head = EnvelopeHead.Of(body.Span);
            if (head.Expires <= now) return Prepared.Refused(new Answer(AnswerKind.Drop, "expired"));
            if (Subscription.Route(body.Span) is not { } path) return Prepared.Refused(new Answer(AnswerKind.Drop, "no rule matches"));
            return new Prepared(body, path.StartsWith('/') ? path : "/" + path, head.NextTrace(), null);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return Prepared.Refused(new Answer(AnswerKind.Failed, e.Message, Final: true));
        }
    }

    /// <summary>Breaker around timeout around the call.</summary>
    private async Task<Answer> GuardAsync(Func<CancellationToken, Task<Answer>> call, CancellationToken ct)
    {
        if (policy?.Breaker is not { } breaker) return await LimitAsync(call, ct);

        if (breaker.Enter(Instance.Host.Time.GetUtcNow()) is not { } ticket) return new Answer(AnswerKind.Failed, "the circuit breaker is open", Final: true);
        var succeeded = false;
        try
        {
            var answer = await LimitAsync(call, ct);
            succeeded = answer.Kind is not AnswerKind.Failed;
            return answer;
        }
        finally
        {
            breaker.Leave(ticket, succeeded, Instance.Host.Time.GetUtcNow());
        }
    }

    private async Task<Answer> LimitAsync(Func<CancellationToken, Task<Answer>> call, CancellationToken ct)
    {
        try
        {
            if (policy?.Timeout is not { } timeout) return await call(ct);
            using var expiry = new CancellationTokenSource(timeout, Instance.Host.Time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, expiry.Token);
            return await call(either.Token);
        }
        catch (Exception e)
        {
            return AnswerOf(e, ct);
        }
    }

    private Answer AnswerOf(Exception e, CancellationToken ct)
    {
        switch (e)
        {
            case OperationCanceledException or ObjectDisposedException or IOException or HttpRequestException when ct.IsCancellationRequested:
                return new Answer(AnswerKind.Stopped);
            case HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError }:
                return new Answer(AnswerKind.NotSent, e.Message);
            case HttpRequestException or IOException:
                return new Answer(AnswerKind.Lost, e.Message);
            case OperationCanceledException:
                return new Answer(AnswerKind.Failed, "no answer within the timeout of the policy");
            default:
                LogFault(App, Topic, e);
                return new Answer(AnswerKind.Failed, e.Message);
        }
    }

    private static byte[] Array(ReadOnlyMemory<byte> data) =>
        System.Runtime.InteropServices.MemoryMarshal.TryGetArray(data, out var segment) && segment.Offset == 0 && segment.Count == segment.Array!.Length ? segment.Array : data.ToArray();

    private static Answer Verdict(ReadOnlySpan<byte> body)
    {
        if (StatusOf(body) is not { Length: > 0 } status) return new Answer(AnswerKind.Done);
        return status switch
        {
            "SUCCESS" => new Answer(AnswerKind.Done),
            "DROP" => new Answer(AnswerKind.Drop, "the app answered DROP"),
            _ => new Answer(AnswerKind.Failed, $"the app answered {status}"),
        };
    }

    /// <summary>The status in the answer; null where the body is empty or no such JSON, which is a success.</summary>
    private static string? StatusOf(ReadOnlySpan<byte> body)
    {
        if (body.IsEmpty) return null;
        try
        {
            var reader = new Utf8JsonReader(body);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject) return null;
            string? status = null;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var named = string.Equals(reader.GetString(), "status", StringComparison.OrdinalIgnoreCase);
                reader.Read();
                if (named && reader.TokenType != JsonTokenType.String) return null;
                if (named) status = reader.GetString();
                reader.Skip();
            }
            return status;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static async ValueTask<byte[]> ReadAsync(HttpResponseMessage response, CancellationToken ct)
    {
        if (response.Content.Headers.ContentLength == 0) return [];
        await using var stream = await response.Content.ReadAsStreamAsync(ct);
        var buffer = new byte[512];
        var length = 0;
        while (true)
        {
            if (length == buffer.Length)
            {
                if (length >= LargestAnswer) return [];   // no status answer is that long
                System.Array.Resize(ref buffer, length * 4);
            }
            var read = await stream.ReadAsync(buffer.AsMemory(length), ct);
            if (read == 0) return buffer[..length];
            length += read;
        }
    }

    [LoggerMessage(LogLevel.Debug, "{App}: event {Id} of {Topic} failed for the {Failures}. time and will be delivered again: {Reason}")]
    private partial void LogRetry(string app, string topic, string id, int failures, string? reason);

    [LoggerMessage(LogLevel.Warning, "{App}: event {Id} of {Topic} goes to {DeadLetterTopic}: {Reason}")]
    private partial void LogDeadLetter(string app, string topic, string id, string deadLetterTopic, string? reason);

    [LoggerMessage(LogLevel.Error, "{App}: event {Id} of {Topic} could not be put into {DeadLetterTopic}")]
    private partial void LogNoDeadLetter(string app, string topic, string id, string deadLetterTopic, Exception exception);

    [LoggerMessage(LogLevel.Warning, "{App}: event {Id} of {Topic} is dropped: {Reason}")]
    private partial void LogDropped(string app, string topic, string id, string? reason);

    [LoggerMessage(LogLevel.Error, "{App}: event {Id} of {Topic} failed and there is neither another try nor a dead-letter topic: {Reason}")]
    private partial void LogFailed(string app, string topic, string id, string? reason);

    [LoggerMessage(LogLevel.Error, "{App}: a delivery of {Topic} failed inside the sidecar")]
    private partial void LogFault(string app, string topic, Exception exception);

    internal enum Step { Finish, Again, Leave }

    /// <summary>What was tried with one message so far.</summary>
    internal struct Tries
    {
        public int Failures { get; set; }
        public int Losses { get; set; }
        public long? FirstFailure { get; set; }
    }

    /// <summary>A message that is ready to go, or the answer that makes going needless.</summary>
    internal readonly record struct Prepared(ReadOnlyMemory<byte> Body, string Path, string? Trace, Answer? Refusal)
    {
        public static Prepared Refused(Answer answer) => new(default, "", null, answer);
    }

    /// <summary>
    /// Collects single messages of a bulk subscription into one call. It waits a moment for company, and never for as long as a batch may wait: what the
    /// broker has is there at once. Messages with another route are a call of their own.
    /// </summary>
    private sealed class Bulk(Delivery delivery, BulkOptions options)
    {
        private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(5);

        private readonly ConcurrentQueue<Entry> waiting = new();
        private int collecting;

        public Task<Answer> SendAsync(Incoming message, Prepared prepared, CancellationToken ct)
        {
            var entry = new Entry(message, prepared, ct);
            waiting.Enqueue(entry);
            if (Interlocked.Exchange(ref collecting, 1) == 0) _ = CollectAsync();
            return entry.Answered.Task;
        }

        private async Task CollectAsync()
        {
            if (waiting.Count < options.MaxMessages) await Task.Delay(options.MaxWait < Moment ? options.MaxWait : Moment);
            else await Task.Yield();
            Volatile.Write(ref collecting, 0);
            while (!waiting.IsEmpty)
            {
                var batch = new List<Entry>();
                while (batch.Count < options.MaxMessages && waiting.TryDequeue(out var entry)) batch.Add(entry);
                foreach (var group in batch.GroupBy(entry => entry.Prepared.Path)) _ = AnswerAsync(group.Key, [.. group]);
            }
        }

        private async Task AnswerAsync(string path, List<Entry> entries)
        {
            var ct = entries[0].Stop;
            var verdicts = new Dictionary<string, Answer>();
            Answer whole;
            try
            {
                whole = default;
                if (delivery.Instance.Host.Faults.Deliver(delivery.Subscription.Topic, delivery.App) is { } fault)
                {
                    if (fault.Mode == "fail") whole = new Answer(AnswerKind.Failed, "fault ordered", 500);
                    else await delivery.GuardAsync(limit => PostAsync(path, entries, [], limit), ct);
                }
                if (whole.Kind != AnswerKind.Failed) whole = await delivery.GuardAsync(limit => PostAsync(path, entries, verdicts, limit), ct);
            }
            catch (Exception e)
            {
                whole = delivery.AnswerOf(e, ct);
            }

            for (var i = 0; i < entries.Count; i++)
                entries[i].Answered.SetResult(whole.Kind != AnswerKind.Done || whole.Final ? whole
                    : verdicts.GetValueOrDefault(EntryId(entries, i), new Answer(AnswerKind.Failed, "the answer has no status for the entry")));
        }

        /// <summary>An answer of kind Done says that there are verdicts, unless it is final.</summary>
        private async Task<Answer> PostAsync(string path, List<Entry> entries, Dictionary<string, Answer> verdicts, CancellationToken ct)
        {
            using var content = new ReadOnlyMemoryContent(Body(entries));
            content.Headers.ContentType = Json;
            using var request = delivery.Instance.Channel.Request(HttpMethod.Post, path, content);
            request.Headers.TryAddWithoutValidation("pubsubName", delivery.Subscription.PubSub);
            using var response = await delivery.Instance.Channel.SendAsync(request, ct);
            var status = (int)response.StatusCode;
            if (status == 404) return new Answer(AnswerKind.Done, "the app has no route for it (404)", Final: true);
            if (status is < 200 or >= 300) return new Answer(AnswerKind.Failed, $"status {status}", status);
            try
            {
                using var document = JsonDocument.Parse(await ReadAsync(response, ct));
                foreach (var entry in document.RootElement.GetProperty("statuses").EnumerateArray())
                    verdicts[entry.GetProperty("entryId").GetString() ?? ""] = entry.GetProperty("status").GetString() switch
                    {
                        "SUCCESS" => new Answer(AnswerKind.Done),
                        "DROP" => new Answer(AnswerKind.Drop, "the app answered DROP"),
                        var other => new Answer(AnswerKind.Failed, $"the app answered {other}"),
                    };
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
            {
                return new Answer(AnswerKind.Failed, "the answer holds no statuses");   // unlike a single delivery, silence is not consent
            }
            return new Answer(AnswerKind.Done);
        }

        private ReadOnlyMemory<byte> Body(List<Entry> entries)
        {
            var buffer = new ArrayBufferWriter<byte>(entries.Sum(entry => entry.Prepared.Body.Length + 128));
            using var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { SkipValidation = true });
            json.WriteStartObject();
            json.WriteString("id"u8, Guid.NewGuid());
            json.WriteStartArray("entries"u8);
            for (var i = 0; i < entries.Count; i++)
            {
                json.WriteStartObject();
                json.WriteString("entryId"u8, EntryId(entries, i));
                if (delivery.Subscription.IsRaw)
                {
                    json.WriteBase64String("event"u8, entries[i].Message.Data.Span);   // in a batch, bare bytes get no envelope
                    json.WriteString("contentType"u8, "application/octet-stream"u8);
                }
                else
                {
                    json.WritePropertyName("event"u8);
                    json.WriteRawValue(entries[i].Prepared.Body.Span, skipInputValidation: true);
                    json.WriteString("contentType"u8, Publication.CloudEvents);
                }
                json.WriteStartObject("metadata"u8);
                foreach (var (name, value) in entries[i].Message.Metadata) json.WriteString(name, value);
                json.WriteString("pubsubName"u8, delivery.Subscription.PubSub);
                json.WriteEndObject();
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteStartObject("metadata"u8);
            json.WriteEndObject();
            json.WriteString("topic"u8, delivery.Subscription.Topic);
            json.WriteString("pubsubname"u8, delivery.Subscription.PubSub);
            json.WriteString("type"u8, "com.dapr.event.sent.bulk"u8);
            json.WriteEndObject();
            json.Flush();
            return buffer.WrittenMemory;
        }

        private static string EntryId(List<Entry> entries, int index) =>
            entries[index].Message.Id is { Length: > 0 } id ? id : index.ToString(null, null);

        private sealed record Entry(Incoming Message, Prepared Prepared, CancellationToken Stop)
        {
            public TaskCompletionSource<Answer> Answered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }
}

internal enum AnswerKind
{
    Done,
    Drop,
    Failed,

    /// <summary>The connection was refused: the app has not seen the message, and this is not its failure.</summary>
    NotSent,

    /// <summary>The app went away before it answered.</summary>
    Lost,

    /// <summary>The host is stopping, or no longer delivers to this instance.</summary>
    Stopped,
}

/// <param name="Final">No retry, whatever the policy says.</param>
internal readonly record struct Answer(AnswerKind Kind, string? Reason = null, int? Status = null, bool Final = false);

/// <summary>What the sidecar itself needs of an envelope; reading it also checks that it is a JSON object.</summary>
internal readonly record struct EnvelopeHead(string? Id, DateTimeOffset? Expires, string? TraceParent)
{
    private const int TraceLength = 55;

    /// <exception cref="JsonException">These bytes are no JSON object.</exception>
    public static EnvelopeHead Of(ReadOnlySpan<byte> envelope)
    {
        var reader = new Utf8JsonReader(envelope);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject) throw new JsonException("the message is no cloud event: not a JSON object");
        DateTimeOffset? expires = null;
        string? id = null;
        string? trace = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var (expiration, traceparent, named) = (reader.ValueTextEquals("expiration"u8), reader.ValueTextEquals("traceparent"u8), reader.ValueTextEquals("id"u8));
            reader.Read();
            if (expiration && reader.TokenType == JsonTokenType.String && reader.TryGetDateTimeOffset(out var end)) expires = end;
            else if (traceparent && reader.TokenType == JsonTokenType.String) trace = reader.GetString();
            else if (named && reader.TokenType == JsonTokenType.String) id = reader.GetString();
            else reader.Skip();
        }
        if (reader.Read()) throw new JsonException("the message is no cloud event: text follows the JSON object");
        return new EnvelopeHead(id, expires, trace);
    }

    /// <summary>The publisher's trace goes on in the subscriber, with a span of our own between them.</summary>
    public string? NextTrace()
    {
        if (TraceParent is not { Length: TraceLength } || !TraceParent.StartsWith("00-", StringComparison.Ordinal)) return null;
        return string.Create(TraceLength, TraceParent, static (next, trace) =>
        {
            trace.CopyTo(next);
            ActivitySpanId.CreateRandom().ToHexString().CopyTo(next[36..]);
        });
    }
}
