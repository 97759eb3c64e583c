using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Marketplace.Local.Sidecar.Invocation;

/// <summary>
/// The path of an invocation on its way through daprd: percent escapes decoded, cleaned of <c>.</c>, <c>..</c>, doubled slashes and a slash at the
/// end, and escaped anew as Go does. An escaped slash therefore arrives as a plain one; <c>#</c>, <c>?</c> and control characters are refused.
/// </summary>
internal static class MethodPath
{
    private const string Unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    private static readonly SearchValues<char> Plain = SearchValues.Create(Unreserved + "$&+,/:;=@!'()*[]");
    private static readonly SearchValues<byte> Kept = SearchValues.Create(Encoding.ASCII.GetBytes(Unreserved + "$&+,/:;=@"));

    /// <param name="target">Path and query as they came; the query stays as it is.</param>
    public static bool TryClean(string target, [NotNullWhen(true)] out string? cleaned, [NotNullWhen(false)] out string? problem)
    {
        var query = target.IndexOf('?', StringComparison.Ordinal);
        var path = query < 0 ? target.AsSpan() : target.AsSpan(0, query);
        problem = null;
        if (IsClean(path))
        {
            cleaned = target;
            return true;
        }

        if (!TryCleanName(Uri.UnescapeDataString(path), out var clean, out problem))
        {
            cleaned = null;
            return false;
        }

        cleaned = query < 0 ? clean : clean + target[query..];
        return true;
    }

    private static bool IsClean(ReadOnlySpan<char> path) =>
        path.Length > 0 && path[0] == '/' && (path.Length == 1 || path[^1] != '/') && !path.ContainsAnyExcept(Plain)
        && !path.Contains("//", StringComparison.Ordinal) && !path.Contains("/.", StringComparison.Ordinal);

    /// <summary>The same for a name that is not percent-encoded, as it comes over gRPC. The result starts with a slash.</summary>
    public static bool TryCleanName(string name, [NotNullWhen(true)] out string? cleaned, [NotNullWhen(false)] out string? problem)
    {
        cleaned = problem = null;
        foreach (var c in name)
        {
            if (c is '#' or '?' or '\0') problem = $"method contains forbidden character: \"{name}\"";
            else if (c is < ' ' or '\x7f') problem = $"method contains control character: \"{name}\"";
            if (problem is not null) return false;
        }

        var parts = new List<string>();
        foreach (var part in name.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            if (part == "..") parts.RemoveRange(Math.Max(0, parts.Count - 1), Math.Min(1, parts.Count));
            else if (part != ".") parts.Add(part);
        }

        cleaned = Escape("/" + string.Join('/', parts), out problem);
        return cleaned is not null;
    }

    /// <summary>Text that already is a valid path stays; any other is taken for unescaped as a whole.</summary>
    private static string? Escape(string path, out string? problem)
    {
        problem = null;
        var plain = true;
        for (var i = 0; i < path.Length; i++)
        {
            if (path[i] == '%')
            {
                if (i + 2 >= path.Length || !char.IsAsciiHexDigit(path[i + 1]) || !char.IsAsciiHexDigit(path[i + 2]))
                {
                    problem = $"invalid URL escape \"{path.AsSpan(i, Math.Min(3, path.Length - i))}\"";
                    return null;
                }

                i += 2;
            }
            else if (!Plain.Contains(path[i]))
            {
                plain = false;
            }
        }

        if (plain) return path;

        var escaped = new StringBuilder(path.Length + 16);
        foreach (var b in Encoding.UTF8.GetBytes(Uri.UnescapeDataString(path)))
        {
            if (Kept.Contains(b)) escaped.Append((char)b);
            else escaped.Append('%').Append(b.ToString("X2", System.Globalization.CultureInfo.InvariantCulture));
        }

        return escaped.ToString();
    }
}
