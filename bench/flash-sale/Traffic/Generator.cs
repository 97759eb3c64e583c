using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Marketplace.Bench.FlashSale.Traffic;

/// <summary>
/// An open load: every exchange has a moment at which it is due, whatever the answers to others do, and its time counts from there. Two threads do
/// everything: one sends what is due, one (the runtime's for sockets, which must run completions itself: see <see cref="UseOneThreadForSockets"/>) reads
/// answers and decides what follows. Shoppers share kept connections, as they do behind a load balancer.
/// </summary>
internal sealed class Generator : IDisposable
{
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(15);

    private readonly IPEndPoint address;
    private readonly byte[] host;
    private readonly int mostConnections;
    private readonly Lock gate = new();
    private readonly Stack<Connection> free = new();
    private readonly Queue<Exchange> waiting = new();
    private readonly HashSet<Connection> all = [];
    private readonly PriorityQueue<Exchange, long> planned = new();
    private readonly ConcurrentQueue<Exchange> arriving = new();
    private readonly AutoResetEvent ended = new(false);
    private readonly Thread pacer;
    private long lookedForSilence = Stopwatch.GetTimestamp();

    public Generator(Uri url, int mostConnections, Figures figures)
    {
        address = new IPEndPoint(IPAddress.Parse(url.Host), url.Port);
        host = Encoding.ASCII.GetBytes(url.Authority);
        this.mostConnections = mostConnections;
        Figures = figures;
        pacer = new Thread(Pace) { IsBackground = true, Name = "pacer" };
        pacer.Start();
    }

    public Figures Figures { get; }

    /// <summary>
    /// Before the first socket is made: a hop to the pool for every answer would cost more than all the rest here. The price is that nothing in this process may
    /// block where a socket's answer is handled. Processes started later must not inherit it: no ordinary program survives that.
    /// </summary>
    public static void UseOneThreadForSockets()
    {
        string[] settings = ["DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "DOTNET_SYSTEM_NET_SOCKETS_THREAD_COUNT"];
        foreach (var setting in settings) Environment.SetEnvironmentVariable(setting, "1");
        using (var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            listener.Listen();
            _ = listener.AcceptAsync().ContinueWith(accepted => accepted.Exception, TaskScheduler.Default);   // read with the first of them, and never again
        }

        foreach (var setting in settings) Environment.SetEnvironmentVariable(setting, null);
    }

    public void Schedule(Exchange exchange, long due)
    {
        exchange.Due = due;
        arriving.Enqueue(exchange);
    }

    public void Schedule(Exchange exchange, TimeSpan later) => Schedule(exchange, Stopwatch.GetTimestamp() + Ticks(later));

    public static long Ticks(TimeSpan time) => (long)(time.TotalSeconds * Stopwatch.Frequency);

    public void Dispose()
    {
        ended.Set();
        pacer.Join();
        lock (gate)
            foreach (var connection in all)
                connection.Dispose();
        ended.Dispose();
    }

    /// <summary>What waited for a connection gets this one; else it rests.</summary>
    internal Exchange? OnFree(Connection connection)
    {
        lock (gate)
        {
            if (waiting.TryDequeue(out var next)) return next;
            free.Push(connection);
            return null;
        }
    }

    internal void OnBroken(Connection connection)
    {
        lock (gate) all.Remove(connection);
    }

    private void Pace()
    {
        do
        {
            while (arriving.TryDequeue(out var exchange))
                planned.Enqueue(exchange, exchange.Due);
            var now = Stopwatch.GetTimestamp();
            while (planned.TryPeek(out var next, out var due) && due <= now)
            {
                planned.Dequeue();
                Send(next);
            }

            SendWaiting();
            if (Stopwatch.GetElapsedTime(lookedForSilence) > TimeSpan.FromSeconds(1)) BreakSilent();
        }
        while (!ended.WaitOne(1));
    }

    private void Send(Exchange exchange)
    {
        Connection? connection;
        lock (gate)
        {
            if (!free.TryPop(out connection) && all.Count >= mostConnections)
            {
                waiting.Enqueue(exchange);
                return;
            }
        }

        if (connection is not null)
        {
            connection.Send(exchange);
            return;
        }

        connection = new Connection(this, host);
        try
        {
            connection.Connect(address);
        }
        catch (SocketException)
        {
            connection.Dispose();
            exchange.OnFailure("not connected");
            return;
        }

        lock (gate) all.Add(connection);
        connection.Send(exchange);
    }

    // Connections that broke left room for new ones.
    private void SendWaiting()
    {
        while (true)
        {
            Exchange? next;
            lock (gate)
                if (all.Count >= mostConnections || !waiting.TryDequeue(out next)) return;
            Send(next);
        }
    }

    private void BreakSilent()
    {
        lookedForSilence = Stopwatch.GetTimestamp();
        List<Connection> silent;
        lock (gate) silent = [.. all.Where(connection => connection.SentAt is > 0 and var sent && Stopwatch.GetElapsedTime(sent) > Silence)];
        foreach (var connection in silent) connection.Break("no answer in 15 s");
    }
}
