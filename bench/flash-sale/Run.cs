using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Marketplace.Bench.FlashSale.Traffic;
using Spectre.Console;

namespace Marketplace.Bench.FlashSale;

/// <summary>The whole of it, in the order in which it happens.</summary>
internal sealed class Run(Options options) : IDisposable
{
    private const string SellerPassword = "correct horse battery";
    private const long Price = 12_900;
    private const long OrdinaryPrice = 1_500;
    private static readonly TimeSpan LateOver = TimeSpan.FromSeconds(5);

    private readonly Figures preparing = new();
    private readonly CancellationTokenSource over = new();
    private readonly List<string> findings = [];
    private readonly string sellerEmail = $"seller-{Guid.NewGuid():N}@example.com";
    private string sellerToken = "";

    public void Dispose() => over.Dispose();

    public async Task<int> GoAsync()
    {
        Console.CancelKeyPress += (_, pressed) =>
        {
            pressed.Cancel = true;      // the system is put down before we go
            over.Cancel();
        };
        using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
        {
            signal.Cancel = true;
            over.Cancel();
        });
        var decr = await Floors.RedisDecrAsync(options.Quick ? 50_000 : 200_000);
        await using var shop = await AnsiConsole.Status().StartAsync("starting the system", _ => Shop.OpenAsync(options));
        using var gateway = new Generator(shop.Url, 128, preparing);
        using var provider = new Generator(shop.ProviderUrl, 32, preparing);
        var crowd = new Crowd(shop, gateway, provider, options.Seed);

        var salt = options.Running is null ? options.Seed : Environment.TickCount;      // a system that runs already has met the buyers of the last run
        var buyers = Crowd.MakeUp(options.Buyers, options.Declined, "buyer", salt);
        var rehearsing = Crowd.MakeUp(options.Quick ? 100 : 1_000, 0, "rehearsal", salt + 1);
        var ordinary = Crowd.MakeUp(50, 0, "ordinary", salt + 2);
        List<Account> everybody = [.. buyers, .. rehearsing, .. ordinary];
        var products = new List<Guid>();
        var (sneaker, pre, large) = (Guid.Empty, Guid.Empty, Guid.Empty);
        await BarsAsync(async bars =>
        {
            var goods = bars.AddTask("a seller, goods and stock", maxValue: 1);
            sellerToken = (await shop.CallAsync(HttpMethod.Post, "/api/v1/accounts", null, new { email = sellerEmail, password = SellerPassword, name = "Sneakers" })).GetProperty("accessToken").GetString()!;
            sellerToken = (await shop.CallAsync(HttpMethod.Post, "/api/v1/sellers", sellerToken, new { displayName = "Sneakers" })).GetProperty("accessToken").GetString()!;
            products = await ListAsync(shop, 200);
            (sneaker, pre, large) = (await ListOneAsync(shop, "Sneaker of the day", Price), await ListOneAsync(shop, "Sneaker for the rehearsal", Price), await ListOneAsync(shop, "Sneaker for everybody", Price));
            await StockAsync(shop, [(sneaker, StockOf(options.Units)), (pre, 1_000), (large, options.Claims + options.Units + 1_000), .. products.Select(product => (product, 100_000))]);
            goods.Increment(1);
            var cards = bars.AddTask($"{everybody.Count:N0} accounts, addresses, sessions and cards", maxValue: everybody.Count);
            await crowd.MoveInAsync(everybody, done => cards.Value = done, over.Token);
            cards.Value = everybody.Count;
            await crowd.SignInAsync([.. rehearsing, .. ordinary], _ => { }, over.Token);
        });
        AnsiConsole.WriteLine("accounts, addresses, sessions and express checkouts by COPY into the tables that own them, cards by the provider's API");

        await RehearseAsync(shop, pre, rehearsing);
        using var shoppers = new Shoppers(shop.Url, products, ordinary, OrdinaryPrice);
        await WaitAsync("ordinary shoppers alone", options.Quick ? 8 : 20);
        var alone = shoppers.Turn();

        // ---- The sale ----
        var rate = 0.0;
        await BarsAsync(async bars =>
        {
            // As late as can be: they live five minutes.
            var (tokens, began) = (bars.AddTask("the buyers' tokens, by identity", maxValue: buyers.Count), Stopwatch.GetTimestamp());
            await crowd.SignInAsync(buyers, done => tokens.Value = done, over.Token);
            tokens.Value = buyers.Count;
            rate = buyers.Count / Stopwatch.GetElapsedTime(began).TotalSeconds;
        });
        AnsiConsole.WriteLine($"{buyers.Count:N0} tokens by POST /api/v1/sessions/refresh, {rate:N0}/s");
        var early = options.Buyers * 9 / 10;
        var earlyOver = TimeSpan.FromSeconds((double)early / options.Joins);
        var startsAt = DateTimeOffset.UtcNow + earlyOver + TimeSpan.FromSeconds(12);
        startsAt = new DateTimeOffset(startsAt.Ticks / TimeSpan.TicksPerSecond * TimeSpan.TicksPerSecond, TimeSpan.Zero);
        var saleId = await ScheduleAsync(shop, sneaker, options.Units, startsAt, options.Admission, 1_000, null);
        var figures = new Figures();
        using var lines = new Lines(shop.Url, figures);
        var storm = new Storm(new StormPlan(saleId, buyers, startsAt, early, earlyOver, LateOver, options.Watchers, options.Patience, options.Seed), shop.Url, lines);
        var observer = new Observer(shop, saleId, options.Units, storm, figures);
        using var watching = CancellationTokenSource.CreateLinkedTokenSource(over.Token);
        var observing = observer.RunAsync(options.Kills ? ["flashsales-2", "ordering-2"] : [], watching.Token);
        _ = shoppers.Turn();
        var cpu = new CpuShare(shop);
        var running = storm.RunAsync(over.Token);
        var start = figures.Now + (startsAt - DateTimeOffset.UtcNow);
        Shoppers.Watched? joining = null;
        await AnsiConsole.Progress().Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new RemainingAndDone()).StartAsync(async bars =>
        {
            var joined = bars.AddTask("joined", maxValue: options.Buyers);
            var claimed = bars.AddTask("units claimed", maxValue: options.Units);
            var paid = bars.AddTask("units paid", maxValue: options.Units);
            var ended = bars.AddTask("final answers", maxValue: options.Buyers);
            while (true)
            {
                if (joining is null && figures.Now >= start)
                {
                    joining = shoppers.Turn();
                    cpu.Begin();
                }

                (joined.Value, ended.Value) = (storm.Joined, storm.Ended);
                if (observer.Latest is { } latest) (claimed.Value, paid.Value) = (latest.Claimed, latest.Paid);
                if (await Task.WhenAny(running, Task.Delay(200)) == running) break;
            }
        });
        over.Token.ThrowIfCancellationRequested();
        var during = shoppers.Turn();
        cpu.End();
        var ended = figures.Now;
        if (!await running) findings.Add($"after {options.Patience.TotalSeconds:N0} s {options.Buyers - storm.Ended:N0} buyers had no final answer");
        await WaitAsync("what is left to be told and packed", 3);
        await watching.CancelAsync();
        await observing;

        var audit = new Audit(shop, saleId, sneaker, options.Units, StockOf(options.Units), Price);
        await audit.RunAsync(storm, startsAt);
        findings.AddRange(audit.Findings);
        var svg = Plot.Draw($"{options.Buyers:N0} buyers, {options.Units:N0} units", figures, observer.Samples, observer.Kills, TimeSpan.Zero, start, ended + TimeSpan.FromSeconds(1), options.Units);
        await File.WriteAllTextAsync(options.Plot, svg);

        // ---- How many claims and polls go through ----
        var (few, polls) = options.Claims > 0 ? await ManyClaimsAsync(shop, gateway, crowd, large, buyers, options.Units) : (null, null);
        var (decisions, _) = options.Claims > 0 ? await ManyClaimsAsync(shop, gateway, crowd, large, buyers, options.Claims) : (null, null);

        Report.Write(options, figures, storm, observer, audit, start, alone, joining ?? during, during, cpu, decr, few, decisions, polls);
        foreach (var finding in findings) AnsiConsole.MarkupLineInterpolated($"[red]{finding}[/]");
        AnsiConsole.WriteLine(findings.Count == 0 ? "The audit found nothing wrong." : $"{findings.Count} findings.");
        AnsiConsole.WriteLine($"The picture: {Path.GetFullPath(options.Plot)}");
        return findings.Count == 0 ? 0 : 1;
    }

    /// <summary>More than the sale's: what is sold elsewhere must not come out of it, nor it out of that.</summary>
    private static int StockOf(int units) => units + 50;

    /// <summary>A small sale with people of its own: what runs afterwards has been compiled by then.</summary>
    private async Task RehearseAsync(Shop shop, Guid product, List<Account> people)
    {
        var startsAt = DateTimeOffset.UtcNow.AddSeconds(15);
        var saleId = await ScheduleAsync(shop, product, people.Count / 10, startsAt, people.Count, 1_000, null);
        using var lines = new Lines(shop.Url, preparing);
        var storm = new Storm(new StormPlan(saleId, people, startsAt, people.Count * 9 / 10, TimeSpan.FromSeconds(8), TimeSpan.FromSeconds(1), people.Count / 50, TimeSpan.FromSeconds(60), 1), shop.Url, lines);
        await AnsiConsole.Status().StartAsync($"a rehearsal: {people.Count:N0} buyers, {people.Count / 10} units", async _ => await storm.RunAsync(over.Token));
        foreach (var (what, count) in storm.OddAnswers) AnsiConsole.MarkupLineInterpolated($"[yellow]rehearsal: {what} ({count} times)[/]");
        if (storm.Ended == 0) throw new InvalidOperationException("Nobody at the rehearsal came to an end; there is no use in the sale.");
        if (storm.Ended < people.Count) AnsiConsole.MarkupLineInterpolated($"[yellow]rehearsal: {people.Count - storm.Ended} had no final answer[/]");
    }

    /// <summary>
    /// A sale to which everybody is let in at once: joins, polls and claims as fast as they are answered, not on a schedule. Who gets no unit is told that it is
    /// sold out. The orders that come of it are not waited for.
    /// </summary>
    private async Task<(Throughput? Decisions, PollRates? Polls)> ManyClaimsAsync(Shop shop, Generator gateway, Crowd crowd, Guid product, List<Account> buyers, int most)
    {
        var people = buyers.Where(buyer => !buyer.IsDeclined).Take(options.Claims * 2).ToList();      // what is given comes back from nobody
        var units = Math.Min(most, people.Count / 2);
        PollRates? polls = null;
        Throughput? result = null;
        await BarsAsync(async bars =>
        {
            var tokens = bars.AddTask("tokens anew", maxValue: people.Count);
            await crowd.SignInAsync(people, done => tokens.Value = done, over.Token);
            tokens.Value = people.Count;
            var seconds = people.Count / 1_000 + (options.Quick ? 16 : 40);
            var startsAt = DateTimeOffset.UtcNow.AddSeconds(seconds);
            var saleId = await ScheduleAsync(shop, product, units, startsAt, 10_000, people.Count, 0);
            var path = $"/api/v1/flash-sales/{saleId}";
            var (queue, claims) = (RequestWriter.Utf8($"{path}/queue"), RequestWriter.Utf8($"{path}/claims"));
            var tickets = new byte[people.Count][];
            var joins = bars.AddTask("joins, 64 at a time", maxValue: people.Count);
            var began = Stopwatch.GetTimestamp();
            await new Chores(people.Count,
                (number, request) => request.Begin("POST "u8, queue).Field("\r\nAuthorization: Bearer "u8, people[number].Token).End("{}"u8),
                (int number, in Reply reply) =>
                {
                    if (reply.Status != 200 || Json.Text(reply.Body, "ticket"u8) is not { } ticket) return false;
                    tickets[number] = RequestWriter.Utf8(ticket);
                    return true;
                }).RunAsync(gateway, 64, done => joins.Value = done, over.Token);
            joins.Value = people.Count;
            var joinRate = people.Count / Stopwatch.GetElapsedTime(began).TotalSeconds;

            var wrk = most > options.Units ? null : await Floors.PollsAsync(shop.Url, shop.Parts().First(part => part.Name == "gateway").Pid!.Value, $"{path}/queue", System.Text.Encoding.ASCII.GetString(tickets[0]), TimeSpan.FromSeconds(options.Quick ? 2 : 5));
            if (wrk is { } measured) polls = new PollRates(measured.Bare, measured.Gateway);

            var waiting = bars.AddTask("until it starts", maxValue: seconds);
            while (DateTimeOffset.UtcNow < startsAt.AddSeconds(1 + people.Count / 10_000.0))
            {
                waiting.Value = seconds - (startsAt - DateTimeOffset.UtcNow).TotalSeconds;
                await Task.Delay(200, over.Token);
            }

            waiting.Value = seconds;
            var bar = bars.AddTask($"claims of {units:N0} units, 128 at a time", maxValue: people.Count);
            var figures = new Figures();
            using var load = new Generator(shop.Url, 128, figures);
            var (placed, soldOut, lastPlaced) = (0, 0, 0L);
            var cpu = new CpuShare(shop);
            cpu.Begin();
            began = Stopwatch.GetTimestamp();
            await new Chores(people.Count,
                (number, request) => request.Begin("POST "u8, claims).Field("\r\nAuthorization: Bearer "u8, people[number].Token).Field("\r\nQueue-Ticket: "u8, tickets[number]).End("{\"quantity\":1}"u8),
                (int number, in Reply reply) =>
                {
                    if (reply.Status == 202)
                    {
                        placed++;      // answers come on one thread
                        lastPlaced = Stopwatch.GetTimestamp();
                        return true;
                    }

                    if (reply.Status != 409 || !(Json.Is(reply.Body, "type"u8, "/problems/sold-out"u8) || Json.Is(reply.Body, "type"u8, "/problems/sale-over"u8))) return false;
                    soldOut++;
                    return true;
                }, Kind.Claim).RunAsync(load, 128, done => bar.Value = done, over.Token);
            var whole = Stopwatch.GetElapsedTime(began);
            cpu.End();
            bar.Value = people.Count;
            var (made, paid) = (await shop.OneAsync<long>("ordering", "SELECT count(*) FROM orders WHERE sale_id = $1", saleId), await shop.OneAsync<long>("ordering", "SELECT count(*) FROM orders WHERE sale_id = $1 AND status = 'CONFIRMED'", saleId));
            var held = await shop.OneAsync<long>("flashsales", "SELECT count(*) FROM claim_units WHERE sale_id = $1", saleId);
            var holders = await shop.OneAsync<long>("flashsales", "SELECT count(DISTINCT buyer_id) FROM claims WHERE sale_id = $1 AND state IN ('claimed', 'paid', 'released')", saleId);
            if (placed != units || held != units || holders != placed) findings.Add($"the large sale of {units} units: {placed} were told that they have one, {held} units are held, {holders} buyers have a claim");
            result = new Throughput(units, placed, soldOut, placed / Stopwatch.GetElapsedTime(began, lastPlaced).TotalSeconds, people.Count / whole.TotalSeconds, joinRate, made, paid, figures, cpu);
        });
        return (result, polls);
    }

    private async Task<Guid> ScheduleAsync(Shop shop, Guid product, int units, DateTimeOffset startsAt, int admission, int inside, int? waitingList)
    {
        var sale = new Dictionary<string, object?>
        {
            ["productId"] = product,
            ["units"] = units,
            ["price"] = new { minor = Price, currency = "GBP" },
            ["startsAt"] = startsAt,
            ["endsAt"] = startsAt.AddMinutes(30),
            ["limitPerCustomer"] = 1,
            ["admissionRate"] = admission,
            ["insideLimit"] = inside,
        };
        sellerToken = (await shop.CallAsync(HttpMethod.Post, "/api/v1/sessions", null, new { email = sellerEmail, password = SellerPassword })).GetProperty("accessToken").GetString()!;     // the last one may be over
        if (waitingList is not null) sale["waitingList"] = waitingList;
        var saleId = (await shop.CallAsync(HttpMethod.Post, "/api/v1/seller/flash-sales", sellerToken, sale, once: true)).GetProperty("saleId").GetGuid();
        for (var tried = 0; ; tried++)
        {
            var seen = await shop.CallAsync(HttpMethod.Get, $"/api/v1/seller/flash-sales/{saleId}", sellerToken);
            if (seen.TryGetProperty("status", out var status) && status.ValueKind == JsonValueKind.String && status.GetString() == "scheduled") return saleId;
            if (tried == 40) throw new InvalidOperationException($"The sale is not scheduled after ten seconds: {seen}");
            await Task.Delay(250);
        }
    }

    private async Task<List<Guid>> ListAsync(Shop shop, int count) =>
        [.. (await shop.CallAsync(HttpMethod.Post, "/api/v1/products/bulk", sellerToken, new
        {
            products = Enumerable.Range(0, count).Select(number => new { title = $"Enamel jug no. {number}", description = "A jug for water, flowers or nothing at all.", brand = "Bench Goods", category = "kitchen", price = new { minor = OrdinaryPrice, currency = "GBP" } }),
        })).GetProperty("products").EnumerateArray().Select(product => product.GetProperty("productId").GetGuid())];

    private async Task<Guid> ListOneAsync(Shop shop, string title, long price) =>
        (await shop.CallAsync(HttpMethod.Post, "/api/v1/products", sellerToken, new { title, description = title, brand = "Bench", category = "gifts", price = new { minor = price, currency = "GBP" } })).GetProperty("productId").GetGuid();

    private Task<JsonElement> StockAsync(Shop shop, List<(Guid Product, int Units)> stock) =>
        shop.CallAsync(HttpMethod.Put, "/api/v1/stock", sellerToken, new { lines = stock.Select(line => new { productId = line.Product, warehouse = "north", onHand = line.Units }) });

    private static Task BarsAsync(Func<ProgressContext, Task> work) =>
        AnsiConsole.Progress().Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn()).StartAsync(work);

    private Task WaitAsync(string what, int seconds) => AnsiConsole.Status().StartAsync($"{what}, {seconds} s", _ => Task.Delay(TimeSpan.FromSeconds(seconds), over.Token));

    private sealed class RemainingAndDone : ProgressColumn
    {
        public override Spectre.Console.Rendering.IRenderable Render(Spectre.Console.Rendering.RenderOptions options, ProgressTask task, TimeSpan deltaTime) =>
            new Text(string.Create(CultureInfo.InvariantCulture, $"{task.Value:N0} of {task.MaxValue:N0}"));
    }
}
