extern alias local;

using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using local::Marketplace.Local.Launcher;
using Npgsql;

namespace Marketplace.Bench.Reads;

/// <summary>The launched system as far as shoppers' reads need it, on free ports and a data folder of its own.</summary>
internal sealed class Shop : IAsyncDisposable
{
    private readonly Process launcher;
    private readonly string folder;
    private readonly string catalogDb;

    private Shop(Process launcher, string folder, RunningSystem system)
    {
        (this.launcher, this.folder, System) = (launcher, folder, system);
        Http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 1_000 }) { BaseAddress = new Uri(system.GatewayUrl) };
        catalogDb = JsonDocument.Parse(File.ReadAllText(system.SecretsFile)).RootElement.GetProperty("catalog-db").GetString()!;
    }

    public RunningSystem System { get; }

    public HttpClient Http { get; }

    public static async Task<Shop> OpenAsync()
    {
        var folder = Directory.CreateTempSubdirectory("marketplace-reads-").FullName;
        string[] arguments = [typeof(RunningSystem).Assembly.Location, "up", "--data", folder, "--ports", "free", "--json", "--only", "gateway,identity,catalog"];
        var start = new ProcessStartInfo("dotnet", arguments) { WorkingDirectory = SourceTree.Find().Root, RedirectStandardOutput = true };
        var launcher = Process.Start(start)!;
        while (await launcher.StandardOutput.ReadLineAsync() is { } line)
        {
            if (!line.StartsWith('{')) continue;
            _ = launcher.StandardOutput.ReadToEndAsync();
            return new Shop(launcher, folder, RunningSystem.Parse(line));
        }

        throw new InvalidOperationException("The system did not start.");
    }

    /// <summary>Lists that many products and gives their ids.</summary>
    public async Task<List<Guid>> FillAsync(int count)
    {
        Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", await TokenAsync("/api/v1/accounts", new { email = "bench@example.com", password = "correct horse battery", name = "Bench" }));
        Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", await TokenAsync("/api/v1/sellers", new { displayName = "Bench Goods" }));
        var ids = new List<Guid>(count);
        for (var from = 0; from < count; from += 500)
        {
            using var reply = await Http.PostAsJsonAsync("/api/v1/products/bulk", new
            {
                products = Enumerable.Range(from, Math.Min(500, count - from)).Select(number => new
                {
                    title = $"Hand-made enamel jug no. {number}",
                    description = $"A jug for water, flowers or nothing at all. It holds a litre and a half, and no two are alike. This is the {number}th of its kind; it comes in a box of grey card.",
                    brand = "Bench Goods",
                    category = "kitchen",
                    price = new { minor = 1_000 + number, currency = "GBP" },
                    imageUrl = $"/pictures/{number}.jpg",
                }),
            });
            var text = await reply.Content.ReadAsStringAsync();
            if (!reply.IsSuccessStatusCode) throw new InvalidOperationException(text);
            ids.AddRange(JsonDocument.Parse(text).RootElement.GetProperty("products").EnumerateArray().Select(product => product.GetProperty("productId").GetGuid()));
        }

        Http.DefaultRequestHeaders.Authorization = null;
        return ids;
    }

    /// <summary>How often the catalogue's database was asked for listings, as far as its statistics know, which lag by up to ten seconds.</summary>
    public async Task<long> ReadsAsync()
    {
        await using var database = NpgsqlDataSource.Create(catalogDb);
        await using var select = database.CreateCommand("SELECT coalesce(idx_scan, 0) + coalesce(seq_scan, 0) FROM pg_stat_user_tables WHERE relname = 'listings'");
        return (long)(await select.ExecuteScalarAsync())!;
    }

    public int PidOf(string name) => System.Parts.First(part => part.Name == name).Pid!.Value;

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        Signals.Send(launcher.Id, Signals.Terminate);
        await launcher.WaitForExitAsync();
        launcher.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    private async Task<string> TokenAsync(string path, object body)
    {
        using var reply = await Http.PostAsJsonAsync(path, body);
        reply.EnsureSuccessStatusCode();
        return (await reply.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("accessToken").GetString()!;
    }
}
