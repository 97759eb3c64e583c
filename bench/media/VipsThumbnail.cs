using System.Diagnostics;
using Marketplace.Media.Renditions;

namespace Marketplace.Bench.Media;

/// <summary>libvips' own vipsthumbnail, told to make the six files as the service does: the same boxes, qualities and efforts, nothing kept of the metadata.</summary>
internal static class VipsThumbnail
{
    private static readonly string[] Outputs = ["webp[Q=80,effort=4,strip]", "jpg[Q=82,optimize_coding,interlace,strip]"];

    /// <summary>Its version; null when it is not installed (Debian: libvips-tools).</summary>
    public static string? Version()
    {
        try
        {
            using var asked = Process.Start(new ProcessStartInfo("vipsthumbnail", ["--vips-version"]) { RedirectStandardOutput = true })!;
            var answer = asked.StandardOutput.ReadToEnd().Trim();
            asked.WaitForExit();
            return answer;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }

    /// <summary>One process for each file, as many at a time as there are processors.</summary>
    public static Task OneProcessAFileAsync(IReadOnlyList<string> pictures, string folder) =>
        RunAsync(pictures.SelectMany(picture => Wanted().Select(wanted => (string[])[picture, .. wanted(folder)])));

    /// <summary>The least it can do: one process makes one size and format of many pictures.</summary>
    public static Task ManyFilesAProcessAsync(IReadOnlyList<string> pictures, string folder) =>
        RunAsync(Wanted().Select(wanted => (string[])[.. pictures, .. wanted(folder)]));

    private static IEnumerable<Func<string, string[]>> Wanted() =>
        from box in RenditionOptions.Boxes
        from output in Outputs
        select (Func<string, string[]>)(folder => ["--size", $"{box}x{box}>", "--export-profile", "srgb", "--vips-concurrency", "1", "-o", Path.Combine(folder, $"%s-{box}.{output}")]);

    private static Task RunAsync(IEnumerable<string[]> runs) => Parallel.ForEachAsync(
        runs, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, async (arguments, ct) =>
        {
            using var process = Process.Start(new ProcessStartInfo("vipsthumbnail", arguments) { RedirectStandardError = true })!;
            var said = await process.StandardError.ReadToEndAsync(ct);
            await process.WaitForExitAsync(ct);
            if (process.ExitCode != 0) throw new InvalidOperationException($"vipsthumbnail: {said}");
        });
}
