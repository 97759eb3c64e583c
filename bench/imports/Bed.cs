extern alias local;

using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using local::Marketplace.Local.Launcher;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Bench.Imports;

/// <summary>The launched system as far as an import needs it, on free ports and a data folder of its own.</summary>
internal sealed class Bed : IAsyncDisposable
{
    private readonly Process launcher;
    private readonly string folder;
    private readonly RunningSystem system;
    private readonly NpgsqlDataSource catalog;

    private Bed(Process launcher, string folder, RunningSystem system)
    {
        (this.launcher, this.folder, this.system) = (launcher, folder, system);
        Http = new HttpClient { BaseAddress = new Uri(system.GatewayUrl), Timeout = TimeSpan.FromMinutes(10) };
        catalog = NpgsqlDataSource.Create(JsonDocument.Parse(File.ReadAllText(system.SecretsFile)).RootElement.GetProperty("catalog-db").GetString()!);
    }

    public HttpClient Http { get; }

    public int CatalogPid => system.Parts.First(part => part.Name == "catalog").Pid!.Value;

    public static async Task<Bed> MakeAsync()
    {
        var folder = Directory.CreateTempSubdirectory("marketplace-imports-").FullName;
        string[] arguments = [typeof(RunningSystem).Assembly.Location, "up", "--data", folder, "--ports", "free", "--json", "--only", "gateway,identity,catalog"];
        var launcher = Process.Start(new ProcessStartInfo("dotnet", arguments) { WorkingDirectory = SourceTree.Find().Root, RedirectStandardOutput = true })!;
        while (await launcher.StandardOutput.ReadLineAsync() is { } line)
        {
            if (!line.StartsWith('{'))
                continue;
            _ = launcher.StandardOutput.ReadToEndAsync();
            var bed = new Bed(launcher, folder, RunningSystem.Parse(line));
            await bed.SignInAsync("/api/v1/accounts", new { email = "bench@example.com", password = "correct horse battery", name = "Bench" });
            await bed.SignInAsync("/api/v1/sellers", new { displayName = "Bench Goods" });
            return bed;
        }

        throw new InvalidOperationException("The system did not start.");
    }

    /// <summary>The floor: the same fields into a table of the same shape and indexes, by COPY, with nothing checked and nobody told.</summary>
    public async Task CopyAsync(IReadOnlyList<(string Sku, string Title, string Description, long Minor)> rows)
    {
        await using var connection = await catalog.OpenConnectionAsync();
        await using (var make = new NpgsqlCommand("DROP TABLE IF EXISTS floor; CREATE TABLE floor (LIKE listings INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)", connection))
            await make.ExecuteNonQueryAsync();
        await using var copy = await connection.BeginBinaryImportAsync(
            "COPY floor (product_id, seller_id, seller_name, title, description, brand, category, price_minor, currency, listed_at, updated_at, sku) FROM STDIN (FORMAT BINARY)");
        var (seller, now) = (Guid.CreateVersion7(), DateTime.UtcNow);
        foreach (var (sku, title, description, minor) in rows)
        {
            await copy.StartRowAsync();
            await copy.WriteAsync(Guid.CreateVersion7(), NpgsqlDbType.Uuid);
            await copy.WriteAsync(seller, NpgsqlDbType.Uuid);
            foreach (var text in (string[])["Bench Goods", title, description, "Bench", "kitchen"])
                await copy.WriteAsync(text, NpgsqlDbType.Text);
            await copy.WriteAsync(minor, NpgsqlDbType.Bigint);
            await copy.WriteAsync("GBP", NpgsqlDbType.Text);
            await copy.WriteAsync(now, NpgsqlDbType.TimestampTz);
            await copy.WriteAsync(now, NpgsqlDbType.TimestampTz);
            await copy.WriteAsync(sku, NpgsqlDbType.Text);
        }

        await copy.CompleteAsync();
    }

    /// <summary>Until everything that was committed has been announced: the next measurement begins with a quiet relay.</summary>
    public async Task AnnouncedAsync()
    {
        await using var waiting = catalog.CreateCommand("SELECT count(*) FROM outbox WHERE sent_at IS NULL");
        while ((long)(await waiting.ExecuteScalarAsync())! > 0)
            await Task.Delay(200);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await catalog.DisposeAsync();
        Signals.Send(launcher.Id, Signals.Terminate);
        await launcher.WaitForExitAsync();
        launcher.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    private async Task SignInAsync(string path, object body)
    {
        using var reply = await Http.PostAsJsonAsync(path, body);
        reply.EnsureSuccessStatusCode();
        var session = await reply.Content.ReadFromJsonAsync<JsonElement>();
        Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", session.GetProperty("accessToken").GetString());
    }
}
