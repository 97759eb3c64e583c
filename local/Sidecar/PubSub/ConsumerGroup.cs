namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>
/// All instances of one app that listen to one topic, and the messages this host holds for them. Each message goes to one of them; messages with the same
/// key one after the other, the others side by side up to <paramref name="concurrency"/> at each instance. What is being retried waits aside and holds
/// neither a place nor another key.
/// </summary>
internal sealed partial class ConsumerGroup(int concurrency, TimeProvider time, ILogger log) : IThreadPoolWorkItem, IAsyncDisposable
{
    public const int DefaultConcurrency = 16;
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);

    /// <summary>The app was just lost; the next look at it comes from its channel's watch.</summary>
    private static readonly TimeSpan LossPause = TimeSpan.FromMilliseconds(100);

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

    /// <summary>While no instance is there, what is not under way goes back to the broker, instead of waiting here.</summary>
    public bool LetsGo { get; init; }

    /// <summary>Messages not finished yet, those under way included.</summary>
    public int Backlog => Volatile.Read(ref waiting);

    public bool IsEmpty
    {
        get { lock (gate) return members.Count == 0; }
    }

    public void Enqueue(Parcel parcel)
    {
        lock (gate)
        {
            Interlocked.Increment(ref waiting);
            if (parcel.Key is null)
            {
                ready.Enqueue(new Lane(parcel));
                LetGo();
            }
            else if (lanes.TryGetValue(parcel.Key, out var lane))
                lane.Add(parcel);
            else
                ready.Enqueue(lanes[parcel.Key] = new Lane(parcel));
        }
        Wake();
    }

    /// <summary>The instance takes part until the result is disposed; what it has in its hands then is still waited for.</summary>
    public IAsyncDisposable Join(Delivery delivery)
    {
        var member = new Member(this, delivery);
        lock (gate) members.Add(member);
        Wake();
        return member;
    }

    /// <summary>No more deliveries; those under way get a moment to be answered. The rest stays where it came from.</summary>
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
            Member member;
            lock (gate)
            {
                if (idle is not null || ready.Count == 0 || Pick() is not { } picked || picked.InFlight >= picked.Places(concurrency)) return;
                member = picked;
                lane = ready.Dequeue();
                inFlight++;
                member.InFlight++;
            }
            _ = DeliverAsync(lane, member);
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
        try
        {
            var delivery = member.Delivery;
            var message = lane.Head.Read();
            var answer = await delivery.AttemptAsync(message, stop.Token);
            switch (delivery.Next(message, answer, ref lane.Tries, out var pause))
            {
                case Delivery.Step.Again:
                    _ = LaterAsync(lane, pause);
                    break;
                case Delivery.Step.Leave:
                    if (!stop.IsCancellationRequested) _ = LaterAsync(lane, LossPause);
                    break;
                default:
                    var outcome = await delivery.FinishAsync(message, answer, stop.Token);
                    if (stop.IsCancellationRequested && answer.Kind != AnswerKind.Done) break;
                    Finish(lane, outcome);
                    break;
            }
        }
        catch (Exception e)
        {
            // Reading the message or telling its broker failed: a fault of the disk or of ours. It waits for the next start of the host.
            LogStuck(member.Delivery.App, member.Delivery.Topic, e);
        }
        finally
        {
            Left(member);
        }
    }

    private void Finish(Lane lane, Outcome outcome)
    {
        lane.Head.Finish(outcome);
        Interlocked.Decrement(ref waiting);
        lock (gate)
        {
            if (lane.Advance()) ready.Enqueue(lane);
            else if (lane.Key is not null) lanes.Remove(lane.Key);
        }
    }

    private async Task LaterAsync(Lane lane, TimeSpan pause)
    {
        try
        {
            await Task.Delay(pause, time, stop.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            return;   // stays where it came from
        }
        lock (gate)
        {
            ready.Enqueue(lane);
            LetGo();
        }
        Wake();
    }

    private void LetGo()
    {
        if (!LetsGo || members.Count > 0) return;
        while (ready.TryDequeue(out var lane)) LetGo(lane);
    }

    private void LetGo(Lane lane)
    {
        do
        {
            lane.Head.Abandon(lane.Tries.Losses);
            Interlocked.Decrement(ref waiting);
        }
        while (lane.Advance());
        if (lane.Key is not null) lanes.Remove(lane.Key);
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

    [LoggerMessage(LogLevel.Error, "{App}: an event of {Topic} is stuck until the sidecar host starts again")]
    private partial void LogStuck(string app, string topic, Exception exception);

    private sealed class Member(ConsumerGroup group, Delivery delivery) : IAsyncDisposable
    {
        public Delivery Delivery { get; } = delivery;
        public int InFlight { get; set; }

        /// <summary>A batch is one call, however many messages are in it.</summary>
        public int Places(int concurrency) => Delivery.Subscription.Bulk is { } bulk ? Math.Max(concurrency, bulk.MaxMessages) : concurrency;

        public ValueTask DisposeAsync()
        {
            lock (group.gate)
            {
                group.members.Remove(this);
                group.LetGo();
            }
            return ValueTask.CompletedTask;
        }
    }

    /// <summary>Messages that must follow each other; the tries counted here are those of its first one.</summary>
    private sealed class Lane(Parcel head)
    {
        private Queue<Parcel>? behind;

        /// <summary>A field, for it is changed in place.</summary>
        public Delivery.Tries Tries = new() { Losses = head.Losses };

        public string? Key => Head.Key;
        public Parcel Head { get; private set; } = head;

        public void Add(Parcel parcel) => (behind ??= new Queue<Parcel>()).Enqueue(parcel);

        public bool Advance()
        {
            if (behind is null || !behind.TryDequeue(out var next)) return false;
            Head = next;
            Tries = new() { Losses = next.Losses };
            return true;
        }
    }
}

/// <summary>A message in the hands of a consumer group.</summary>
/// <param name="key">Messages with the same key follow each other; null follows nobody.</param>
internal abstract class Parcel(string? key)
{
    public string? Key { get; } = key;

    /// <summary>How often an app died with it in its hands before it came here.</summary>
    public virtual int Losses => 0;

    public abstract Incoming Read();

    /// <summary>The app is through with it, for good or bad. Must not wait.</summary>
    public abstract void Finish(Outcome outcome);

    /// <summary>There is no instance any more to give it to, in a group that lets go. Must not wait.</summary>
    public virtual void Abandon(int losses)
    {
    }
}
