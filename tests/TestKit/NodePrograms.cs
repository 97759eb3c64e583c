using System.ComponentModel;
using System.Diagnostics;

namespace Marketplace.TestKit;

/// <summary>What a test needs to know of Node.js before it leans on it.</summary>
public static class NodePrograms
{
    private static readonly string[] Unreachable = ["ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "ENETUNREACH", "ERR_SOCKET_TIMEOUT", "E503", "E403"];

    /// <summary>Why programs for Node.js cannot run on this machine, or null when they can.</summary>
    public static async Task<string?> WhyNotAsync()
    {
        if (await VersionAsync("node") is not { } node) return "Node.js (20 or later) is not installed.";
        if (!int.TryParse(node.TrimStart('v').Split('.')[0], out var major) || major < 20) return $"Node.js {node} is older than 20.";
        return await VersionAsync("npm") is null ? "npm is not installed." : null;
    }

    /// <summary>Whether npm failed for want of a registry, and if so the reason for a skip.</summary>
    public static string? WhyUnreachable(string npmSaid) =>
        Unreachable.FirstOrDefault(code => npmSaid.Contains(code, StringComparison.Ordinal)) is { } code ? $"The npm registry cannot be reached ({code})." : null;

    /// <summary>Installs and builds a sample, as its own start would. Gives why that cannot be done here, or null.</summary>
    public static async Task<string?> PrepareAsync(string sample)
    {
        if (await WhyNotAsync() is { } reason) return reason;
        try
        {
            var start = new ProcessStartInfo("node", ["start.mjs", "--prepare"]) { WorkingDirectory = sample, RedirectStandardOutput = true, RedirectStandardError = true };
            var (code, output) = await RunAsync(start, TimeSpan.FromMinutes(3));
            if (code == 0) return null;
            return WhyUnreachable(output) ?? throw new InvalidOperationException($"{sample} does not build:\n{output}");
        }
        catch (TimeoutException e)
        {
            return e.Message;
        }
    }

    public static ProcessStartInfo Npm(string folder, params string[] arguments) => new(OperatingSystem.IsWindows() ? "npm.cmd" : "npm", arguments)
    {
        WorkingDirectory = folder,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    };

    /// <summary>Runs it to its end and gives all that it wrote.</summary>
    /// <exception cref="TimeoutException">It did not end in time and was ended.</exception>
    public static async Task<(int Code, string Output)> RunAsync(ProcessStartInfo start, TimeSpan patience)
    {
        using var process = Process.Start(start)!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        using var limit = new CancellationTokenSource(patience);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{start.FileName} {string.Join(' ', start.ArgumentList)} did not end within {patience.TotalSeconds:0} s.");
        }

        return (process.ExitCode, await output + await errors);
    }

    private static async Task<string?> VersionAsync(string program)
    {
        try
        {
            var start = program == "npm"
                ? Npm(Path.GetTempPath(), "--version")
                : new ProcessStartInfo(program, ["--version"]) { RedirectStandardOutput = true, RedirectStandardError = true };
            var (code, version) = await RunAsync(start, TimeSpan.FromSeconds(30));
            return code == 0 ? version.Trim() : null;
        }
        catch (Win32Exception)
        {
            return null;
        }
    }
}
