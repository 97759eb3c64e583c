using System.Globalization;

namespace Marketplace.Local.Launcher;

/// <summary>Who listens on a port, as far as this machine tells: on Linux, and of processes of others only to root.</summary>
internal static class PortHolder
{
    private static readonly string[] Tables = ["/proc/net/tcp", "/proc/net/tcp6"];

    /// <summary>Such as "process 4242 (nginx)"; null when it cannot be known.</summary>
    public static string? Of(int port)
    {
        if (!OperatingSystem.IsLinux())
            return null;
        var sockets = Tables.Where(File.Exists).SelectMany(file => File.ReadLines(file).Skip(1)).Select(InodeOfListener(port)).OfType<string>()
            .Select(inode => $"socket:[{inode}]").ToHashSet();
        if (sockets.Count == 0)
            return null;
        foreach (var process in Directory.EnumerateDirectories("/proc").Where(folder => int.TryParse(Path.GetFileName(folder), out _)))
        {
            try
            {
                if (Directory.EnumerateFiles(Path.Combine(process, "fd")).Any(file => new FileInfo(file).LinkTarget is { } target && sockets.Contains(target)))
                    return $"process {Path.GetFileName(process)} ({File.ReadAllText(Path.Combine(process, "comm")).Trim()})";
            }
            catch (Exception closed) when (closed is UnauthorizedAccessException or IOException)
            {
                // Somebody else's, or gone meanwhile.
            }
        }

        return null;
    }

    /// <summary>Of a line of /proc/net/tcp: state 0A is LISTEN, the second field the local address with the port in hexadecimal, the tenth the inode.</summary>
    private static Func<string, string?> InodeOfListener(int port) => line =>
        line.Split(' ', StringSplitOptions.RemoveEmptyEntries) is [_, var local, _, "0A", _, _, _, _, _, var inode, ..]
        && int.TryParse(local.AsSpan(local.LastIndexOf(':') + 1), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var listens) && listens == port
            ? inode : null;
}
