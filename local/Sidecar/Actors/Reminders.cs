using System.Collections.Concurrent;
using System.Text.Json;
using Grpc.Core;
using Marketplace.Local.Sidecar.State;

namespace Marketplace.Local.Sidecar.Actors;

/// <summary>
/// Reminders, kept in the actor store of the app that hosts the type: a list per type in a few partitions, so that starting reads a handful of keys.
/// A firing is recorded after the actor took it; dying in between means that it fires again.
/// </summary>
internal sealed partial class Reminders(ActorDirectory directory, TimeProvider time, ILogger log) : IAsyncDisposable
{
    private const int Partitions = 16;

    private readonly ConcurrentDictionary<(string App, string Type), Task<Book>> books = new();
    private readonly CancellationTokenSource stop = new();

    /// <summary>Reads what earlier runs left for the types of this app, once, and lets it go on.</summary>
    public async Task LoadAsync(SidecarInstance instance, string type)
    {
        if (instance.Components.ActorStore is not null) await BookOfAsync(instance, type);
    }

    /// <exception cref="FormatException">The schedule cannot be read.</exception>
    public async Task RegisterAsync(SidecarInstance instance, string type, string id, string name, ReminderRequest request, CancellationToken ct)
    {
        var book = await BookOfAsync(instance, type).WaitAsync(ct);
        var now = time.GetUtcNow();
        var schedule = Schedule.Parse(request.DueTime, request.Period, request.Ttl, now, calendar: false);
        var reminder = new Reminder(id, name, request.Data, request.DueTime ?? "", request.Period ?? "", request.Ttl ?? "", schedule.Due, schedule.Period, schedule.Repetitions, schedule.Expires, request.Policy);
        if (!book.Put(reminder, request.Overwrite, out var entry))
            throw new DaprApiException(409, StatusCode.AlreadyExists, "ERR_ACTOR_REMINDER_ALREADY_EXISTS", $"reminder {name} of actor {type}/{id} already exists");
        try
        {
            await book.SaveAsync(id, ct);
        }
        catch
        {
            book.Drop(entry);
            throw;
        }
        Start(book, entry);
    }

    public async Task RemoveAsync(SidecarInstance instance, string type, string id, string name, CancellationToken ct)
    {
        var book = await BookOfAsync(instance, type).WaitAsync(ct);
        if (book.Remove(id, name)) await book.SaveAsync(id, ct);
    }

    public async Task<Reminder?> GetAsync(SidecarInstance instance, string type, string id, string name, CancellationToken ct) =>
        (await BookOfAsync(instance, type).WaitAsync(ct)).Find(id, name);

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        foreach (var reading in books.Values)
        {
            await ((Task)reading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (reading.IsCompletedSuccessfully) await Task.WhenAll((await reading).Running);
        }
        stop.Dispose();
    }

    private async Task<Book> BookOfAsync(SidecarInstance instance, string type)
    {
        var reading = books.GetOrAdd((instance.AppId, type), static (key, state) => state.Self.ReadAsync(state.Instance, key.Type), (Self: this, Instance: instance));
        try
        {
            return await reading;
        }
        catch
        {
            books.TryRemove(new((instance.AppId, type), reading));   // the store may answer the next time
            throw;
        }
    }

    private async Task<Book> ReadAsync(SidecarInstance instance, string type)
    {
        await Task.Yield();
        var store = instance.Components.ActorStore ?? throw new DaprApiException(500, StatusCode.Internal, "ERR_ACTOR_REMINDER_CREATE",
            "the actor state store is not configured: reminders have nowhere to live");
        var book = new Book(store.Store, $"{instance.AppId}||dapr.internal.reminders||{type}", type);
        foreach (var entry in await book.ReadAsync(stop.Token)) Start(book, entry);
        return book;
    }

    private void Start(Book book, Entry entry) => entry.Done = RunAsync(book, entry);

    private async Task RunAsync(Book book, Entry entry)
    {
        await Task.Yield();
        try
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(stop.Token, entry.Stop.Token);
            var ct = either.Token;
            while (true)
            {
                var reminder = entry.Reminder;
                await time.UntilAsync(reminder.Due, ct);
                if (reminder.Expires <= time.GetUtcNow())
                {
                    if (book.Drop(entry)) await book.SaveAsync(reminder.Id, ct);
                    return;
                }

                await FireAsync(book.Type, reminder, ct);
                if (!book.Advance(entry, time.GetUtcNow(), out var last)) return;   // replaced or removed by the callback itself
                await book.SaveAsync(reminder.Id, ct);
                if (last) return;
            }
        }
        catch (OperationCanceledException)
        {
            return;
        }
        catch (Exception e)
        {
            LogEnded(book.Type, entry.Reminder.Id, entry.Reminder.Name, e);   // the store failed; it goes on when the host starts again
        }
    }

    private async Task FireAsync(string type, Reminder reminder, CancellationToken ct)
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(new { data = reminder.Data, dueTime = "", period = "" });
        var call = new ActorCall(type, reminder.Id, $"method/remind/{Uri.EscapeDataString(reminder.Name)}", [new("Content-Type", "application/json")], body);
        for (var failures = 0; ;)
        {
            string reason;
            try
            {
                while (!directory.CanPlace(type)) await Task.Delay(TimeSpan.FromMilliseconds(250), time, ct);   // the app is away; the tick waits for it
                var reply = await directory.CallAsync(call, reentrancyId: null, stop.Token);
                if (reply.Status == 200) return;
                reason = $"status {reply.Status}";
            }
            catch (DaprApiException e) when (e.ErrorCode == "ERR_ACTOR_NO_ADDRESS")
            {
                continue;
            }
            catch (DaprApiException e)
            {
                reason = e.Message;
            }

            if (++failures > reminder.Policy.MaxRetries)
            {
                LogGivenUp(type, reminder.Id, reminder.Name, failures, reason);
                return;
            }
            await Task.Delay(reminder.Policy.Interval, time, ct);
        }
    }

    [LoggerMessage(LogLevel.Warning, "Reminder {Name} of actor {Type}/{Id} failed {Failures} times, this firing is given up: {Reason}")]
    private partial void LogGivenUp(string type, string id, string name, int failures, string reason);

    [LoggerMessage(LogLevel.Error, "Reminder {Name} of actor {Type}/{Id} stops until the host is started again")]
    private partial void LogEnded(string type, string id, string name, Exception exception);

    /// <summary>The reminders of one type in one app.</summary>
    private sealed class Book(IStateStore store, string prefix, string type)
    {
        private readonly Lock gate = new();
        private readonly Dictionary<(string Id, string Name), Entry> entries = [];
        private readonly Page[] pages = [.. Enumerable.Range(0, Partitions).Select(_ => new Page())];

        public string Type { get; } = type;

        public IReadOnlyList<Task> Running
        {
            get { lock (gate) return [.. entries.Values.Select(entry => entry.Done)]; }
        }

        public async Task<IReadOnlyList<Entry>> ReadAsync(CancellationToken ct)
        {
            var found = new List<Entry>();
            foreach (var page in await store.GetManyAsync([.. Enumerable.Range(0, Partitions).Select(Key)], ct))
                foreach (var reminder in page is null ? [] : JsonSerializer.Deserialize<List<Reminder>>(page.Value.Span, JsonSerializerOptions.Web)!)
                {
                    var entry = new Entry(reminder);
                    entries[(reminder.Id, reminder.Name)] = entry;
                    found.Add(entry);
                }
            return found;
        }

        public bool Put(Reminder reminder, bool overwrite, out Entry entry)
        {
            lock (gate)
            {
                entry = new Entry(reminder);
                if (entries.TryGetValue((reminder.Id, reminder.Name), out var old))
                {
                    if (!overwrite) return false;
                    old.Cancel();
                }
                entries[(reminder.Id, reminder.Name)] = entry;
                return true;
            }
        }

        public Reminder? Find(string id, string name)
        {
            lock (gate) return entries.TryGetValue((id, name), out var entry) ? entry.Reminder : null;
        }

        public bool Remove(string id, string name)
        {
            lock (gate)
            {
                if (!entries.Remove((id, name), out var entry)) return false;
                entry.Cancel();
                return true;
            }
        }

        public bool Drop(Entry entry)
        {
            lock (gate) return IsCurrent(entry) && entries.Remove((entry.Reminder.Id, entry.Reminder.Name));
        }

        /// <summary>False when the entry is no longer the one in force.</summary>
        public bool Advance(Entry entry, DateTimeOffset now, out bool last)
        {
            lock (gate)
            {
                last = false;
                if (!IsCurrent(entry)) return false;
                if (entry.Reminder.Next(now) is { } next) entry.Reminder = next;
                else last = entries.Remove((entry.Reminder.Id, entry.Reminder.Name));
                return true;
            }
        }

        /// <summary>Writes the partition the actor belongs to. Whoever waits while one write is on its way shares the next.</summary>
        public async Task SaveAsync(string id, CancellationToken ct)
        {
            var number = PartitionOf(id);
            var page = pages[number];
            long mine;
            lock (gate) mine = ++page.Wanted;
            await page.Turn.WaitAsync(ct);
            try
            {
                if (page.Saved >= mine) return;
                long reached;
                List<Reminder> current;
                lock (gate)
                {
                    reached = page.Wanted;
                    current = [.. entries.Where(entry => PartitionOf(entry.Key.Id) == number).Select(entry => entry.Value.Reminder)];
                }

                var write = new StateWrite(Key(number), JsonSerializer.SerializeToUtf8Bytes(current, JsonSerializerOptions.Web), Json: true);
                var result = await store.SetAsync(write, ct);
                if (!result.Ok) throw new IOException($"the actor store refused the reminders: {result.Message}");
                page.Saved = reached;
            }
            finally
            {
                page.Turn.Release();
            }
        }

        private bool IsCurrent(Entry entry) => entries.TryGetValue((entry.Reminder.Id, entry.Reminder.Name), out var current) && ReferenceEquals(current, entry);

        private string Key(int partition) => $"{prefix}||{partition}";

        /// <summary>Stable over restarts, unlike string.GetHashCode.</summary>
        private static int PartitionOf(string id)
        {
            var hash = 2166136261u;
            foreach (var c in id) hash = (hash ^ c) * 16777619u;
            return (int)(hash % Partitions);
        }

        private sealed class Page
        {
            public SemaphoreSlim Turn { get; } = new(1, 1);
            public long Wanted { get; set; }
            public long Saved { get; set; }
        }
    }

    private sealed class Entry(Reminder reminder)
    {
        public Reminder Reminder { get; set; } = reminder;

        /// <summary>Ends the waiting, never a call under way: the actor may be removing the reminder from within it.</summary>
        public CancellationTokenSource Stop { get; } = new();
        public Task Done { get; set; } = Task.CompletedTask;

        public void Cancel() => Stop.Cancel();
    }
}

/// <summary>A reminder as it stands in the store: the texts as they were registered, for who asks, and what follows from them.</summary>
internal sealed record Reminder(
    string Id,
    string Name,
    JsonElement? Data,
    string DueText,
    string PeriodText,
    string TtlText,
    DateTimeOffset Due,
    TimeSpan? Period,
    int? Repetitions,
    DateTimeOffset? Expires,
    ReminderPolicy Policy)
{
    public Reminder? Next(DateTimeOffset now) =>
        new Schedule(Due, Period, Repetitions, Expires).Next(now) is { } next ? this with { Due = next.Due, Repetitions = next.Repetitions } : null;
}

/// <summary>What a failed firing does: by default three more tries, a second apart.</summary>
internal sealed record ReminderPolicy(TimeSpan Interval, int MaxRetries)
{
    public static readonly ReminderPolicy Default = new(TimeSpan.FromSeconds(1), 3);
    public static readonly ReminderPolicy Drop = new(TimeSpan.Zero, 0);
}

internal sealed record ReminderRequest(string? DueTime, string? Period, string? Ttl, JsonElement? Data, bool Overwrite, ReminderPolicy Policy);
