using System.Globalization;
using System.Threading.Channels;
using Dapr.Workflow.Protocol;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>A turn or an activity on its way to a worker. The token names one dispatch: an answer to an earlier one is stale.</summary>
internal abstract class WorkOrder
{
    public string Token { get; internal set; } = "";

    /// <summary>Where it is now; null while it waits for a stream.</summary>
    internal WorkStream? Stream { get; set; }

    /// <summary>Answered or withdrawn.</summary>
    internal bool Done { get; set; }

    public abstract bool IsTurn { get; }

    public abstract WorkItem Build();
}

/// <summary>One open GetWorkItems call.</summary>
internal sealed class WorkStream
{
    internal readonly Channel<WorkOrder> Orders = Channel.CreateUnbounded<WorkOrder>(new() { SingleReader = true });
    internal readonly HashSet<WorkOrder> Out = [];

    public ChannelReader<WorkOrder> Reader => Orders.Reader;
}

/// <summary>
/// Gives the work of one app id to its connected workers in turn, whichever instance of the app they belong to. What was given to a stream
/// that closes goes to another one, or waits for the next.
/// </summary>
internal sealed class Dispatcher(int maxTurns, int maxActivities)
{
    // Tokens of an earlier life of this process must not match those of this one.
    private readonly string epoch = Guid.NewGuid().ToString("N")[..12] + "-";
    private readonly Lock gate = new();
    private readonly List<WorkStream> streams = [];
    private readonly Lane turns = new(maxTurns);
    private readonly Lane activities = new(maxActivities);
    private TaskCompletionSource connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long tokens;
    private int next;

    public int Streams => streams.Count;

    /// <summary>Ends when a worker is connected.</summary>
    public Task Connected => Volatile.Read(ref connected).Task;

    public WorkStream Open()
    {
        var stream = new WorkStream();
        lock (gate)
        {
            streams.Add(stream);
            connected.TrySetResult();
            Pump(turns);
            Pump(activities);
        }

        return stream;
    }

    public void Close(WorkStream stream)
    {
        lock (gate)
        {
            if (!streams.Remove(stream)) return;
            if (streams.Count == 0) connected = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            foreach (var order in stream.Out)
            {
                order.Stream = null;
                order.Token = "";
                var lane = LaneOf(order);
                lane.Out--;
                lane.Waiting.Enqueue(order);
            }

            stream.Out.Clear();
            stream.Orders.Writer.TryComplete();
            Pump(turns);
            Pump(activities);
        }
    }

    public void Send(WorkOrder order)
    {
        lock (gate)
        {
            var lane = LaneOf(order);
            lane.Waiting.Enqueue(order);
            Pump(lane);
        }
    }

    /// <summary>True when the answer belongs to the dispatch that is out now. An empty token is taken for the current one, as daprd 1.18 does.</summary>
    public bool TryComplete(WorkOrder order, string token)
    {
        lock (gate)
        {
            if (order.Done || (token.Length > 0 ? token != order.Token : order.Stream is null)) return false;
            Release(order);
            return true;
        }
    }

    public void Withdraw(WorkOrder order)
    {
        lock (gate)
        {
            if (!order.Done) Release(order);
        }
    }

    private void Release(WorkOrder order)
    {
        order.Done = true;
        if (order.Stream is not { } stream) return;
        stream.Out.Remove(order);
        order.Stream = null;
        var lane = LaneOf(order);
        lane.Out--;
        if (lane.Waiting.Count > 0) Pump(lane);
    }

    private void Pump(Lane lane)
    {
        while (streams.Count > 0 && (lane.Limit == 0 || lane.Out < lane.Limit) && lane.Waiting.TryDequeue(out var order))
        {
            if (order.Done) continue;
            next = (next + 1) % streams.Count;
            var stream = streams[next];
            order.Stream = stream;
            order.Token = string.Concat(epoch, (++tokens).ToString(CultureInfo.InvariantCulture));
            stream.Out.Add(order);
            lane.Out++;
            stream.Orders.Writer.TryWrite(order);
        }
    }

    private Lane LaneOf(WorkOrder order) => order.IsTurn ? turns : activities;

    private sealed class Lane(int limit)
    {
        public int Limit { get; } = limit;
        public int Out { get; set; }
        public Queue<WorkOrder> Waiting { get; } = new();
    }
}
