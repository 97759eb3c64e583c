using System.Runtime.InteropServices;
using Garnet;

namespace Marketplace.Local.Redis;

/// <summary>The verb <c>redis --port N --data folder [--password p]</c>: a server for the Redis protocol where none is installed.</summary>
public static class RedisCommand
{
    public static async Task<int> RunAsync(string[] args)
    {
        int? port = null;
        string? data = null, password = null;
        for (var i = 1; i + 1 < args.Length; i += 2)
        {
            switch (args[i])
            {
                case "--port" when int.TryParse(args[i + 1], out var number): port = number; break;
                case "--data": data = args[i + 1]; break;
                case "--password": password = args[i + 1]; break;
                default: port = null; i = args.Length; break;
            }
        }

        if (port is null || data is null)
        {
            Console.Error.WriteLine("usage: redis --port <number> --data <folder> [--password <text>]");
            return 2;
        }

        var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var server = Start(port.Value, data, password);
        Console.WriteLine($"Garnet listens on 127.0.0.1:{port}");
        await stop.Task;
        return 0;

        void Stop(PosixSignalContext signal)
        {
            signal.Cancel = true;
            stop.TrySetResult();
        }
    }

    /// <summary>Starts the server in this process; it recovers what an earlier one left in the folder.</summary>
    public static GarnetServer Start(int port, string dataFolder, string? password = null)
    {
        Directory.CreateDirectory(dataFolder);
        List<string> options =
        [
            "--port", $"{port}", "--bind", "127.0.0.1",
            "--memory", "128m", "--page", "4m", "--segment", "64m", "--index", "16m",
            "--checkpointdir", dataFolder, "--logger-level", "Error",

            // Managed file access: the native device needs a libaio that few machines have, and without it recovery loses the log.
            "--device-type", "RandomAccess",

            // A write is acknowledged when its record is in the file: killing this process loses nothing that was answered.
            "--aof", "--aof-commit-wait", "--aof-commit-freq", "0", "--recover",
            "--aof-memory", "16m", "--aof-page-size", "8m", "--aof-size-limit", "256m",

            // The state component compares and writes in one script, as daprd's does; only as a transaction is it atomic here.
            "--lua", "--lua-transaction-mode",
        ];
        if (!string.IsNullOrEmpty(password)) options.AddRange(["--auth", "Password", "--password", password]);

        var server = new GarnetServer([.. options]);
        server.Start();
        return server;
    }
}
