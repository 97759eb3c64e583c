using System.Collections.Concurrent;
using System.Globalization;
using Marketplace.Local.Launcher;
using Marketplace.Local.Shop;
using Spectre.Console;

namespace Marketplace.Local.Replay;

/// <summary>The verb <c>replay</c>: sells what was really sold, then compares every book there is.</summary>
public static class ReplayVerb
{
    private static readonly string[] Warehouses = ["north", "midlands", "south"];

    public static Task<int> RunAsync(string[] args) => LauncherVerbs.GuardedAsync(args, ReplayOptions.Description, async (options, rest, ct) =>
    {
        var replay = ReplayOptions.Parse(rest);
        var view = LaunchView.Create(options.Json);
        await using var host = await RunningOrStarted.AttachAsync(options, view, ct);
        return await SellAsync(replay, host.System, view.Console, ct);
    });

    private static async Task<int> SellAsync(ReplayOptions options, RunningSystem system, IAnsiConsole console, CancellationToken ct)
    {
        var run = $"{Path.GetFileName(options.File)}-{options.From:yyyyMMdd}-{options.Days}-{DateTime.UtcNow:yyyyMMddHHmmss}";
        var plan = SalesPlan.Of(SalesFile.Read(options.File), options.From, options.Days, run);
        if (plan.Invoices == 0)
            throw new SalesFileException($"{Path.GetFileName(options.File)} holds no sales in the {options.Days} days from {options.From:yyyy-MM-dd}.");
        Describe(console, options, plan);

        using var shop = new ShopClient(new Uri(system.GatewayUrl));
        await using var books = new ReplayBooks(ReplayBooks.ReadSecrets(system.SecretsFile));
        var since = TimeProvider.System.GetUtcNow().AddSeconds(-5);
        var sales = new Sales(shop, plan, run, options);
        Reconciliation? reconciliation = null;
        await console.Progress().AutoClear(false).HideCompleted(false)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .StartAsync(async progress =>
            {
                var listing = progress.AddTask("listing products and their stock", maxValue: plan.Products.Count);
                var signing = progress.AddTask("opening accounts", maxValue: plan.Shoppers.Count);
                var sending = progress.AddTask("checking out", maxValue: plan.Orders.Count());
                var settling = progress.AddTask("sagas finished", maxValue: plan.Orders.Count());
                await sales.ListAsync(Warehouses, listing.Increment, ct);
                await sales.SignInAsync(signing.Increment, ct);

                using var watched = CancellationTokenSource.CreateLinkedTokenSource(ct);
                var watching = sales.WatchAsync(books, count => settling.Value = count, TimeSpan.FromMinutes(2), watched.Token);
                await sales.SendAsync(sending.Increment, ct);
                await watching;
                reconciliation = await sales.ReconcileAsync(books, since, ct);
            });

        return await ReportAsync(console, sales, books, reconciliation!, ct);
    }

    private static void Describe(IAnsiConsole console, ReplayOptions options, SalesPlan plan)
    {
        console.MarkupLineInterpolated($"[bold]{Path.GetFileName(options.File)}[/], {(options.Days == 1 ? "1 day" : $"{options.Days} days")} from {options.From:yyyy-MM-dd}: {plan.Rows:N0} rows, {plan.Invoices:N0} invoices of {plan.Shoppers.Count:N0} shoppers ({plan.Shoppers.Count(shopper => shopper.Customer is null):N0} guests), {plan.Products.Count:N0} products.");
        var skipped = plan.Skipped;
        console.MarkupLineInterpolated($"Left out: {skipped.Cancellations:N0} cancellation rows, {skipped.NotProducts:N0} rows that are no products, {skipped.NoQuantity:N0} without a quantity, {skipped.NoPrice:N0} without a price.");
        var orders = plan.Orders.ToList();
        console.MarkupLineInterpolated($"To send: {orders.Count:N0} orders ({orders.Count - plan.Invoices:N0} more than invoices, since a cart takes {SalesPlan.MostUnits} units of a line and {SalesPlan.MostLines} lines), {orders.Sum(order => order.Lines.Count):N0} lines, {plan.FileUnits:N0} units, {Reconciliation.Pounds(plan.FileMinor)}.");
        if (plan.RoundedRows > 0)
            console.MarkupLineInterpolated($"[yellow]{plan.RoundedRows} rows have a price with parts of a penny; it was rounded half to even, here and on the file's side of the comparison.[/]");
    }

    private static async Task<int> ReportAsync(IAnsiConsole console, Sales sales, ReplayBooks books, Reconciliation result, CancellationToken ct)
    {
        var table = new Table { Border = TableBorder.Rounded, Title = new TableTitle("Reconciliation") };
        table.AddColumn("book");
        foreach (var column in (string[])["orders", "units", "amount"])
            table.AddColumn(new TableColumn(column).RightAligned());
        foreach (var book in result.System.Prepend(result.File))
        {
            static string Number(long? value) => value?.ToString("N0", CultureInfo.InvariantCulture) ?? "";
            table.AddRow(new Text(book.Book), new Text(Number(book.Orders)), new Text(Number(book.Units)), new Text(book.Minor is { } minor ? Reconciliation.Pounds(minor) : ""));
        }

        console.Write(table);
        console.MarkupLineInterpolated($"{result.Sent:N0} orders sent, {result.Confirmed:N0} confirmed, {result.Failures.Values.Sum():N0} failed, {result.Open:N0} open. Stock left: {result.StockLeft:N0} units, {result.StockReserved:N0} reserved.");

        var times = await books.TimesAsync(sales.OrderIds, ct);
        if (Pace.Of(times.Select(order => (order.Confirmed, order.Lines))) is { } pace)
            console.MarkupLineInterpolated($"Throughput: [bold]{pace.OrdersPerSecond:0.0}[/] orders/s, {pace.LinesPerSecond:N0} lines/s confirmed (over {pace.Counted:N0} orders; the first {Pace.WarmUp} are left out).");
        else
            console.MarkupLineInterpolated($"Throughput: too few orders for a figure; the first {Pace.WarmUp} are left out.");
        if (Latencies.Of(sales.CheckoutTimes) is { } checkout)
            console.MarkupLineInterpolated($"POST /checkout answered: {checkout.ToString()}.");
        if (Latencies.Of(times.Select(order => (order.Confirmed - order.Placed).TotalMilliseconds)) is { } saga)
            console.MarkupLineInterpolated($"Placed until confirmed: {saga.ToString()}.");
        if (sales.Repeats is var (faults, throttled) && faults + throttled > 0)
            console.MarkupLineInterpolated($"{faults} requests were repeated after a fault, {throttled} after being asked to wait.");

        var differences = result.Differences();
        if (differences.Count == 0)
        {
            console.MarkupLine("[green]The books agree to the penny and every stock is at zero.[/]");
            return 0;
        }

        console.MarkupLine("[red]The books do not agree:[/]");
        foreach (var difference in differences)
            console.MarkupLineInterpolated($"[red]· {difference}[/]");
        return 1;
    }
}

/// <summary>The shoppers of a plan, going through the shop.</summary>
internal sealed class Sales(ShopClient shop, SalesPlan plan, string run, ReplayOptions options)
{
    private const int PerRequest = 500;
    private const string Card = "pm_card_visa";
    private readonly ConcurrentDictionary<SalesShopper, Shopper> signedIn = new();
    private readonly ConcurrentBag<Guid> orderIds = [];
    private readonly ConcurrentDictionary<string, int> refusals = new();
    private readonly ConcurrentBag<double> checkoutTimes = [];
    private bool allSent;

    public Guid[] OrderIds => [.. orderIds];
    public IReadOnlyCollection<double> CheckoutTimes => checkoutTimes;
    public (int AfterFaults, int Throttled) Repeats => shop.Repeats;

    public async Task ListAsync(IReadOnlyList<string> warehouses, Action<double> done, CancellationToken ct)
    {
        var session = await shop.OpenAccountAsync("wholesaler@online-retail.example", "online-retail-seller", "Online Retail", ct);
        var seller = new Shopper(shop, await shop.BecomeSellerAsync(session, "Online Retail", ct), TimeProvider.System);
        var category = (await Categories.ReadAsync(shop, ct))[0];
        foreach (var batch in plan.Products.Chunk(PerRequest))
        {
            await shop.ListAsync(await seller.SessionAsync(ct),
                [.. batch.Select(product => new NewListing(product.Title, product.Title, "Online Retail", category, new Money(product.PriceMinor), null, product.ProductId))], ct);
            var lines = batch.SelectMany(product => SalesPlan.Spread(product.Demand, warehouses).Where(part => part.OnHand > 0).Select(part => new StockLine(product.ProductId, part.Warehouse, part.OnHand)));
            foreach (var some in lines.Chunk(PerRequest))
                await shop.StockAsync(await seller.SessionAsync(ct), some, ct);
            done(batch.Length);
        }
    }

    /// <summary>Before the clock starts: hashing a password is made to be slow, and it is not what a checkout costs.</summary>
    public async Task SignInAsync(Action<double> done, CancellationToken ct) =>
        await Parallel.ForEachAsync(plan.Shoppers, new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = ct }, async (shopper, token) =>
        {
            var session = shopper.Customer is { } customer
                ? await shop.OpenAccountAsync(EmailOf(shopper), $"online-retail-{customer}", $"Customer {customer}", token)
                : await shop.ComeAsGuestAsync(token);
            signedIn[shopper] = new Shopper(shop, session, TimeProvider.System);
            done(1);
        });

    /// <summary>
    /// Invoices leave in the order of time. A shopper who is still at the till queues there; the place goes to somebody else.
    /// </summary>
    public async Task SendAsync(Action<double> done, CancellationToken ct)
    {
        using var places = new SemaphoreSlim(options.Concurrency);
        var queues = new Dictionary<SalesShopper, Queue<SoldInvoice>>();
        var underWay = new ConcurrentDictionary<Task, byte>();
        var started = TimeProvider.System.GetTimestamp();
        var timeline = plan.Shoppers.SelectMany(shopper => shopper.Invoices.Select(invoice => (shopper, invoice))).OrderBy(sale => sale.invoice.At).ToList();
        foreach (var (shopper, invoice) in timeline)
        {
            if (options.Speed is { } speed)
            {
                var due = (invoice.At - timeline[0].invoice.At) / speed - TimeProvider.System.GetElapsedTime(started);
                if (due > TimeSpan.Zero)
                    await Task.Delay(due, ct);
            }

            lock (queues)
            {
                if (queues.TryGetValue(shopper, out var waiting))
                {
                    waiting.Enqueue(invoice);
                    continue;
                }

                queues[shopper] = new Queue<SoldInvoice>([invoice]);
            }

            await places.WaitAsync(ct);
            var visit = VisitAsync(shopper);
            underWay[visit] = 0;
            _ = visit.ContinueWith(ended => underWay.TryRemove(ended, out _), ct, TaskContinuationOptions.OnlyOnRanToCompletion | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }

        await Task.WhenAll(underWay.Keys);
        Volatile.Write(ref allSent, true);

        async Task VisitAsync(SalesShopper shopper)
        {
            try
            {
                while (true)
                {
                    SoldInvoice invoice;
                    lock (queues)
                    {
                        if (!queues[shopper].TryDequeue(out invoice!))
                        {
                            queues.Remove(shopper);
                            return;
                        }
                    }

                    foreach (var order in invoice.Orders)
                    {
                        await BuyAsync(shopper, order, ct);
                        done(1);
                    }
                }
            }
            finally
            {
                places.Release();
            }
        }
    }

    /// <summary>Until every order has come to an end and its goods have left the books, or nothing moves any more.</summary>
    public async Task WatchAsync(ReplayBooks books, Action<int> ended, TimeSpan patience, CancellationToken ct)
    {
        var (last, lastMove) = ((0, -1), TimeProvider.System.GetTimestamp());
        while (true)
        {
            var complete = Volatile.Read(ref allSent);
            var ids = OrderIds;
            var states = await books.StatesAsync(ids, ct);
            var finished = states.Where(state => state.Key.Status != "PENDING").Sum(state => state.Value);
            var unsettled = complete && finished == ids.Length ? await books.UnsettledAsync(ids, ct) : -1;
            ended(finished + refusals.Values.Sum());
            if (complete && unsettled == 0)
                return;
            if ((finished, unsettled) != last)
                (last, lastMove) = ((finished, unsettled), TimeProvider.System.GetTimestamp());
            else if (complete && TimeProvider.System.GetElapsedTime(lastMove) > patience)
                return;   // the reconciliation says what is open
            await Task.Delay(TimeSpan.FromSeconds(1), ct);   // every look costs the system that is being measured
        }
    }

    public async Task<Reconciliation> ReconcileAsync(ReplayBooks books, DateTimeOffset since, CancellationToken ct)
    {
        var ids = OrderIds;
        var states = await books.StatesAsync(ids, ct);
        var failures = new Dictionary<string, int>(refusals);
        foreach (var ((status, reason), count) in states.Where(state => state.Key.Status is not ("CONFIRMED" or "SHIPPED" or "DELIVERED" or "PENDING")))
            failures[$"{status}{(reason is null ? "" : $" ({reason})")}"] = count;
        var (heads, lines) = await books.OrdersAsync(ids, ct);
        var (left, reserved, products) = await books.StockAsync([.. plan.Products.Select(product => product.ProductId)], ct);
        return new Reconciliation(
            new BookTotals("sales file", plan.Orders.Count(), plan.FileUnits, plan.FileMinor),
            [heads, lines, await books.PaymentsAsync(ids, ct), await books.ProviderAsync(ids.ToHashSet(), since, ct), await books.MovementsAsync(ids, ct)],
            plan.Orders.Count(),
            states.Where(state => state.Key.Status is "CONFIRMED" or "SHIPPED" or "DELIVERED").Sum(state => state.Value),
            failures,
            states.Where(state => state.Key.Status == "PENDING").Sum(state => state.Value),
            left, reserved, products);
    }

    private async Task BuyAsync(SalesShopper who, SoldOrder order, CancellationToken ct)
    {
        var shopper = signedIn[who];
        var address = new Destination(who.Customer is { } number ? $"Customer {number}" : "A guest", "1 High Street", null, "London", "N1 1AA", Countries.CodeOf(who.Country));
        CheckoutAnswer answer;
        try
        {
            await shop.FillCartAsync(await shopper.SessionAsync(ct), [.. order.Lines.Select(line => new CartLine(line.Product.ProductId, line.Quantity))], ct);
            var session = await shopper.SessionAsync(ct);
            var started = TimeProvider.System.GetTimestamp();
            answer = await shop.CheckOutAsync(session, $"{run}-{order.Invoice}-{order.Part}", order.TotalMinor, address, new Contact(EmailOf(who), address.Name), Card, ct);
            checkoutTimes.Add(TimeProvider.System.GetElapsedTime(started).TotalMilliseconds);
        }
        catch (Exception failure) when (failure is ShopException or HttpRequestException)
        {
            answer = new CheckoutAnswer(null, failure.Message);
        }

        if (answer.OrderId is { } orderId)
            orderIds.Add(orderId);
        else
            refusals.AddOrUpdate($"refused at the till: {answer.Refusal}", 1, (_, count) => count + 1);
    }

    private static string EmailOf(SalesShopper shopper) => shopper.Customer is { } customer
        ? $"customer-{customer}@online-retail.example"
        : $"guest-{shopper.Invoices[0].Number}@online-retail.example";
}
