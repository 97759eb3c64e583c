using Marketplace.Local.Launcher;
using Marketplace.TestKit;
using RabbitMQ.Client;
using Xunit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>
/// A private RabbitMQ as the launcher runs it. A node takes seconds to start, so that most tests share one per process; those that kill it start their own.
/// It dies with the process, also when that is killed.
/// </summary>
internal sealed class RabbitMqNode : IAsyncDisposable
{
    private const string Password = "test-password";
    private static readonly Lazy<Task<RabbitMqNode>> Shared = new(StartAsync);

    private readonly string folder = Directory.CreateTempSubdirectory("rabbitmq-tests-").FullName;
    private readonly int erlangPort = Ports.Free();
    private Child? process;

    public int Port { get; } = Ports.Free();

    public string Url => $"amqp://tests:{Password}@127.0.0.1:{Port}/";

    /// <summary>Process ids of the node and all it started.</summary>
    public int Pid => process!.Pid;

    /// <summary>Skips the calling test where RabbitMQ is not installed.</summary>
    public static void Need()
    {
        if (RabbitMqServer.FindScript() is null) Assert.Skip("RabbitMQ is not installed (no rabbitmq-server under /usr/lib/rabbitmq or on PATH).");
    }

    public static Task<RabbitMqNode> SharedAsync()
    {
        Need();
        return Shared.Value;
    }

    /// <summary>A node that no other test uses.</summary>
    public static Task<RabbitMqNode> OwnAsync()
    {
        Need();
        return StartAsync();
    }

    public async Task UpAsync()
    {
        process = Child.Start(RabbitMqServer.Private(RabbitMqServer.FindScript()!, folder, Port, erlangPort, "tests", Password, Path.Combine(folder, "node.log")));
        await Eventually.Async(() => process.HasExited
            ? throw new InvalidOperationException($"RabbitMQ ended:\n{Part.Tail(Path.Combine(folder, "node.log"), 30)}")
            : RabbitMqServer.AnswersAsync(Url, CancellationToken.None), "RabbitMQ lets us in", TimeSpan.FromSeconds(90));
    }

    public Task<IConnection> ConnectAsync() => new ConnectionFactory { Uri = new Uri(Url), AutomaticRecoveryEnabled = false }.CreateConnectionAsync();

    /// <summary>SIGKILL, as a power cut would.</summary>
    public async Task KillAsync()
    {
        process!.Kill();
        await process.Exited;
        process.Dispose();
        process = null;
    }

    /// <summary>Asked to end, as the launcher does.</summary>
    public async Task StopAsync()
    {
        await process!.StopAsync();
        process.Dispose();
        process = null;
    }

    public async ValueTask DisposeAsync()
    {
        if (process is not null) await KillAsync();
        Directory.Delete(folder, recursive: true);
    }

    private static async Task<RabbitMqNode> StartAsync()
    {
        var node = new RabbitMqNode();
        AppDomain.CurrentDomain.ProcessExit += (_, _) => node.Leave();
        await node.UpAsync();
        return node;
    }

    private void Leave()
    {
        if (process is not null)
        {
            Signals.Send(process.Pid, Signals.Kill);
            process.Exited.Wait(TimeSpan.FromSeconds(5));
        }
        if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
    }
}
