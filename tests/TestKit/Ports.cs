using System.Net;
using System.Net.Sockets;

namespace Marketplace.TestKit;

public static class Ports
{
    // Below the range from which systems take ports for outgoing connections: those come and go by the thousand in a test run, and one
    // of them would now and then sit on a port that was free a moment ago.
    private const int First = 20_000;
    private const int Count = 12_000;
    private static int last = Random.Shared.Next(Count);

    /// <summary>Free a moment ago, and not given out again by this process for a long while.</summary>
    public static int Free()
    {
        while (true)
        {
            var port = First + (int)((uint)Interlocked.Increment(ref last) % Count);
            using var listener = new TcpListener(IPAddress.Loopback, port);
            try
            {
                listener.Start();
                return port;
            }
            catch (SocketException)
            {
                continue;
            }
        }
    }
}
