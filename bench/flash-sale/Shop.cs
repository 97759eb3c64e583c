extern alias local;

using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using local::Marketplace.Local.Launcher;
using Npgsql;

namespace Marketplace.Bench.FlashSale;

/// <summary>The launched system with two replicas of flashsales and of ordering, on free ports and a data folder of its own; or one that runs already.</summary>
internal sealed class Shop : IAsyncDisposable
{
    private readonly Process? launcher;
    private readonly string folder;
    private readonly bool keep;
    private readonly JsonElement secrets;
    private readonly HttpClient http;
    private readonly Dictionary<string, NpgsqlDataSource> databases = [];

    private Shop(Process? launcher, string folder, bool keep, RunningSystem system)
    {
        (this.launcher, this.folder, this.keep) = (launcher, folder, keep);
        Url = new Uri(system.GatewayUrl);
        ProviderUrl = new Uri(system.ProviderUrl);
        PostgresAddress = system.PostgresAddress;
        http = new HttpClient { BaseAddress = Url, Timeout = TimeSpan.FromSeconds(30) };
        secrets = JsonDocument.Parse(File.ReadAllText(system.SecretsFile)).RootElement.Clone();
    }

    public Uri Url { get; }

    public Uri ProviderUrl { get; }

    public string PostgresAddress { get; }

    public string Folder => folder;

    public static async Task<Shop> OpenAsync(Options options)
    {
        if (options.Running is { } running)
        {
            var system = RunningSystem.Read(new DataFolder(running)) ?? throw new InvalidOperationException($"Nothing runs in {running}: it has no state.json.");
            foreach (var app in (string[])["flashsales", "ordering"])
                if (system.Parts.Count(part => part.AppId == app) < 2)
                    throw new InvalidOperationException($"The system in {running} has one instance of {app}; start it with --instances flashsales=2,ordering=2.");
            return new Shop(null, running, true, system);
        }

        var folder = Directory.CreateTempSubdirectory("marketplace-flash-sale-").FullName;
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(folder, (UnixFileMode)0b111_101_101);      // the database server is another user
        string[] arguments =
        [
            typeof(RunningSystem).Assembly.Location, "up", "--data", folder, "--ports", "free", "--json", "--instances", "flashsales=2,ordering=2",
            .. options.Build ? (string[])[] : ["--no-build"],
        ];
        var launcher = Process.Start(new ProcessStartInfo("dotnet", arguments) { WorkingDirectory = SourceTree.Find().Root, RedirectStandardOutput = true })!;
        while (await launcher.StandardOutput.ReadLineAsync() is { } line)
        {
            if (!line.StartsWith('{')) continue;
            _ = launcher.StandardOutput.ReadToEndAsync();
            return new Shop(launcher, folder, options.Keep, RunningSystem.Parse(line));
        }

        await launcher.WaitForExitAsync();
        launcher.Dispose();
        throw new InvalidOperationException($"The system did not start; its logs are in {folder}.");
    }

    public string Secret(string name) => secrets.GetProperty(name).GetString()!;

    public NpgsqlDataSource Database(string name)
    {
        if (!databases.TryGetValue(name, out var database)) databases[name] = database = NpgsqlDataSource.Create(Secret($"{name}-db"));
        return database;
    }

    /// <summary>The rows' first column.</summary>
    public async Task<List<T>> SqlAsync<T>(string database, string sql, params object[] parameters)
    {
        await using var command = Database(database).CreateCommand(sql);
        foreach (var parameter in parameters) command.Parameters.Add(new NpgsqlParameter { Value = parameter });
        var rows = new List<T>();
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync()) rows.Add(await reader.GetFieldValueAsync<T>(0));
        return rows;
    }

    public async Task<T> OneAsync<T>(string database, string sql, params object[] parameters) => (await SqlAsync<T>(database, sql, parameters))[0];

    /// <summary>A call through the gateway that has to succeed.</summary>
    public async Task<JsonElement> CallAsync(HttpMethod method, string path, string? token, object? body = null, bool once = false)
    {
        using var request = new HttpRequestMessage(method, path);
        if (token is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        if (once) request.Headers.Add("Idempotency-Key", Guid.NewGuid().ToString("N"));
        if (body is not null) request.Content = JsonContent.Create(body);
        using var reply = await http.SendAsync(request);
        var text = await reply.Content.ReadAsStringAsync();
        if (!reply.IsSuccessStatusCode) throw new InvalidOperationException($"{method} {path} was answered with {(int)reply.StatusCode}: {text}");
        return text.Length == 0 ? default : JsonDocument.Parse(text).RootElement.Clone();
    }

    public async Task<JsonElement> ProviderAsync(string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(ProviderUrl, path));
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", Secret("stripe-key"));
        using var reply = await http.SendAsync(request);
        reply.EnsureSuccessStatusCode();
        return await reply.Content.ReadFromJsonAsync<JsonElement>();
    }

    public async Task<string> OperatorTokenAsync() =>
        (await CallAsync(HttpMethod.Post, "/api/v1/sessions", null, new { email = "operator@marketplace.local", password = Secret("operator-password") })).GetProperty("accessToken").GetString()!;

    public IReadOnlyList<RunningPart> Parts() => RunningSystem.Read(new DataFolder(folder))?.Parts ?? [];

    /// <summary>kill -9; the launcher puts another in its place.</summary>
    public bool Kill(string part)
    {
        if (Parts().FirstOrDefault(one => one.Name == part)?.Pid is not { } pid) return false;
        Signals.Send(pid, Signals.Kill);
        return true;
    }

    public async ValueTask DisposeAsync()
    {
        http.Dispose();
        foreach (var database in databases.Values) await database.DisposeAsync();
        if (launcher is null) return;
        Signals.Send(launcher.Id, Signals.Terminate);
        await launcher.WaitForExitAsync();
        launcher.Dispose();
        // A folder that somebody took away is what went wrong before: that is to be told, not that it cannot be deleted.
        if (!keep && Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
    }
}
