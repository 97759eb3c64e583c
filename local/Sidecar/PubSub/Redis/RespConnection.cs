using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using StackExchange.Redis;

namespace Marketplace.Local.Sidecar.PubSub.Redis;

/// <summary>
/// A connection for one command at a time, for reads that block: the shared client sends everything over one connection, where a blocking command would
/// hold up all others. Replies are null, <see cref="long"/>, byte arrays for texts of both kinds, and object arrays.
/// </summary>
internal sealed class RespConnection : IAsyncDisposable
{
    private readonly Stream stream;
    private readonly ArrayBufferWriter<byte> request = new(512);
    private byte[] buffer = new byte[16 * 1024];
    private int start;
    private int end;

    private RespConnection(Stream stream) => this.stream = stream;

    /// <summary>What the server calls this connection.</summary>
    public long Id { get; private set; }

    public static async Task<RespConnection> OpenAsync(EndPoint server, ConfigurationOptions options, int database, CancellationToken ct)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(options.ConnectTimeout);
        var socket = new Socket(server is DnsEndPoint ? AddressFamily.InterNetworkV6 : server.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        if (server is DnsEndPoint) socket.DualMode = true;
        Stream? stream = null;
        try
        {
            await socket.ConnectAsync(server, limit.Token);
            stream = new NetworkStream(socket, ownsSocket: true);
            if (options.Ssl)
            {
                var secure = new SslStream(stream);
                stream = secure;
                var host = options.SslHost ?? (server as DnsEndPoint)?.Host ?? ((IPEndPoint)server).Address.ToString();
                await secure.AuthenticateAsClientAsync(options.SslClientAuthenticationOptions?.Invoke(host) ?? new SslClientAuthenticationOptions { TargetHost = host }, limit.Token);
            }

            var connection = new RespConnection(stream);
            if (!string.IsNullOrEmpty(options.User)) await connection.CallAsync(["AUTH", options.User, options.Password ?? ""], limit.Token);
            else if (!string.IsNullOrEmpty(options.Password)) await connection.CallAsync(["AUTH", options.Password], limit.Token);
            if (database != 0) await connection.CallAsync(["SELECT", database], limit.Token);
            connection.Id = await connection.CallAsync(["CLIENT", "ID"], limit.Token) is long id ? id : 0;
            return connection;
        }
        catch
        {
            if (stream is not null) await stream.DisposeAsync();
            socket.Dispose();
            throw;
        }
    }

    /// <exception cref="RespException">The server's answer is an error.</exception>
    public async Task<object?> CallAsync(object[] words, CancellationToken ct)
    {
        request.ResetWrittenCount();
        Write('*', words.Length);
        foreach (var word in words)
        {
            var text = word as string ?? Convert.ToString(word, CultureInfo.InvariantCulture)!;
            Write('$', Encoding.UTF8.GetByteCount(text));
            Encoding.UTF8.GetBytes(text, request);
            request.Write("\r\n"u8);
        }
        await stream.WriteAsync(request.WrittenMemory, ct);
        var reply = await ReadAsync(ct);
        return reply is RespException error ? throw error : reply;
    }

    public ValueTask DisposeAsync() => stream.DisposeAsync();

    private void Write(char kind, int number)
    {
        var span = request.GetSpan(16);
        span[0] = (byte)kind;
        number.TryFormat(span[1..], out var length, provider: CultureInfo.InvariantCulture);
        "\r\n"u8.CopyTo(span[(1 + length)..]);
        request.Advance(length + 3);
    }

    private async ValueTask<object?> ReadAsync(CancellationToken ct)
    {
        int at;
        while ((at = buffer.AsSpan(start, end - start).IndexOf("\r\n"u8)) < 0) await FillAsync(ct);
        var kind = (char)buffer[start];
        var line = buffer.AsMemory(start + 1, at - 1);
        start += at + 2;
        switch (kind)
        {
            case '+':
                return line.ToArray();
            case '-':
                return new RespException(Encoding.UTF8.GetString(line.Span));
            case ':':
                return Number(line.Span);
            case '$':
                var length = (int)Number(line.Span);
                if (length < 0) return null;
                while (end - start < length + 2) await FillAsync(ct);
                var bulk = buffer.AsSpan(start, length).ToArray();
                start += length + 2;
                return bulk;
            case '*':
                var count = (int)Number(line.Span);
                if (count < 0) return null;
                var items = new object?[count];
                for (var i = 0; i < count; i++) items[i] = await ReadAsync(ct);
                return items;
            default:
                throw new IOException($"The server speaks no RESP: a reply begins with '{kind}'.");
        }
    }

    private static long Number(ReadOnlySpan<byte> text) => long.Parse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);

    private async ValueTask FillAsync(CancellationToken ct)
    {
        if (start == end) start = end = 0;
        if (end == buffer.Length)
        {
            var kept = end - start;
            var into = kept > buffer.Length / 2 ? new byte[buffer.Length * 2] : buffer;
            buffer.AsSpan(start, kept).CopyTo(into);
            (buffer, start, end) = (into, 0, kept);
        }
        var read = await stream.ReadAsync(buffer.AsMemory(end), ct);
        if (read == 0) throw new IOException("The server closed the connection.");
        end += read;
    }
}

/// <summary>The server's answer is an error; the message begins with its code, such as NOGROUP.</summary>
internal sealed class RespException(string message) : Exception(message);
