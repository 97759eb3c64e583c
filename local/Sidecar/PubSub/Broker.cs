using System.Collections.Concurrent;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>One in-memory pub/sub component of the host, shared by all apps that load it: its journal and who listens to what.</summary>
internal sealed partial class Broker : IAsyncDisposable
{
    private readonly ConcurrentDictionary<int, ConsumerGroup> groups = new();
    private readonly Journal journal;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly int concurrency;

    public Broker(string folder, int concurrency, TimeProvider time, ILoggerFactory loggers)
    {
        this.concurrency = concurrency;
        this.time = time;
        log = loggers.CreateLogger("Marketplace.Local.Sidecar.PubSub");
        journal = new Journal(folder, log) { Written = Dispatch };
        foreach (var message in journal.TakeRestored()) Dispatch(message);
    }

    /// <summary>Topics the app is known to listen to, from this run or an earlier one.</summary>
    public IReadOnlyList<string> TopicsOf(string app) => [.. journal.Groups.Where(group => group.App == app).Select(group => group.Topic)];

    /// <summary>Messages that the app has not finished.</summary>
    public long Backlog(string app) => journal.Groups.Where(group => group.App == app).Sum(group => groups.TryGetValue(group.Id, out var one) ? one.Backlog : 0L);

    /// <summary>Completes when the messages would survive the death of this process.</summary>
    public Task PublishAsync(string topic, IReadOnlyList<Sealed> contents) =>
        contents.Count == 1 ? journal.AppendAsync(topic, contents[0]) : journal.AppendAsync(topic, contents);

    public async Task<IAsyncDisposable> SubscribeAsync(Delivery delivery)
    {
        var identity = await journal.JoinAsync(delivery.Topic, delivery.App);
        return GroupOf(identity).Join(delivery);
    }

    /// <summary>No version of the app listens to the topic any more: what waits for it is dropped.</summary>
    public async Task ForgetAsync(string topic, string app)
    {
        if (journal.Groups.FirstOrDefault(group => group.Topic == topic && group.App == app) is not { } identity) return;
        LogGivenUp(app, topic);
        journal.Leave(identity);
        if (groups.TryRemove(identity.Id, out var group)) await group.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(groups.Values.Select(group => group.DisposeAsync().AsTask()));
        await journal.DisposeAsync();
    }

    private void Dispatch(Message message)
    {
        foreach (var id in message.Groups)
        {
            if (id == Message.Nobody) continue;
            if (groups.TryGetValue(id, out var group)) group.Enqueue(new Kept(journal, message, id));
            else if (journal.Groups.FirstOrDefault(known => known.Id == id) is { } identity) GroupOf(identity).Enqueue(new Kept(journal, message, id));
            else journal.Done(message, id);   // the group left while the message was being written
        }
    }

    private ConsumerGroup GroupOf(JournalGroup identity) =>
        groups.GetOrAdd(identity.Id, static (_, self) => new ConsumerGroup(self.concurrency, self.time, self.log), this);

    [LoggerMessage(LogLevel.Information, "{App} no longer listens to {Topic}; what waited for it is dropped")]
    private partial void LogGivenUp(string app, string topic);

    /// <summary>A message of the journal in the hands of one group. Here a failed message is gone, as in Dapr's component of that name.</summary>
    private sealed class Kept(Journal journal, Message message, int group) : Parcel(message.Key)
    {
        public override Incoming Read() =>
            new(journal.Load(message), Incoming.NoMetadata, message.Sequence.ToString(null, null), message.Key, message.Expires);

        public override void Finish(Outcome outcome) => journal.Done(message, group);
    }
}
