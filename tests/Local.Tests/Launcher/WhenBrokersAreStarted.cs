using Confluent.Kafka;
using Marketplace.Local.Launcher;
using Marketplace.TestKit;
using RabbitMQ.Client;
using Xunit;

namespace Marketplace.Local.Tests.Launcher;

public sealed class WhenBrokersAreStarted : IDisposable
{
    private readonly DataFolder data = new(Directory.CreateTempSubdirectory("launcher-brokers-").FullName);
    private readonly PortBook ports = new(file: null, onlyFreeOnes: true);

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public WhenBrokersAreStarted() => data.Create();

    public void Dispose() => Directory.Delete(data.Root, recursive: true);

    [Fact]
    public async Task A_RabbitMQ_keeps_what_it_confirmed_over_a_kill_and_leaves_no_process_behind()
    {
        if (RabbitMqServer.FindScript() is null) Assert.Skip("RabbitMQ is not installed (no rabbitmq-server under /usr/lib/rabbitmq or on PATH).");
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Processes are counted under /proc.");
        var before = await EpmdsAsync();
        var (spec, url) = await new RabbitMqServer(data, KeyRing.Open(data), ports).PrepareAsync(Ct);

        using (var killed = await StartAsync(spec, url))
        {
            await using var connection = await ConnectAsync(url);
            await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true), Ct);
            await channel.QueueDeclareAsync("kept", durable: true, exclusive: false, autoDelete: false, cancellationToken: Ct);
            await channel.BasicPublishAsync("", "kept", mandatory: true, new BasicProperties { Persistent = true }, "one"u8.ToArray(), Ct);

            // A message is confirmed when it is on disk, but a new queue is announced before: what RabbitMQ 3.10 writes of it may lie in its memory for two seconds.
            await Eventually.Async(() => DefinitionsSay("kept"), "the queue itself is written down");
            killed.Kill();
            await killed.Exited;
        }
        await Eventually.Async(() => Processes().Count == 0, "the helpers of the killed node end by themselves");

        using (var stopped = await StartAsync(spec, url))
        {
            await using var connection = await ConnectAsync(url);
            await using var channel = await connection.CreateChannelAsync(cancellationToken: Ct);
            Assert.Equal("one"u8.ToArray(), (await channel.BasicGetAsync("kept", autoAck: true, Ct))?.Body.ToArray());
            await stopped.StopAsync();
        }
        await Eventually.Async(() => Processes().Count == 0, "nothing of the node is left");
        Assert.Equal(before, await EpmdsAsync());
    }

    [Fact]
    public async Task A_RabbitMQ_lets_nobody_in_without_its_password()
    {
        if (RabbitMqServer.FindScript() is null) Assert.Skip("RabbitMQ is not installed (no rabbitmq-server under /usr/lib/rabbitmq or on PATH).");
        var (spec, url) = await new RabbitMqServer(data, KeyRing.Open(data), ports).PrepareAsync(Ct);
        using var node = await StartAsync(spec, url);
        Assert.False(await RabbitMqServer.AnswersAsync($"amqp://guest:guest@127.0.0.1:{new Uri(url).Port}/", Ct));
        await node.StopAsync();
    }

    [Fact]
    public async Task Without_Docker_Kafka_is_a_cluster_in_memory_that_comes_back_at_its_address()
    {
        if (await Containers.AnswerAsync(Ct)) Assert.Skip("Docker answers, so that Kafka would be a container.");
        var server = new KafkaServer(data, ports);
        var (spec, brokers) = await server.PrepareAsync(Ct);
        Assert.Contains("memory", server.Remark, StringComparison.Ordinal);
        for (var life = 1; life <= 2; life++)
        {
            using var kafka = Child.Start(spec with { Command = ["dotnet", Path.Combine(AppContext.BaseDirectory, "Local.dll"), .. spec.Command.Skip(2)] });
            await Eventually.Async(() => KafkaServer.AnswersAsync(brokers, Ct), "Kafka answers", TimeSpan.FromSeconds(30));
            using var producer = new ProducerBuilder<Null, string>(new ProducerConfig { BootstrapServers = brokers }).SetLogHandler((_, _) => { }).Build();
            Assert.Equal(PersistenceStatus.Persisted, (await producer.ProduceAsync("order.created", new Message<Null, string> { Value = "one" }, Ct)).Status);
            if (life == 1) kafka.Kill();
            else await kafka.StopAsync();
            await kafka.Exited;
        }
        Assert.Contains("memory only", await File.ReadAllTextAsync(data.Log("kafka"), Ct), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("MARKETPLACE_RABBITMQ", "localhost:5672")]
    [InlineData("MARKETPLACE_KAFKA", "localhost")]
    public void An_address_that_is_none_is_named(string variable, string value)
    {
        Environment.SetEnvironmentVariable(variable, value);
        try
        {
            var wrong = Assert.Throws<LaunchException>(() => variable == "MARKETPLACE_KAFKA" ? KafkaServer.Configured() : RabbitMqServer.Configured());
            Assert.Contains($"{variable}", wrong.Message, StringComparison.Ordinal);
        }
        finally
        {
            Environment.SetEnvironmentVariable(variable, null);
        }
    }

    private static async Task<Child> StartAsync(ChildSpec spec, string url)
    {
        var node = Child.Start(spec);
        await Eventually.Async(() => node.HasExited ? throw new InvalidOperationException(Part.Tail(spec.LogFile, 30)) : RabbitMqServer.AnswersAsync(url, Ct), "RabbitMQ lets us in", TimeSpan.FromSeconds(90));
        return node;
    }

    private static Task<IConnection> ConnectAsync(string url) => new ConnectionFactory { Uri = new Uri(url), AutomaticRecoveryEnabled = false }.CreateConnectionAsync(Ct);

    /// <summary>Processes whose environment names our folder: the node and whatever it started.</summary>
    private List<int> Processes() => [.. Directory.GetDirectories("/proc").Select(Path.GetFileName).Select(name => int.TryParse(name, out var pid) ? pid : 0).Where(pid =>
    {
        try
        {
            return pid > 0 && pid != Environment.ProcessId && File.ReadAllText($"/proc/{pid}/environ").Contains(data.RabbitMq, StringComparison.Ordinal);
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    })];

    /// <summary>Whether the node's tables of queues, or the journal they are written from, name the queue: a folder of its own on disk is not enough to be found again.</summary>
    private bool DefinitionsSay(string queue) => Directory.EnumerateFiles(data.RabbitMq, "*", SearchOption.AllDirectories)
        .Where(file => Path.GetFileName(file) is "LATEST.LOG" or "PREVIOUS.LOG" || Path.GetFileName(file).StartsWith("rabbit_durable_queue.", StringComparison.Ordinal))
        .Any(file => File.ReadAllBytes(file).AsSpan().IndexOf(System.Text.Encoding.ASCII.GetBytes(queue)) >= 0);

    private static async Task<int> EpmdsAsync() => (await Child.RunAsync(["/bin/sh", "-c", "ps -e -o stat,comm | grep -v '^Z' | grep -c '[e]pmd' || true"], "/", ct: Ct)).Output.Trim() is { Length: > 0 } count ? int.Parse(count, null) : 0;
}
