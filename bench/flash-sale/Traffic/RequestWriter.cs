using System.Buffers.Text;
using System.Text;

namespace Marketplace.Bench.FlashSale.Traffic;

/// <summary>The bytes of one HTTP/1.1 request, in a buffer that its connection keeps.</summary>
internal sealed class RequestWriter(byte[] host)
{
    private byte[] buffer = new byte[4096];
    private int length;

    public ReadOnlySpan<byte> Bytes => buffer.AsSpan(0, length);

    /// <param name="method">With the blank behind it: <c>GET </c>.</param>
    public RequestWriter Begin(ReadOnlySpan<byte> method, ReadOnlySpan<byte> path)
    {
        length = 0;
        Put(method);
        Put(path);
        Put(" HTTP/1.1\r\nHost: "u8);
        Put(host);
        return this;
    }

    /// <param name="name">With what comes before and behind it: <c>\r\nAuthorization: Bearer </c>.</param>
    public RequestWriter Field(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        Put(name);
        Put(value);
        return this;
    }

    public void End() => Put("\r\n\r\n"u8);

    public void End(ReadOnlySpan<byte> json) => End(json, "application/json"u8);

    public void End(ReadOnlySpan<byte> body, ReadOnlySpan<byte> type)
    {
        Put("\r\nContent-Type: "u8);
        Put(type);
        Put("\r\nContent-Length: "u8);
        Span<byte> digits = stackalloc byte[10];
        Utf8Formatter.TryFormat(body.Length, digits, out var written);
        Put(digits[..written]);
        Put("\r\n\r\n"u8);
        Put(body);
    }

    public static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);

    private void Put(ReadOnlySpan<byte> bytes)
    {
        if (length + bytes.Length > buffer.Length) Array.Resize(ref buffer, Math.Max(buffer.Length * 2, length + bytes.Length));
        bytes.CopyTo(buffer.AsSpan(length));
        length += bytes.Length;
    }
}
