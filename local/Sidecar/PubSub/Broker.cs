using System.Collections.Concurrent;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>One pub/sub component of the host, shared by all apps that load it: its journal and who listens to what.</summary>
internal sealed class Broker : IAsyncDisposable
{
    private readonly ConcurrentDictionary<int, ConsumerGroup> groups = new();
    private readonly Journal journal;
    private readonly ILogger log;
    private readonly int concurrency;

    public Broker(string name, string folder, int concurrency, Faults faults, TimeProvider time, ILoggerFactory loggers)
    {
        Name = name;
        Faults = faults;
        Time = time;
        this.concurrency = concurrency;
        log = loggers.CreateLogger("Marketplace.Local.Sidecar.PubSub");
        journal = new Journal(folder, log) { Written = Dispatch };
        foreach (var message in journal.TakeRestored()) Dispatch(message);
    }

    public string Name { get; }
    public Faults Faults { get; }
    public TimeProvider Time { get; }

    /// <summary>Topics the app is known to listen to, from this run or an earlier one.</summary>
    public IReadOnlyList<string> TopicsOf(string app) => [.. journal.Groups.Where(group => group.App == app).Select(group => group.Topic)];

    /// <summary>Messages some app has not finished, by topic and app.</summary>
    public IReadOnlyList<(string Topic, string App, int Waiting)> Backlog =>
        [.. groups.Values.Select(group => (group.Identity.Topic, group.Identity.App, group.Backlog))];

    /// <summary>Completes when the message would survive the death of this process.</summary>
    public Task PublishAsync(string topic, in Sealed content) => journal.AppendAsync(topic, content);

    public Task PublishAsync(string topic, IReadOnlyList<Sealed> contents) => journal.AppendAsync(topic, contents);

    public async Task SubscribeAsync(SidecarInstance instance, Subscription subscription)
    {
        var identity = await journal.JoinAsync(subscription.Topic, instance.AppId);
        GroupOf(identity).Join(instance, subscription);
    }

    /// <summary>The instance is away or no longer listens; its group goes on without it.</summary>
    public void Unsubscribe(SidecarInstance instance)
    {
        foreach (var group in groups.Values) group.Leave(instance);
    }

    /// <summary>No version of the app listens to the topic any more: what waits for it is dropped.</summary>
    public async Task ForgetAsync(string topic, string app)
    {
        if (journal.Groups.FirstOrDefault(group => group.Topic == topic && group.App == app) is not { } identity) return;
        journal.Leave(identity);
        if (groups.TryRemove(identity.Id, out var group)) await group.DisposeAsync();
    }

    public byte[] Load(Message message) => journal.Load(message);

    public void Finish(Message message, JournalGroup group) => journal.Done(message, group.Id);

    /// <summary>The same bytes to another topic, as dead letters are: their envelope still names the topic they came from.</summary>
    public Task CopyAsync(Message message, string topic) =>
        journal.AppendAsync(topic, new Sealed(journal.Load(message), message.Key, message.Raw, Expires: null));

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
            if (groups.TryGetValue(id, out var group)) group.Enqueue(message);
            else if (journal.Groups.FirstOrDefault(known => known.Id == id) is { } identity) GroupOf(identity).Enqueue(message);
            else journal.Done(message, id);   // the group left while the message was being written
        }
    }

    private ConsumerGroup GroupOf(JournalGroup identity) =>
        groups.GetOrAdd(identity.Id, static (_, state) => new ConsumerGroup(state.Self, state.Identity, state.Self.concurrency, state.Self.log), (Self: this, Identity: identity));
}
