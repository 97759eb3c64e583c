using System.Net.Http.Headers;
using System.Diagnostics;
using System.Text.Json;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>
/// All instances of one app that listen to one topic. Each message goes to one of them; messages with the same key one after the other, the others side by
/// side up to <paramref name="concurrency"/>. What is being retried waits aside and holds neither a place nor another key.
/// </summary>
internal sealed partial class ConsumerGroup(Broker broker, JournalGroup identity, int concurrency, ILogger log) : IThreadPoolWorkItem, IAsyncDisposable
{
    /// <summary>How often the app may die with a message in its hands before the message counts as failed.</summary>
    private const int MaxLosses = 5;
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);
    private const int LargestAnswer = 64 * 1024;

    /// <summary>The app was just lost; the next look at it comes from its channel's watch.</summary>
    private static readonly TimeSpan LossPause = TimeSpan.FromMilliseconds(100);
    private static readonly MediaTypeHeaderValue CloudEvents = new(Publication.CloudEvents);
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly Lock gate = new();
    private readonly Dictionary<string, Lane> lanes = [];
    private readonly Queue<Lane> ready = new();
    private readonly List<Member> members = [];
    private readonly CancellationTokenSource stop = new();
    private TaskCompletionSource? idle;
    private int inFlight;
    private int waiting;
    private int turn;
    private int scheduled;

    public JournalGroup Identity { get; } = identity;

    /// <summary>Messages not finished yet, those under way included.</summary>
    public int Backlog => Volatile.Read(ref waiting);

    public void Enqueue(Message message)
    {
        lock (gate)
        {
            Interlocked.Increment(ref waiting);
            if (message.Key is null)
                ready.Enqueue(new Lane(null, message));
            else if (lanes.TryGetValue(message.Key, out var lane))
                lane.Add(message);
            else
                ready.Enqueue(lanes[message.Key] = new Lane(message.Key, message));
        }
        Wake();
    }

    public void Join(SidecarInstance instance, Subscription subscription)
    {
        lock (gate)
        {
            members.RemoveAll(member => member.Instance == instance);
            members.Add(new Member(instance, subscription));
        }
        Wake();
    }

    public void Leave(SidecarInstance instance)
    {
        lock (gate) members.RemoveAll(member => member.Instance == instance);
    }

    /// <summary>No more deliveries; those under way get a moment to be answered. The rest stays in the journal.</summary>
    public async ValueTask DisposeAsync()
    {
        Task finished;
        lock (gate)
        {
            members.Clear();
            ready.Clear();
            idle = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (inFlight == 0) idle.SetResult();
            finished = idle.Task;
        }
        await Task.WhenAny(finished, Task.Delay(Grace));
        await stop.CancelAsync();
        await finished;
        stop.Dispose();
    }

    /// <summary>Starts deliveries while there are messages, places and members. Runs on the thread pool, at most once at a time per wake.</summary>
    void IThreadPoolWorkItem.Execute()
    {
        Volatile.Write(ref scheduled, 0);
        while (true)
        {
            Lane lane;
            List<Lane>? more = null;
            Member member;
            lock (gate)
            {
                if (idle is not null || inFlight >= concurrency || ready.Count == 0 || Pick() is not { } picked) return;
                member = picked;
                lane = ready.Dequeue();
                inFlight++;
                member.InFlight++;
                if (member.Subscription.Bulk is { } bulk)
                {
                    more = [lane];
                    while (more.Count < bulk.MaxMessages && ready.TryDequeue(out var next)) more.Add(next);
                }
            }
            _ = more is null ? DeliverAsync(lane, member) : DeliverBulkAsync(more, member);
        }
    }

    private void Wake()
    {
        if (Interlocked.Exchange(ref scheduled, 1) == 0) ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>The least busy instance, in turn among equals.</summary>
    private Member? Pick()
    {
        Member? best = null;
        for (var i = 0; i < members.Count; i++)
        {
            var member = members[(turn + i) % members.Count];
            if (best is null || member.InFlight < best.InFlight) best = member;
        }
        if (best is not null) turn = (turn + 1) % members.Count;
        return best;
    }

    private async Task DeliverAsync(Lane lane, Member member)
    {
        var answer = await GuardAsync(() => AttemptAsync(lane.Head, member));
        if (answer.Kind == AnswerKind.Stopped) Left(member);
        else await SettleAsync(lane, member, answer, () => Left(member));
    }

    /// <summary>Turns what can go wrong on the way to the app into an answer; anything else is a bug and counts as a failed delivery, with a trace.</summary>
    private async Task<Answer> GuardAsync(Func<Task<Answer>> attempt)
    {
        try
        {
            return await attempt();
        }
        catch (Exception e) when (stop.IsCancellationRequested && e is OperationCanceledException or ObjectDisposedException or IOException)
        {
            return new Answer(AnswerKind.Stopped);
        }
        catch (HttpRequestException e)
        {
            return new Answer(e.HttpRequestError == HttpRequestError.ConnectionError ? AnswerKind.NotSent : AnswerKind.Lost, e.Message);
        }
        catch (IOException e)
        {
            return new Answer(AnswerKind.Lost, e.Message);
        }
        catch (OperationCanceledException)
        {
            return new Answer(AnswerKind.Failed, "no answer within the timeout of the policy");
        }
        catch (Exception e)
        {
            LogFault(Identity.App, Identity.Topic, e);
            return new Answer(AnswerKind.Failed, e.Message);
        }
    }

    private async Task<Answer> AttemptAsync(Message message, Member member)
    {
        if (message.Expires <= broker.Time.GetUtcNow()) return new Answer(AnswerKind.Drop, "expired");
        if (broker.Faults.Deliver(Identity.Topic, Identity.App) is { } fault)
        {
            if (fault.Mode == "fail") return new Answer(AnswerKind.Failed, "fault ordered", 500);
            await SendAsync(message, member);
        }
        return await SendAsync(message, member);
    }

    private async Task<Answer> SendAsync(Message message, Member member)
    {
        var (body, path, refusal) = Prepare(message, member.Subscription);
        if (refusal is { } no) return no;
        if (member.Policy?.Breaker is not { } breaker) return await PostAsync(body, path, member);

        if (breaker.Enter(broker.Time.GetUtcNow()) is not { } ticket) return new Answer(AnswerKind.Failed, "the circuit breaker is open", Final: true);
        var succeeded = false;
        try
        {
            var answer = await PostAsync(body, path, member);
            succeeded = answer.Kind != AnswerKind.Failed;
            return answer;
        }
        finally
        {
            breaker.Leave(ticket, succeeded, broker.Time.GetUtcNow());
        }
    }

    private async Task<Answer> PostAsync(byte[] body, string path, Member member)
    {
        using var limit = Limit(member);
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = CloudEvents;
        using var request = member.Instance.Channel.Request(HttpMethod.Post, path, content);
        request.Headers.TryAddWithoutValidation("pubsubName", broker.Name);
        if (TraceOf(body) is { } trace)
        {
            request.Headers.Remove("traceparent");
            request.Headers.TryAddWithoutValidation("traceparent", trace);
        }

        using var response = await member.Instance.Channel.SendAsync(request, limit?.Token ?? stop.Token);
        var status = (int)response.StatusCode;
        return status switch
        {
            404 => new Answer(AnswerKind.Drop, "the app has no route for it (404)"),
            >= 200 and < 300 => Verdict(await ReadAsync(response, limit?.Token ?? stop.Token)),
            _ => new Answer(AnswerKind.Failed, $"status {status}", status),
        };
    }

    private (byte[] Body, string Path, Answer? Refusal) Prepare(Message message, Subscription subscription)
    {
        var body = broker.Load(message);
        if (subscription.IsRaw) body = Publication.WrapRaw(body, broker.Name, Identity.Topic);
        string? path;
        try
        {
            if (message.Raw && !subscription.IsRaw)
            {
                using var _ = JsonDocument.Parse(body);   // bare bytes for an app that expects envelopes
            }
            path = subscription.Route(body);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return (body, "", new Answer(AnswerKind.Failed, e.Message));
        }
        if (path is null) return (body, "", new Answer(AnswerKind.Drop, "no rule matches"));
        return (body, path.StartsWith('/') ? path : "/" + path, null);
    }

    /// <summary>What is waiting right now goes out together; nobody waits for a batch to fill. Entries with another route are a batch of their own.</summary>
    private async Task DeliverBulkAsync(List<Lane> batch, Member member)
    {
        var byPath = new Dictionary<string, List<(Lane Lane, byte[] Body)>>();
        foreach (var lane in batch)
        {
            Answer? early = null;
            await GuardAsync(() =>
            {
                var (body, path, refusal) = Prepare(lane.Head, member.Subscription);
                early = lane.Head.Expires <= broker.Time.GetUtcNow() ? new Answer(AnswerKind.Drop, "expired") : refusal;
                if (early is not null) return Task.FromResult(early.Value);
                if (!byPath.TryGetValue(path, out var entries)) byPath[path] = entries = [];
                entries.Add((lane, body));
                return Task.FromResult(new Answer(AnswerKind.Done));
            });
            if (early is { } answer) await SettleAsync(lane, member, answer, static () => { });
        }

        foreach (var (path, entries) in byPath)
        {
            Dictionary<string, Answer> verdicts = [];
            var whole = await GuardAsync(async () => await SendBulkAsync(path, entries, member, verdicts));
            if (whole.Kind == AnswerKind.Stopped) break;
            foreach (var (lane, _) in entries)
            {
                var answer = whole.Kind != AnswerKind.Done || verdicts.Count == 0 && whole.Reason is not null ? whole
                    : verdicts.GetValueOrDefault(EntryId(lane), new Answer(AnswerKind.Failed, "the answer has no status for the entry"));
                await SettleAsync(lane, member, answer, static () => { });
            }
        }
        Left(member);
    }

    private async Task<Answer> SendBulkAsync(string path, List<(Lane Lane, byte[] Body)> entries, Member member, Dictionary<string, Answer> verdicts)
    {
        if (broker.Faults.Deliver(Identity.Topic, Identity.App) is { } fault)
        {
            if (fault.Mode == "fail") return new Answer(AnswerKind.Failed, "fault ordered", 500);
            await SendBulkAsync(path, entries, member, []);
        }

        using var limit = Limit(member);
        var ct = limit?.Token ?? stop.Token;
        using var content = new ByteArrayContent(BulkBody(entries, member.Subscription));
        content.Headers.ContentType = Json;
        using var request = member.Instance.Channel.Request(HttpMethod.Post, path, content);
        request.Headers.TryAddWithoutValidation("pubsubName", broker.Name);
        using var response = await member.Instance.Channel.SendAsync(request, ct);
        var status = (int)response.StatusCode;
        if (status == 404) return new Answer(AnswerKind.Done, "the app has no route for it (404)");
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

    private byte[] BulkBody(List<(Lane Lane, byte[] Body)> entries, Subscription subscription)
    {
        var buffer = new System.Buffers.ArrayBufferWriter<byte>(entries.Sum(entry => entry.Body.Length + 128));
        using var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { SkipValidation = true });
        json.WriteStartObject();
        json.WriteString("id"u8, Guid.NewGuid());
        json.WriteStartArray("entries"u8);
        foreach (var (lane, body) in entries)
        {
            json.WriteStartObject();
            json.WriteString("entryId"u8, EntryId(lane));
            json.WritePropertyName("event"u8);
            json.WriteRawValue(body, skipInputValidation: true);
            json.WriteString("contentType"u8, Publication.CloudEvents);
            json.WriteStartObject("metadata"u8);
            json.WriteString("pubsubName"u8, broker.Name);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartObject("metadata"u8);
        json.WriteEndObject();
        json.WriteString("topic"u8, Identity.Topic);
        json.WriteString("pubsubname"u8, subscription.PubSub);
        json.WriteString("type"u8, "com.dapr.event.sent.bulk"u8);
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    private static string EntryId(Lane lane) => lane.Head.Sequence.ToString(null, null);

    private CancellationTokenSource? Limit(Member member)
    {
        if (member.Policy?.Timeout is not { } timeout) return null;
        var limit = CancellationTokenSource.CreateLinkedTokenSource(stop.Token);
        limit.CancelAfter(timeout);
        return limit;
    }

    /// <summary>What the answer means for the message, and what follows for the lane.</summary>
    private async Task SettleAsync(Lane lane, Member member, Answer answer, Action leave)
    {
        var message = lane.Head;
        switch (answer.Kind)
        {
            case AnswerKind.Done:
                break;
            case AnswerKind.NotSent:
                leave();
                Later(lane, LossPause);
                return;
            case AnswerKind.Lost when ++lane.Losses <= MaxLosses:
                leave();
                Later(lane, LossPause);
                return;
            case AnswerKind.Drop:
                if (member.Subscription.DeadLetterTopic is { } unwanted)
                    await DeadLetterAsync(message, unwanted, answer);
                else
                    LogDropped(Identity.App, Identity.Topic, message.Sequence, answer.Reason);
                break;
            default:
                lane.Failures++;
                lane.FirstFailure ??= broker.Time.GetTimestamp();
                if (Pause(lane, member, answer) is { } pause)
                {
                    LogRetry(Identity.App, Identity.Topic, message.Sequence, lane.Failures, answer.Reason);
                    leave();
                    Later(lane, pause);
                    return;
                }

                if (member.Subscription.DeadLetterTopic is { } exhausted)
                    await DeadLetterAsync(message, exhausted, answer);
                else
                    LogLost(Identity.App, Identity.Topic, message.Sequence, answer.Reason);   // as the in-memory component of daprd does
                break;
        }

        if (stop.IsCancellationRequested && answer.Kind != AnswerKind.Done)
        {
            leave();
            return;
        }
        broker.Finish(message, Identity);
        Interlocked.Decrement(ref waiting);
        lock (gate)
        {
            if (lane.Advance()) ready.Enqueue(lane);
            else if (lane.Key is not null) lanes.Remove(lane.Key);
        }
        leave();
    }

    private TimeSpan? Pause(Lane lane, Member member, Answer answer)
    {
        if (answer.Final || member.Policy?.Retry is not { } retry || (answer.Status is { } status && !retry.RetriesHttp(status))) return null;
        return retry.Pause(lane.Failures, broker.Time.GetElapsedTime(lane.FirstFailure!.Value));
    }

    private async Task DeadLetterAsync(Message message, string topic, Answer answer)
    {
        LogDeadLetter(Identity.App, Identity.Topic, message.Sequence, topic, answer.Reason);
        try
        {
            await broker.CopyAsync(message, topic);
        }
        catch (IOException e)
        {
            LogNoDeadLetter(Identity.App, Identity.Topic, message.Sequence, topic, e);
        }
    }

    private void Later(Lane lane, TimeSpan pause) => _ = LaterAsync(lane, pause);

    private async Task LaterAsync(Lane lane, TimeSpan pause)
    {
        try
        {
            await Task.Delay(pause, broker.Time, stop.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            return;   // stays in the journal
        }
        lock (gate) ready.Enqueue(lane);
        Wake();
    }

    private void Left(Member member)
    {
        lock (gate)
        {
            member.InFlight--;
            inFlight--;
            if (inFlight == 0) idle?.TrySetResult();
            if (ready.Count == 0) return;
        }
        Wake();
    }

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
                Array.Resize(ref buffer, length * 4);
            }
            var read = await stream.ReadAsync(buffer.AsMemory(length), ct);
            if (read == 0) return buffer[..length];
            length += read;
        }
    }

    /// <summary>The publisher's trace goes on in the subscriber, with a span of our own between them.</summary>
    private static string? TraceOf(ReadOnlySpan<byte> envelope)
    {
        const int Length = 55;
        var start = envelope.IndexOf("\"traceparent\":\"00-"u8);
        if (start < 0) return null;
        var value = envelope[(start + 15)..];
        if (value.Length <= Length || value[Length] != '"') return null;
        Span<char> trace = stackalloc char[Length];
        for (var i = 0; i < Length; i++) trace[i] = (char)value[i];
        ActivitySpanId.CreateRandom().ToHexString().CopyTo(trace[36..]);
        return new string(trace);
    }

    [LoggerMessage(LogLevel.Debug, "{App}: event {Sequence} of {Topic} failed for the {Failures}. time and will be delivered again: {Reason}")]
    private partial void LogRetry(string app, string topic, long sequence, int failures, string? reason);

    [LoggerMessage(LogLevel.Warning, "{App}: event {Sequence} of {Topic} goes to {DeadLetterTopic}: {Reason}")]
    private partial void LogDeadLetter(string app, string topic, long sequence, string deadLetterTopic, string? reason);

    [LoggerMessage(LogLevel.Error, "{App}: event {Sequence} of {Topic} could not be put into {DeadLetterTopic} and is lost")]
    private partial void LogNoDeadLetter(string app, string topic, long sequence, string deadLetterTopic, Exception exception);

    [LoggerMessage(LogLevel.Warning, "{App}: event {Sequence} of {Topic} is dropped: {Reason}")]
    private partial void LogDropped(string app, string topic, long sequence, string? reason);

    [LoggerMessage(LogLevel.Error, "{App}: event {Sequence} of {Topic} failed and there is neither another try nor a dead-letter topic: {Reason}")]
    private partial void LogLost(string app, string topic, long sequence, string? reason);

    [LoggerMessage(LogLevel.Error, "{App}: a delivery of {Topic} failed inside the sidecar")]
    private partial void LogFault(string app, string topic, Exception exception);

    private enum AnswerKind
    {
        Done,
        Drop,
        Failed,

        /// <summary>The connection was refused: the app has not seen the message, and this is not its failure.</summary>
        NotSent,

        /// <summary>The app went away before it answered.</summary>
        Lost,

        /// <summary>The host is stopping.</summary>
        Stopped,
    }

    /// <param name="Final">No retry, whatever the policy says.</param>
    private readonly record struct Answer(AnswerKind Kind, string? Reason = null, int? Status = null, bool Final = false);

    private sealed class Member(SidecarInstance instance, Subscription subscription)
    {
        public SidecarInstance Instance { get; } = instance;
        public Subscription Subscription { get; } = subscription;
        public Resiliency.ResiliencePolicy? Policy { get; } = instance.Components.Resiliency.ComponentInbound(subscription.PubSub, "Pubsub");
        public int InFlight { get; set; }
    }

    /// <summary>Messages that must follow each other; the tries counted here are those of its first one.</summary>
    private sealed class Lane(string? key, Message head)
    {
        private Queue<Message>? behind;

        public string? Key { get; } = key;
        public Message Head { get; private set; } = head;
        public int Failures { get; set; }
        public int Losses { get; set; }
        public long? FirstFailure { get; set; }

        public void Add(Message message) => (behind ??= new Queue<Message>()).Enqueue(message);

        public bool Advance()
        {
            (Failures, Losses, FirstFailure) = (0, 0, null);
            if (behind is null || !behind.TryDequeue(out var next)) return false;
            Head = next;
            return true;
        }
    }
}
