using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Local.Launcher;
using Marketplace.TestKit;
using Npgsql;
using Xunit;

[assembly: AssemblyFixture(typeof(Marketplace.Journeys.Market))]
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]   // faults and kills are the whole system's

namespace Marketplace.Journeys;

/// <summary>
/// The launched system, one for all journeys: every service, two replicas of the two that fight over stock and orders, the sidecar host,
/// PostgreSQL, what the component set asks for, the mail catcher and the payment provider double, on free ports and a data folder of its own.
/// </summary>
public sealed class Market : IAsyncLifetime
{
    /// <summary>The component set of the whole process; <see cref="WhenEveryJourneyRunsOnASet"/> starts a process for each.</summary>
    public const string Variable = "MARKETPLACE_JOURNEYS_SET";

    private static readonly TimeSpan LongestStart = TimeSpan.FromMinutes(5);
    private static int started;

    private readonly string set;
    private readonly string instances;
    private readonly string[] apps;
    private readonly string folder = Path.Combine(Path.GetTempPath(), $"marketplace-journeys-{Environment.ProcessId}-{Interlocked.Increment(ref started)}");
    private readonly HttpClient outside = new() { Timeout = TimeSpan.FromSeconds(30) };
    private readonly List<string> printed = [];
    private Process? launcher;
    private RunningSystem? system;
    private HttpClient? gateway;
    private Person? seller;
    private JsonElement secrets;
    private string? noFeed;

    public Market()
        : this(Chosen, "ordering=2,inventory=2", ["order-feed-node"])
    {
    }

    private Market(string set, string instances, string[] apps)
    {
        this.set = set;
        this.instances = instances;
        this.apps = apps;
    }

    /// <summary>The set of this process.</summary>
    public static string Chosen { get; } = Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } chosen ? chosen : "local";

    public RunningSystem System => system ?? throw new InvalidOperationException("The system is not up.");

    public Person Nobody => new(gateway!, null);

    /// <summary>The seller whom most things in these journeys belong to.</summary>
    public Person Seller => seller!;

    /// <summary>A system of its own beside the one of all journeys. Whoever starts it disposes of it.</summary>
    /// <param name="instances">As the launcher takes them: <c>ordering=2,inventory=2</c>, or nothing.</param>
    public static async Task<Market> StartAsync(string set, string instances = "")
    {
        var market = new Market(set, instances, []);
        try
        {
            await market.InitializeAsync();
            return market;
        }
        catch
        {
            await market.DisposeAsync();
            throw;
        }
    }

    /// <summary>The program that a set needs and this machine lacks; null when it can run.</summary>
    public static string? WhyNot(string set) => set switch
    {
        "redis" when Servers.FindRedis() is null => "redis-server is not installed",
        "rabbitmq" or "postgres" when RabbitMqServer.FindScript() is null => "rabbitmq-server is not installed",
        _ => null,
    };

    public async ValueTask InitializeAsync()
    {
        var root = SourceTree.Find().Root;
        Directory.CreateDirectory(folder);
        var start = new ProcessStartInfo("dotnet") { WorkingDirectory = root, RedirectStandardOutput = true, RedirectStandardError = true };
        noFeed = apps.Length == 0 ? "the sample does not run in this system" : await NodePrograms.PrepareAsync(Path.Combine(root, "samples", "order-feed-node"));
        string[] arguments =
        [
            typeof(RunningSystem).Assembly.Location, "up", "--data", folder, "--ports", "free", "--json", "--components", set,
            .. instances.Length > 0 ? (string[])["--instances", instances] : [],
            .. apps.Length == 0 ? (string[])["--no-build"] : [],   // the system of all journeys came first and built everything
            .. noFeed is null ? (string[])["--with", .. apps] : [],
        ];
        foreach (var argument in arguments) start.ArgumentList.Add(argument);

        launcher = Process.Start(start)!;
        launcher.ErrorDataReceived += (_, line) => Remember(line.Data);
        launcher.BeginErrorReadLine();
        using var deadline = new CancellationTokenSource(LongestStart);
        while (await launcher.StandardOutput.ReadLineAsync(deadline.Token) is { } line)
        {
            Remember(line);
            if (!line.StartsWith('{')) continue;
            system = RunningSystem.Parse(line);
            break;
        }

        if (system is null) throw new InvalidOperationException($"The system did not start:\n{string.Join('\n', printed)}");
        _ = DrainAsync(launcher.StandardOutput);

        gateway = new HttpClient(new AnyGateway(system.GatewayUrls)) { BaseAddress = new Uri(system.GatewayUrl), Timeout = TimeSpan.FromSeconds(60) };
        secrets = JsonDocument.Parse(await File.ReadAllTextAsync(system.SecretsFile)).RootElement.Clone();
        seller = await NewSellerAsync("Journey Goods");
    }

    public async ValueTask DisposeAsync()
    {
        gateway?.Dispose();
        outside.Dispose();
        if (launcher is null) return;
        if (!launcher.HasExited)
        {
            Signals.Send(launcher.Id, Signals.Terminate);
            using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
            await launcher.WaitForExitAsync(deadline.Token);
        }

        launcher.Dispose();
        await KeepLogsAsync();
    }

    /// <summary>Skips a journey that needs samples/order-feed-node where Node.js programs cannot run.</summary>
    public void NeedFeed() => Assert.SkipWhen(noFeed is not null, noFeed ?? "");

    // ---- People ----

    public async Task<Person> NewBuyerAsync()
    {
        var email = $"buyer-{Guid.NewGuid():N}@example.com";
        var reply = await Nobody.PostAsync("/api/v1/accounts", new { email, password = "correct horse battery", name = "Ada Buyer" });
        return new Person(gateway!, reply.Expect(HttpStatusCode.Created).Json) { Email = email };
    }

    public async Task<Person> NewGuestAsync() => new(gateway!, (await Nobody.PostAsync("/api/v1/guests")).Expect(HttpStatusCode.Created).Json);

    public async Task<Person> NewSellerAsync(string name)
    {
        var account = await NewBuyerAsync();
        return new Person(gateway!, (await account.PostAsync("/api/v1/sellers", new { displayName = name })).Expect(HttpStatusCode.Created).Json);
    }

    public async Task<Person> OperatorAsync()
    {
        var reply = await Nobody.PostAsync("/api/v1/sessions", new { email = "operator@marketplace.local", password = Secret("operator-password") });
        return new Person(gateway!, reply.Expect(HttpStatusCode.OK).Json);
    }

    public Person With(string token) =>
        new(gateway!, JsonSerializer.SerializeToElement(new { accessToken = token, accountId = Guid.Empty }));

    // ---- Goods ----

    /// <summary>Lists a product of <see cref="Seller"/> with stock in these warehouses.</summary>
    public Task<Guid> ListAsync(string title, long priceMinor, params (string Warehouse, int Units)[] stock) => ListAsync(Seller, title, priceMinor, stock);

    public static async Task<Guid> ListAsync(Person by, string title, long priceMinor, params (string Warehouse, int Units)[] stock)
    {
        var reply = await by.PostAsync("/api/v1/products", new
        {
            title,
            description = $"{title}, for a journey",
            brand = "Journey",
            category = "gifts",
            price = new { minor = priceMinor, currency = "GBP" },
        });
        var product = reply.Expect(HttpStatusCode.Created).Id("productId");
        if (stock.Length > 0) await StockAsync(by, product, stock);
        return product;
    }

    /// <summary>Whatever else was said of the thing is said anew.</summary>
    public async Task ChangePriceAsync(Guid product, long priceMinor) => (await Seller.PutAsync(
        $"/api/v1/products/{product}",
        new { title = "Changed", description = "", brand = "Journey", category = "gifts", price = new { minor = priceMinor, currency = "GBP" } },
        ("If-Match", "*"))).Expect(HttpStatusCode.OK);

    public static async Task StockAsync(Person by, Guid product, params (string Warehouse, int Units)[] stock) =>
        (await by.PutAsync("/api/v1/stock", new { lines = stock.Select(line => new { productId = product, warehouse = line.Warehouse, onHand = line.Units }) }))
        .Expect(HttpStatusCode.OK);

    public async Task<int> AvailableAsync(Guid product) =>
        (await Nobody.GetAsync($"/api/v1/stock/{product}")).Expect(HttpStatusCode.OK).Json.GetProperty("available").GetInt32();

    // ---- Orders ----

    /// <summary>What a shopper does whose answer was lost or was an error of ours: the same once more, with the same key.</summary>
    public static async Task<Reply> InsistAsync(Func<Task<Reply>> ask, HttpStatusCode wanted)
    {
        Reply? last = null;
        await Eventually.Async(
            async () =>
            {
                try
                {
                    last = await ask();
                }
                catch (HttpRequestException)
                {
                    return false;   // an instance died with the question in its hands
                }

                Assert.True(last.Status == wanted || (int)last.Status >= 500 || last.Status == HttpStatusCode.Conflict, $"{last.Status}: {last.Text}");
                return last.Status == wanted;
            },
            "the shop answers",
            TimeSpan.FromSeconds(60));
        return last!;
    }

    /// <summary>Waits until the order is no longer pending, and gives how it stands then.</summary>
    public static async Task<Reply> SettledAsync(Person buyer, Guid order, TimeSpan? within = null)
    {
        Reply? last = null;
        await Eventually.Async(
            async () =>
            {
                last = await buyer.OrderAsync(order);
                return last.Status == HttpStatusCode.OK && last.String("status") != "PENDING";
            },
            $"order {order} settles",
            within ?? TimeSpan.FromSeconds(60));
        return last!;
    }

    public static async Task<string> StatusAsync(Person buyer, Guid order, TimeSpan? within = null) => (await SettledAsync(buyer, order, within)).String("status");

    public static Task BecomesAsync(Person buyer, Guid order, string status, TimeSpan? within = null) => Eventually.Async(
        async () => await buyer.OrderAsync(order) is { Status: HttpStatusCode.OK } reply && reply.String("status") == status,
        $"order {order} becomes {status}",
        within ?? TimeSpan.FromSeconds(60));

    /// <summary>Charges that went through at the provider for this order, and what of them was paid back, in pence.</summary>
    public async Task<(int Charges, long Captured, long Refunded)> ChargedAsync(Guid order)
    {
        // What the provider says, not what we believe: every intent we ever made for the order.
        var intents = await SqlAsync<string>("payments", "SELECT intent_id FROM payment_attempts WHERE order_id = $1 AND intent_id IS NOT NULL", order);
        var (charges, captured, refunded) = (0, 0L, 0L);
        foreach (var intent in intents)
        {
            var found = await ProviderAsync(HttpMethod.Get, $"/v1/charges?payment_intent={intent}&limit=100");
            foreach (var charge in found.GetProperty("data").EnumerateArray().Where(charge => charge.GetProperty("paid").GetBoolean()))
            {
                charges++;
                captured += charge.GetProperty("amount").GetInt64();
                refunded += charge.GetProperty("amount_refunded").GetInt64();
            }
        }

        return (charges, captured, refunded);
    }

    /// <summary>
    /// The books of the whole market, over every journey so far: what is confirmed was charged once and to the penny, what is not holds no
    /// money; stock is what the movements add up to, and what is reserved is what open reservations hold or sales have.
    /// </summary>
    public async Task BooksBalanceAsync()
    {
        await Eventually.Async(async () => (await SqlAsync<long>("ordering", "SELECT count(*) FROM orders WHERE status = 'PENDING'"))[0] == 0, "no order is pending", TimeSpan.FromSeconds(90));
        string? imbalance = null;
        await Eventually.Async(async () => (imbalance = await ImbalanceAsync()) is null, () => $"the books balance, once every saga is past its two commits: {imbalance}");
    }

    private async Task<string?> ImbalanceAsync()
    {
        var sold = await SqlAsync<string>("ordering", "SELECT order_id || ' ' || total_minor FROM orders WHERE status IN ('CONFIRMED', 'SHIPPED', 'DELIVERED') ORDER BY 1");
        var captured = await SqlAsync<string>("payments", "SELECT order_id || ' ' || sum(amount_minor) FROM payment_attempts WHERE status = 'captured' GROUP BY order_id ORDER BY 1");
        if (sold.Except(captured).FirstOrDefault() is { } unpaid) return $"sold, not captured: {unpaid}";
        if (captured.Except(sold).FirstOrDefault() is { } unsold) return $"captured, not sold: {unsold}";

        var net = (await ProviderAsync(HttpMethod.Get, "/_control/totals")).GetProperty("net");
        var atProvider = net.TryGetProperty("gbp", out var pence) ? pence.GetInt64() : 0;
        var atOurs = captured.Sum(line => long.Parse(line.Split(' ')[1], global::System.Globalization.CultureInfo.InvariantCulture));
        if (atProvider != atOurs) return $"the provider holds {atProvider} pence, payments says {atOurs}";

        var stock = await SqlAsync<string>("inventory", """
            SELECT s.product_id || ' in ' || s.warehouse || ': stock ' || s.stock || ', moved ' || coalesce(m.moved, 0) || ', reserved ' || s.reserved || ', held ' || coalesce(h.held, 0)
                || ', set aside for sales ' || coalesce(o.aside, 0)
            FROM stock_levels s
            LEFT JOIN (SELECT product_id, warehouse, sum(quantity) AS moved FROM movements GROUP BY 1, 2) m USING (product_id, warehouse)
            LEFT JOIN (SELECT r.product_id, r.warehouse, sum(r.quantity) AS held FROM reservations r JOIN reservation_attempts a USING (order_id, attempt)
                       WHERE a.state = 'held' AND a.sale_id IS NULL GROUP BY 1, 2) h USING (product_id, warehouse)
            LEFT JOIN (SELECT l.product_id, w.warehouse, sum(w.allotted - w.committed) AS aside FROM allotments l JOIN allotment_levels w USING (sale_id) GROUP BY 1, 2) o
                USING (product_id, warehouse)
            WHERE s.stock <> coalesce(m.moved, 0) OR s.reserved <> coalesce(h.held, 0) + coalesce(o.aside, 0)
            LIMIT 1
            """);
        return stock.FirstOrDefault();
    }

    // ---- Trouble ----

    /// <summary>Orders a fault from the sidecar host; disposing it takes all faults away and lets go what was held.</summary>
    public async Task<Trouble> FaultAsync(object fault)
    {
        using var response = await outside.PostAsJsonAsync($"{System.ControlUrl}/faults", fault);
        Assert.True(response.IsSuccessStatusCode, await response.Content.ReadAsStringAsync());
        return new Trouble(outside, System.ControlUrl, (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetInt64());
    }

    public async Task<JsonElement> ProviderAsync(HttpMethod method, string path, object? body = null)
    {
        using var request = new HttpRequestMessage(method, System.ProviderUrl + path);
        request.Headers.Authorization = new("Bearer", Secret("stripe-key"));
        if (body is not null) request.Content = JsonContent.Create(body);
        using var response = await outside.SendAsync(request);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, $"{method} {path}: {text}");
        return text.Length == 0 ? default : JsonDocument.Parse(text).RootElement.Clone();
    }

    /// <summary>kill -9 of every instance of an app (or of "sidecars", "redis", …); the launcher starts it again.</summary>
    public async Task KillAsync(string name)
    {
        var parts = Current().Parts.Where(part => (part.AppId ?? part.Name) == name && part.Pid is not null).ToList();
        Assert.True(parts.Count > 0, $"{name} does not run");
        foreach (var part in parts) Signals.Send(part.Pid!.Value, Signals.Kill);
        foreach (var part in parts)
            await Eventually.Async(() => Task.FromResult(!Signals.IsAlive(part.Pid!.Value, part.StartedAt!.Value)), $"{part.Name} is gone", TimeSpan.FromSeconds(10));
    }

    /// <summary>kill -9 of single processes, by the names that state.json gives them: <c>ordering</c> is the first, <c>ordering-2</c> the second.</summary>
    public async Task KillOneOfAsync(params IReadOnlyList<string> parts)
    {
        var victims = Current().Parts.Where(part => parts.Contains(part.Name)).ToList();
        Assert.Equal(parts.Count, victims.Count);
        foreach (var victim in victims) Signals.Send(victim.Pid!.Value, Signals.Kill);
        foreach (var victim in victims)
            await Eventually.Async(() => Task.FromResult(!Signals.IsAlive(victim.Pid!.Value, victim.StartedAt!.Value)), $"{victim.Name} is gone", TimeSpan.FromSeconds(10));
    }

    /// <summary>kill -9 of every instance, and again of what the launcher puts in its place, until this is disposed of.</summary>
    public KeptDown KeepDown(string name) => new(() => Current().Parts.Where(part => (part.AppId ?? part.Name) == name));

    public int PidOf(string part) => Current().Parts.First(candidate => candidate.Name == part).Pid!.Value;

    /// <summary>Waits until every part runs and the gateway says it is ready.</summary>
    public async Task AllUpAsync() => await Eventually.Async(
        async () =>
        {
            var now = Current();
            if (now.Parts.Any(part => part.Pid is null || part.StartedAt is null || !Signals.IsAlive(part.Pid.Value, part.StartedAt.Value))) return false;
            foreach (var part in now.Parts.Where(part => part.AppId is not null && part.Port is not null))
                if (!await IsReadyAsync($"http://127.0.0.1:{part.Port}/readyz")) return false;
            return true;
        },
        "everything runs again",
        TimeSpan.FromSeconds(90));

    public async Task<List<T>> SqlAsync<T>(string database, string sql, params object[] parameters)
    {
        // A connection of its own each time: one from a pool may be to a database that another journey has killed since.
        await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(Secret($"{database}-db")) { Pooling = false }.ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var parameter in parameters) command.Parameters.Add(new NpgsqlParameter { Value = parameter });
        var rows = new List<T>();
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync()) rows.Add(await reader.GetFieldValueAsync<T>(0));
        return rows;
    }

    /// <summary>Mails to an address, newest last, whole.</summary>
    public async Task<IReadOnlyList<string>> MailsToAsync(string address)
    {
        var mails = new List<string>();
        foreach (var file in new DirectoryInfo(System.MailFolder).GetFiles("*.eml").OrderBy(file => file.LastWriteTimeUtc))
        {
            var text = await File.ReadAllTextAsync(file.FullName);
            if (text.Contains(address, StringComparison.OrdinalIgnoreCase)) mails.Add(text);
        }

        return mails;
    }

    public string Secret(string name) => secrets.GetProperty(name).GetString()!;

    private RunningSystem Current() => RunningSystem.Read(new DataFolder(folder)) ?? throw new InvalidOperationException("state.json is gone");

    private async Task<bool> IsReadyAsync(string url)
    {
        try
        {
            using var response = await outside.GetAsync(url);
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private void Remember(string? line)
    {
        if (line is null) return;
        lock (printed) printed.Add(line);
    }

    private static async Task DrainAsync(StreamReader output)
    {
        while (await output.ReadLineAsync() is not null)
        {
        }
    }

    /// <summary>What the processes wrote is worth having when something failed; the data itself is not.</summary>
    private async Task KeepLogsAsync()
    {
        var kept = Path.Combine(AppContext.BaseDirectory, "TestResults", "journeys", set);
        Directory.CreateDirectory(kept);
        foreach (var log in Directory.Exists(Path.Combine(folder, "logs")) ? Directory.GetFiles(Path.Combine(folder, "logs")) : []) File.Copy(log, Path.Combine(kept, Path.GetFileName(log)), overwrite: true);
        await File.WriteAllLinesAsync(Path.Combine(kept, "launcher.log"), printed);
        Directory.Delete(folder, recursive: true);
    }
}

/// <summary>A client of a gateway with several instances: goes to the next one when the one it knows does not answer.</summary>
internal sealed class AnyGateway(IReadOnlyList<string> addresses) : DelegatingHandler(new SocketsHttpHandler { AllowAutoRedirect = false, PooledConnectionIdleTimeout = TimeSpan.FromSeconds(5) })
{
    private int next;

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        if (addresses.Count == 1) return await base.SendAsync(request, cancellationToken);
        if (request.Content is { } content) await content.LoadIntoBufferAsync(cancellationToken);
        for (var tried = 1; ; tried++)
        {
            var address = new Uri(addresses[(Interlocked.Increment(ref next) & int.MaxValue) % addresses.Count]);
            request.RequestUri = new UriBuilder(request.RequestUri!) { Host = address.Host, Port = address.Port }.Uri;
            try
            {
                return await base.SendAsync(request, cancellationToken);
            }
            catch (HttpRequestException) when (tried <= addresses.Count)
            {
                // What it had begun is begun once more: every call of these journeys may be repeated.
            }
        }
    }
}

/// <summary>Processes that do not get up again for a while.</summary>
public sealed class KeptDown : IAsyncDisposable
{
    private readonly CancellationTokenSource over = new();
    private readonly Task killing;

    public KeptDown(Func<IEnumerable<RunningPart>> parts) => killing = Task.Run(async () =>
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        do
        {
            foreach (var part in parts().Where(part => part is { Pid: not null, StartedAt: not null } && Signals.IsAlive(part.Pid.Value, part.StartedAt.Value)))
                Signals.Send(part.Pid!.Value, Signals.Kill);
        }
        while (await NextAsync(timer));
    });

    public async ValueTask DisposeAsync()
    {
        await over.CancelAsync();
        await killing;
        over.Dispose();
    }

    private async Task<bool> NextAsync(PeriodicTimer timer)
    {
        try
        {
            return await timer.WaitForNextTickAsync(over.Token);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}

/// <summary>A fault in force.</summary>
public sealed class Trouble(HttpClient http, string control, long id) : IAsyncDisposable
{
    public async Task<int> HitsAsync()
    {
        var all = await http.GetFromJsonAsync<JsonElement>($"{control}/faults");
        return all.EnumerateArray().FirstOrDefault(fault => fault.GetProperty("id").GetInt64() == id) is { ValueKind: JsonValueKind.Object } fault ? fault.GetProperty("hits").GetInt32() : 0;
    }

    public Task StruckAsync(TimeSpan? within = null) => Eventually.Async(async () => await HitsAsync() > 0, "the fault strikes", within ?? TimeSpan.FromSeconds(20));

    public async ValueTask DisposeAsync()
    {
        try
        {
            using var response = await http.DeleteAsync($"{control}/faults");
        }
        catch (HttpRequestException)
        {
            // The host was killed in this journey, and its faults went with it.
        }
    }
}
