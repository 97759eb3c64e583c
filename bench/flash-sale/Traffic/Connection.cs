using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Marketplace.Bench.FlashSale.Traffic;

/// <summary>A kept connection with one exchange on it at a time.</summary>
internal sealed class Connection : IDisposable
{
    private readonly Generator owner;
    private readonly Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly SocketAsyncEventArgs receiving = new();
    private readonly ResponseReader response = new();
    private readonly RequestWriter request;
    private Exchange? current;

    public Connection(Generator owner, byte[] host)
    {
        this.owner = owner;
        request = new RequestWriter(host);
        receiving.Completed += (_, _) => { if (OnReceived()) Receive(); };
    }

    /// <summary>When the exchange on it was sent, 0 when there is none.</summary>
    public long SentAt { get; private set; }

    public void Connect(IPEndPoint to) => socket.Connect(to);

    public void Send(Exchange exchange)
    {
        Volatile.Write(ref current, exchange);
        if (Put(exchange)) Receive();
    }

    /// <summary>What waits on it gets no answer any more.</summary>
    public void Break(string why)
    {
        Dispose();
        if (Interlocked.Exchange(ref current, null) is not { } lost) return;
        owner.OnBroken(this);
        lost.OnFailure(why);
    }

    public void Dispose()
    {
        socket.Dispose();
        GC.SuppressFinalize(this);
    }

    private bool Put(Exchange exchange)
    {
        exchange.Write(request);
        SentAt = Stopwatch.GetTimestamp();
        try
        {
            socket.Send(request.Bytes);
            return true;
        }
        catch (Exception broken) when (broken is SocketException or ObjectDisposedException)
        {
            Break("connection lost");
            return false;
        }
    }

    private void Receive()
    {
        try
        {
            do
            {
                receiving.SetBuffer(response.Free());
            }
            while (!socket.ReceiveAsync(receiving) && OnReceived());
        }
        catch (ObjectDisposedException)
        {
            Break("connection lost");
        }
    }

    /// <summary>True when more is to be received.</summary>
    private bool OnReceived()
    {
        if (receiving.SocketError != SocketError.Success || receiving.BytesTransferred == 0)
        {
            Break("connection lost");
            return false;
        }

        response.Filled(receiving.BytesTransferred);
        if (!response.Read()) return true;
        if (Interlocked.Exchange(ref current, null) is not { } answered) return false;   // given up as silent a moment ago
        owner.Figures.Record(answered.Kind, answered.Due);
        if (response.Status is < 200 or >= 300) owner.Figures.Note($"{answered.Kind} {response.Status}");
        var next = answered.OnReply(new Reply(response.Status, response.RetryAfter, response.Body));
        var keep = response.KeepAlive;
        response.Reset();
        SentAt = 0;
        if (!keep)
        {
            Dispose();
            owner.OnBroken(this);
            if (next is not null) owner.Schedule(next, next.Due);
            return false;
        }

        if (next is null && (next = owner.OnFree(this)) is null) return false;
        Volatile.Write(ref current, next);
        return Put(next);
    }
}
