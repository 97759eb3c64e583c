using System.Globalization;
using System.Runtime.InteropServices;

namespace Marketplace.Local.Kafka;

/// <summary>The verb <c>kafka --port N</c>: a Kafka in memory where neither one is named nor Docker answers.</summary>
public static class KafkaCommand
{
    public static async Task<int> RunAsync(string[] args)
    {
        if (args is not [_, "--port", var text] || !int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var port))
        {
            Console.Error.WriteLine("usage: kafka --port <number>");
            return 2;
        }

        var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var cluster = new MockCluster(port);
        Console.WriteLine($"Kafka (librdkafka's mock cluster) listens on {cluster.Address}. It is memory only: topics, messages and offsets end with this process, "
            + "and a partition keeps its newest 5 MB or 100,000 messages.");
        await stop.Task;
        return 0;

        void Stop(PosixSignalContext signal)
        {
            signal.Cancel = true;
            stop.TrySetResult();
        }
    }
}
