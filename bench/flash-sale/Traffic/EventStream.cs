using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Marketplace.Bench.FlashSale.Traffic;

/// <summary>One answer of server-sent events, data by data, on a connection of its own.</summary>
internal abstract class EventStream(Uri url) : IDisposable
{
    private readonly Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly SocketAsyncEventArgs receiving = new();
    private readonly ResponseReader response = new();
    private bool begun;
    private int closed;

    protected abstract void OnOpened(int status);

    /// <param name="data">What followed <c>data: </c>; false ends the stream.</param>
    protected abstract bool OnData(ReadOnlySpan<byte> data);

    /// <summary>It ended without being told to, or never began.</summary>
    protected abstract void OnClosed();

    public void Open(Action<RequestWriter> write)
    {
        var request = new RequestWriter(Encoding.ASCII.GetBytes(url.Authority));
        write(request);
        receiving.Completed += (_, _) => { if (OnReceived()) Receive(); };
        try
        {
            socket.Connect(new IPEndPoint(IPAddress.Parse(url.Host), url.Port));
            socket.Send(request.Bytes);
        }
        catch (SocketException)
        {
            End();
            return;
        }

        Receive();
    }

    public void Dispose()
    {
        Interlocked.Exchange(ref closed, 1);
        socket.Dispose();
        GC.SuppressFinalize(this);
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
            End();
        }
    }

    private bool OnReceived()
    {
        if (receiving.SocketError != SocketError.Success || receiving.BytesTransferred == 0) return End();
        response.Filled(receiving.BytesTransferred);
        var whole = response.Read();
        if (!begun && response.HasHead)
        {
            begun = true;
            OnOpened(response.Status);
        }

        while (begun && response.IsEventStream && response.TakeLine(out var line))
        {
            if (!line.StartsWith("data:"u8) || OnData(line[5..].TrimStart((byte)' '))) continue;
            Dispose();
            return false;
        }

        return !whole || End();
    }

    private bool End()
    {
        if (Interlocked.Exchange(ref closed, 1) != 0) return false;
        socket.Dispose();
        OnClosed();
        return false;
    }
}
