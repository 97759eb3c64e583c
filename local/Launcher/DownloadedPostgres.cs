using MysticMind.PostgresEmbed;

namespace Marketplace.Local.Launcher;

/// <summary>The last resort: PostgreSQL's binaries from Maven Central, kept beside the data. They run under our own settings.</summary>
public static class DownloadedPostgres
{
    public static async Task<PostgresBinaries?> InstallAsync(string folder, CancellationToken ct)
    {
        var server = new PgServer(new PgServerOptions { PgVersion = "17", BinariesDir = folder, DbDir = folder });
        try
        {
            await server.InstallAsync(ct);
        }
        catch (Exception failure) when (failure is not OperationCanceledException)
        {
            // Offline, behind a proxy, or a platform nobody builds for: the caller names the other ways.
            await Console.Error.WriteLineAsync($"PostgreSQL could not be downloaded: {failure.Message}");
            return null;
        }

        var binaries = new PostgresBinaries(Path.Combine(server.InstallDir, "bin"), server.PgVersion.Split('.')[0]);
        return File.Exists(binaries.Program("postgres")) ? binaries : null;
    }
}
