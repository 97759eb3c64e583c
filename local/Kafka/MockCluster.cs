using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;

namespace Marketplace.Local.Kafka;

/// <summary>
/// A Kafka of one broker inside this process, made of the mock cluster that librdkafka carries for its own tests. Producers and consumer groups work with it
/// as with a broker. Nothing is on disk: messages and offsets are gone with the process, and a partition keeps only its newest 5 MB or 100,000 messages.
/// </summary>
public sealed class MockCluster : IDisposable
{
    private const int Producer = 0;
    private const int BrokerId = 1;
    private readonly CancellationTokenSource stopping = new();
    private readonly Socket listener;
    private readonly Task relaying;
    private readonly IPEndPoint broker;
    private IntPtr client;
    private IntPtr cluster;

    /// <summary>
    /// The package brings the library in builds that want different things of the system (one of them Kerberos, which few machines have); the first that loads is taken,
    /// in the order of Confluent.Kafka itself, so that a process has only one of them.
    /// </summary>
    static MockCluster() => NativeLibrary.SetDllImportResolver(typeof(MockCluster).Assembly, (name, assembly, _) =>
        name != Library ? IntPtr.Zero
        : ((string[])[Library, "centos8-librdkafka", "alpine-librdkafka"]).Select(build => NativeLibrary.TryLoad(build, assembly, Places, out var loaded) ? loaded : IntPtr.Zero)
            .FirstOrDefault(loaded => loaded != IntPtr.Zero));

    /// <param name="port">Where it is to be found on loopback; 0 for any free one.</param>
    public MockCluster(int port = 0)
    {
        listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            // A broker that comes back after a crash must find its port although old connections still linger there.
            listener.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            listener.Bind(new IPEndPoint(IPAddress.Loopback, port));
            listener.Listen(512);
            Port = ((IPEndPoint)listener.LocalEndPoint!).Port;

            var error = new byte[512];
            var configuration = NewConfiguration();
            _ = Configure(configuration, "log_level", "2", error, (nuint)error.Length);   // it would warn that it knows no broker, which is as it should be
            client = NewClient(Producer, configuration, error, (nuint)error.Length);
            if (client == IntPtr.Zero) throw new InvalidOperationException($"librdkafka made no client: {Encoding.UTF8.GetString(error).TrimEnd('\0')}");
            cluster = NewCluster(client, 1);
            if (cluster == IntPtr.Zero) throw new InvalidOperationException("librdkafka made no mock cluster.");
            broker = IPEndPoint.Parse(Marshal.PtrToStringUTF8(Bootstraps(cluster))!);

            // The broker chooses its own port; clients are told ours, which can be the same after every start.
            SetHostPort(cluster, BrokerId, "127.0.0.1", Port);
            SetRebalanceDelay(cluster, 0);
        }
        catch
        {
            listener.Dispose();
            Free();
            throw;
        }
        relaying = RelayAsync();
    }

    public int Port { get; }

    public string Address => $"127.0.0.1:{Port}";

    /// <summary>Topics appear when they are first asked for, with four partitions; this makes one with another number.</summary>
    public void CreateTopic(string topic, int partitions)
    {
        if (CreateTopic(cluster, topic, partitions, 1) is var error && error != 0) throw new InvalidOperationException($"librdkafka made no topic {topic}: error {error}.");
    }

    public void Dispose()
    {
        if (stopping.IsCancellationRequested) return;
        stopping.Cancel();
        listener.Dispose();
        relaying.GetAwaiter().GetResult();
        Free();
        stopping.Dispose();
    }

    private async Task RelayAsync()
    {
        var connections = new List<Task>();
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                var caller = await listener.AcceptAsync(stopping.Token);
                connections.RemoveAll(connection => connection.IsCompleted);
                connections.Add(RelayAsync(caller));
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                // Stopping, or a caller that left before it was greeted.
            }
        }
        await Task.WhenAll(connections);
    }

    private async Task RelayAsync(Socket caller)
    {
        using var callee = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stopping.Token);
        caller.NoDelay = true;
        try
        {
            await callee.ConnectAsync(broker, ended.Token);
            await Task.WhenAny(CopyAsync(caller, callee, ended.Token), CopyAsync(callee, caller, ended.Token));
            await ended.CancelAsync();
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // One side left; the other learns it from the connection that is closed below.
        }
        finally
        {
            caller.Dispose();
        }
    }

    private static async Task CopyAsync(Socket from, Socket to, CancellationToken ct)
    {
        var buffer = new byte[64 * 1024];
        try
        {
            while (await from.ReceiveAsync(buffer.AsMemory(), ct) is var count and > 0)
                for (var sent = 0; sent < count;) sent += await to.SendAsync(buffer.AsMemory(sent, count - sent), ct);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // The end of the connection, whichever way it came.
        }
    }

    private void Free()
    {
        if (cluster != IntPtr.Zero) DestroyCluster(cluster);
        if (client != IntPtr.Zero) DestroyClient(client);
        (cluster, client) = (IntPtr.Zero, IntPtr.Zero);
    }

    private const string Library = "librdkafka";
    private const DllImportSearchPath Places = DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories;

    [DllImport(Library, EntryPoint = "rd_kafka_conf_new")]
    [DefaultDllImportSearchPaths(Places)]
    private static extern IntPtr NewConfiguration();

    [DllImport(Library, EntryPoint = "rd_kafka_conf_set")]
    [DefaultDllImportSearchPaths(Places)]
    private static extern int Configure(IntPtr configuration, [MarshalAs(UnmanagedType.LPUTF8Str)] string name, [MarshalAs(UnmanagedType.LPUTF8Str)] string value, [Out] byte[] error, nuint errorSize);

    [DllImport(Library, EntryPoint = "rd_kafka_new")]
    [DefaultDllImportSearchPaths(Places)]
    private static extern IntPtr NewClient(int type, IntPtr configuration, [Out] byte[] error, nuint errorSize);

    [DllImport(Library, EntryPoint = "rd_kafka_destroy")]
    [DefaultDllImportSearchPaths(Places)]
    private static extern void DestroyClient(IntPtr client);

    [DllImport(Library, EntryPoint = "rd_kafka_mock_cluster_new")]
    [DefaultDllImportSearchPaths(Places)]
    private static extern IntPtr NewCluster(IntPtr client, int brokers);

    [DllImport(Library, EntryPoint = "rd_kafka_mock_cluster_destroy")]
    [DefaultDllImportSearchPaths(Places)]
    private static extern void DestroyCluster(IntPtr cluster);

    [DllImport(Library, EntryPoint = "rd_kafka_mock_cluster_bootstraps")]
    [DefaultDllImportSearchPaths(Places)]
    private static extern IntPtr Bootstraps(IntPtr cluster);

    [DllImport(Library, EntryPoint = "rd_kafka_mock_broker_set_host_port")]
    [DefaultDllImportSearchPaths(Places)]
    private static extern void SetHostPort(IntPtr cluster, int broker, [MarshalAs(UnmanagedType.LPUTF8Str)] string host, int port);

    [DllImport(Library, EntryPoint = "rd_kafka_mock_group_initial_rebalance_delay_ms")]
    [DefaultDllImportSearchPaths(Places)]
    private static extern void SetRebalanceDelay(IntPtr cluster, int milliseconds);

    [DllImport(Library, EntryPoint = "rd_kafka_mock_topic_create")]
    [DefaultDllImportSearchPaths(Places)]
    private static extern int CreateTopic(IntPtr cluster, [MarshalAs(UnmanagedType.LPUTF8Str)] string topic, int partitions, int replicas);
}
