using System.Collections.Concurrent;
using System.Text.Json;

namespace Marketplace.Local.Sidecar.Actors;

/// <summary>Timers of actors. They live in memory and end with the instance they were registered through.</summary>
internal sealed partial class Timers(ActorDirectory directory, TimeProvider time, ILogger log) : IAsyncDisposable
{
    private readonly ConcurrentDictionary<(string Type, string Id, string Name), Running> timers = new();
    private readonly CancellationTokenSource stop = new();

    public void Register(SidecarInstance instance, string type, string id, string name, TimerRequest request)
    {
        var schedule = Schedule.Parse(request.DueTime, request.Period, request.Ttl, time.GetUtcNow(), calendar: true);
        Remove(type, id, name);
        var running = new Running(instance);
        timers[(type, id, name)] = running;
        running.Done = RunAsync((type, id, name), request, schedule, running);
    }

    public void Remove(string type, string id, string name)
    {
        if (timers.TryRemove((type, id, name), out var running)) running.Stop.Cancel();
    }

    public void RemoveAll(SidecarInstance instance)
    {
        foreach (var (key, running) in timers)
            if (running.Instance == instance) Remove(key.Type, key.Id, key.Name);
    }

    public async ValueTask DisposeAsync()
    {
        var ending = timers.Values.Select(running => running.Done).ToList();
        foreach (var key in timers.Keys) Remove(key.Type, key.Id, key.Name);
        await stop.CancelAsync();
        await Task.WhenAll(ending);
        stop.Dispose();
    }

    private async Task RunAsync((string Type, string Id, string Name) key, TimerRequest request, Schedule first, Running running)
    {
        var ct = running.Stop.Token;
        try
        {
            for (var next = first; next is not null;)
            {
                await time.UntilAsync(next.Due, ct);
                if (next.Expires <= time.GetUtcNow()) break;
                await FireAsync(key, request);
                if (ct.IsCancellationRequested) return;

                // Counted from the end of the callback: a slow one delays the next, they never pile up.
                next = next.Next(time.GetUtcNow()) is { } following ? following with { Due = time.GetUtcNow() + following.Period!.Value } : null;
            }
            timers.TryRemove(new(key, running));
        }
        catch (OperationCanceledException)
        {
            // Unregistered, replaced, or its instance is gone.
            return;
        }
    }

    private async Task FireAsync((string Type, string Id, string Name) key, TimerRequest request)
    {
        try
        {
            var call = new ActorCall(key.Type, key.Id, $"method/timer/{Uri.EscapeDataString(key.Name)}", [new("Content-Type", "application/json")], request.Body());
            var reply = await directory.CallAsync(call, reentrancyId: null, stop.Token);
            if (reply.Status != 200) LogFailed(key.Type, key.Id, key.Name, $"status {reply.Status}");
        }
        catch (DaprApiException e)
        {
            LogFailed(key.Type, key.Id, key.Name, e.Message);
        }
    }

    [LoggerMessage(LogLevel.Warning, "Timer {Name} of actor {Type}/{Id} failed, its next firing goes on: {Reason}")]
    private partial void LogFailed(string type, string id, string name, string reason);

    private sealed class Running(SidecarInstance instance)
    {
        public SidecarInstance Instance { get; } = instance;

        /// <summary>Ends the waiting, never a call under way: the actor may be stopping the timer from within it.</summary>
        public CancellationTokenSource Stop { get; } = new();
        public Task Done { get; set; } = Task.CompletedTask;
    }
}

internal sealed record TimerRequest(string? DueTime, string? Period, string? Ttl, string? Callback, JsonElement? Data)
{
    public byte[] Body() => JsonSerializer.SerializeToUtf8Bytes(new { callback = Callback ?? "", data = Data, dueTime = DueTime ?? "", period = Period ?? "" });
}
