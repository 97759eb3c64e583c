using System.Net;
using System.Net.Sockets;

namespace Marketplace.TestKit;

public static class Ports
{
    /// <summary>Free a moment ago. Somebody may take it before you do: be ready to ask again.</summary>
    public static int Free()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
