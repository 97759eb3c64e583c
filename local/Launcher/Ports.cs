using System.Net;
using System.Net.Sockets;
using System.Text.Json;

namespace Marketplace.Local.Launcher;

/// <summary>
/// Hands out ports: the usual one when it is free, else the one this data folder got last time, else any free one.
/// Remembering keeps addresses stable that were stored somewhere (bookmarks, pictures of listings).
/// </summary>
public sealed class PortBook(string? file, bool onlyFreeOnes)
{
    /// <summary>True when the usual port is the one that is wanted and somebody else has it.</summary>
    public bool IsTaken(int? usual) => !onlyFreeOnes && usual is { } port && !given.Contains(port) && !IsFree(port);

    private readonly Dictionary<string, int> remembered = Read(file);
    private readonly HashSet<int> given = [];

    public int Take(string purpose, int? usual)
    {
        var remember = remembered.TryGetValue(purpose, out var last) ? last : (int?)null;
        int?[] wishes = onlyFreeOnes ? [remember] : [usual, remember];
        var port = wishes.FirstOrDefault(wish => wish is { } p && !given.Contains(p) && IsFree(p)) ?? AnyFree();
        given.Add(port);
        if (port != usual)
            remembered[purpose] = port;
        return port;
    }

    public void Save()
    {
        if (file is not null)
            File.WriteAllText(file, JsonSerializer.Serialize(remembered));
    }

    public static bool IsFree(int port)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        // A connection in TIME_WAIT from the last run must not count as taken; a listener must.
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
            socket.Listen(1);
        }
        catch (SocketException)
        {
            return false;
        }

        return true;
    }

    // Below the range the kernel hands to outgoing connections (32768 and up): a port from there can be taken again by
    // somebody's client socket between this look and the listener's start.
    private int AnyFree()
    {
        for (var tries = 0; tries < 2000; tries++)
        {
            var port = Random.Shared.Next(20_000, 32_000);
            if (!given.Contains(port) && IsFree(port))
                return port;
        }

        throw new LaunchException("No free TCP port between 20000 and 32000.");
    }

    private static Dictionary<string, int> Read(string? file)
    {
        if (file is null || !File.Exists(file))
            return [];
        try
        {
            return JsonSerializer.Deserialize<Dictionary<string, int>>(File.ReadAllText(file)) ?? [];
        }
        catch (JsonException)
        {
            return [];   // a torn write costs the memory of last time's ports, nothing else
        }
    }
}
