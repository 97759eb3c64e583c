using System.Buffers;
using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using SmtpServer;
using SmtpServer.Protocol;
using SmtpServer.Storage;

namespace Marketplace.Local.Mail;

/// <summary>The verb <c>mail</c>: takes every message sent to it and keeps it as an .eml file, which any mail program opens.</summary>
public static class MailVerb
{
    public static async Task<int> RunAsync(string[] args)
    {
        if (args is not [_, "--port", var portText, "--data", var folder] || !int.TryParse(portText, out var port))
        {
            await Console.Error.WriteLineAsync("usage: mail --port <port> --data <folder>");
            return 2;
        }

        using var stop = new CancellationTokenSource();
        void Stop(PosixSignalContext signal)
        {
            signal.Cancel = true;
            stop.Cancel();
        }

        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        await CatchAsync(port, folder, stop.Token);
        return 0;
    }

    public static async Task CatchAsync(int port, string folder, CancellationToken ct)
    {
        Directory.CreateDirectory(folder);
        var options = new SmtpServerOptionsBuilder()
            .ServerName("marketplace.local")
            .Endpoint(endpoint => endpoint.Endpoint(new IPEndPoint(IPAddress.Loopback, port)).IsSecure(false))
            .MaxMessageSize(10 << 20, MaxMessageSizeHandling.Strict)
            .Build();
        var services = new SmtpServer.ComponentModel.ServiceProvider();
        services.Add(new MailFolder(folder, TimeProvider.System));
        var server = new SmtpServer.SmtpServer(options, services);
        try
        {
            await server.StartAsync(ct);
        }
        catch (OperationCanceledException) when (ct.IsCancellationRequested)
        {
            // Asked to stop.
        }
    }
}

/// <summary>One file per message. Written under another name first: a reader never meets half a message.</summary>
public sealed class MailFolder(string folder, TimeProvider time) : MessageStore
{
    private int count;

    public override async Task<SmtpResponse> SaveAsync(ISessionContext context, IMessageTransaction transaction, ReadOnlySequence<byte> buffer, CancellationToken cancellationToken)
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"{time.GetUtcNow():yyyyMMdd-HHmmss-fff}-{Interlocked.Increment(ref count):0000}");
        var draft = Path.Combine(folder, name + ".part");
        await using (var file = File.Create(draft))
        {
            foreach (var piece in buffer)
                await file.WriteAsync(piece, cancellationToken);
        }

        File.Move(draft, Path.Combine(folder, name + ".eml"));
        return SmtpResponse.Ok;
    }
}
