using System.Collections.Concurrent;
using Dapr;
using Dapr.Actors;
using Dapr.Actors.Client;
using Dapr.Actors.Runtime;

namespace Marketplace.Sidecar.Tests.Actors;

/// <summary>A till in a shop: it adds up sums, one customer at a time, and does everything else an actor can.</summary>
public interface ITill : IActor
{
    Task<int> AddAsync(int amount);

    Task<int> TotalAsync();

    /// <summary>Where the actor lives, after a while in which nobody else may be served.</summary>
    Task<string> ServeAsync(int milliseconds);

    Task RefuseAsync(string why);

    Task NoteAsync(string key, string text, int ttlSeconds);

    Task<string> ReadNoteAsync(string key);

    Task RemindAsync(string name, int dueMilliseconds, int periodMilliseconds, int repetitions);

    Task<string> PeriodOfAsync(string name);

    Task ForgetAsync(string name);

    Task TickAsync(string name, int periodMilliseconds);

    Task StopTickingAsync(string name);

    Task<int> CountDownAsync(int from);
}

/// <summary>What the tills of one app instance did; a test reads it.</summary>
public sealed class TillBook(string instance)
{
    public string Instance { get; } = instance;
    public ConcurrentQueue<(string Till, string What)> Lines { get; } = new();

    /// <summary>A reminder of this name fails as often.</summary>
    public ConcurrentDictionary<string, int> Failing { get; } = new();
    public int MostAtOnce { get; set; }

    public int Count(string till, string what) => Lines.Count(line => line == (till, what));
}

[Actor(TypeName = "Till")]
public sealed class TillActor(ActorHost host, TillBook book, IActorProxyFactory proxies) : Actor(host), ITill, IRemindable
{
    private int inside;

    protected override Task OnActivateAsync() => WriteAsync("activated");

    protected override Task OnDeactivateAsync() => WriteAsync("deactivated");

    public async Task<int> AddAsync(int amount)
    {
        // Read, wait, write: two customers at once would lose a sum.
        var total = await StateManager.GetOrAddStateAsync("total", 0);
        await Task.Yield();
        await StateManager.SetStateAsync("total", total + amount);
        return total + amount;
    }

    public Task<int> TotalAsync() => StateManager.GetOrAddStateAsync("total", 0);

    public async Task<string> ServeAsync(int milliseconds)
    {
        book.MostAtOnce = Math.Max(book.MostAtOnce, Interlocked.Increment(ref inside));
        await WriteAsync("serving");
        await Task.Delay(milliseconds);
        Interlocked.Decrement(ref inside);
        return book.Instance;
    }

    public Task RefuseAsync(string why) => throw new InvalidOperationException(why);

    public Task NoteAsync(string key, string text, int ttlSeconds) =>
        ttlSeconds > 0 ? StateManager.SetStateAsync(key, text, TimeSpan.FromSeconds(ttlSeconds)) : StateManager.SetStateAsync(key, text);

    public async Task<string> ReadNoteAsync(string key)
    {
        var note = await StateManager.TryGetStateAsync<string>(key);
        return note.HasValue ? note.Value : "";
    }

    public async Task RemindAsync(string name, int dueMilliseconds, int periodMilliseconds, int repetitions)
    {
        var due = TimeSpan.FromMilliseconds(dueMilliseconds);
        var period = TimeSpan.FromMilliseconds(periodMilliseconds);
        if (repetitions > 0) await RegisterReminderAsync(name, "note"u8.ToArray(), due, period, repetitions);
        else await RegisterReminderAsync(name, "note"u8.ToArray(), due, period);
    }

    public async Task<string> PeriodOfAsync(string name)
    {
        try
        {
            return (await GetReminderAsync(name)).Period.ToString();
        }
        catch (DaprApiException e) when (e.ErrorCode == "ERR_ACTOR_REMINDER_NOT_FOUND")
        {
            return "none";
        }
    }

    public Task ForgetAsync(string name) => UnregisterReminderAsync(name);

    public async Task ReceiveReminderAsync(string reminderName, byte[] state, TimeSpan dueTime, TimeSpan period)
    {
        await WriteAsync($"reminded of {reminderName} with {System.Text.Encoding.UTF8.GetString(state)}");
        if (book.Failing.TryGetValue(reminderName, out var left) && left > 0)
        {
            book.Failing[reminderName] = left - 1;
            throw new InvalidOperationException("not now");
        }

        if (reminderName.StartsWith("once-", StringComparison.Ordinal)) await UnregisterReminderAsync(reminderName);
    }

    public Task TickAsync(string name, int periodMilliseconds) => RegisterTimerAsync(name, nameof(OnTickAsync), "tick"u8.ToArray(), TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(periodMilliseconds));

    public Task StopTickingAsync(string name) => UnregisterTimerAsync(name);

    public Task OnTickAsync(byte[] state) => WriteAsync("ticked");

    public Task<int> CountDownAsync(int from) =>
        from == 0 ? Task.FromResult(0) : AddUpAsync(from);

    private async Task<int> AddUpAsync(int from) => 1 + await proxies.CreateActorProxy<ITill>(Id, "Till").CountDownAsync(from - 1);

    private Task WriteAsync(string what)
    {
        book.Lines.Enqueue((Id.GetId(), what));
        return Task.CompletedTask;
    }
}
