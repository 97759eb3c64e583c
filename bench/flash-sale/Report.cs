using System.Globalization;
using Marketplace.Bench.FlashSale.Traffic;
using Marketplace.Bench.Reads;
using Spectre.Console;

namespace Marketplace.Bench.FlashSale;

/// <summary>Claims decided as fast as they go.</summary>
/// <param name="PlacedRate">Units given a second, until the last was.</param>
/// <param name="Made">Orders that came of it by the time the last claim was decided; so many of them were paid for by then.</param>
/// <param name="Rate">Decisions a second over all, those for "sold out" included.</param>
internal sealed record Throughput(int Units, int Placed, int SoldOut, double PlacedRate, double Rate, double JoinRate, long Made, long Paid, Figures Figures, CpuShare Cpu);

internal sealed record PollRates(Load Bare, Load Gateway);

internal static class Report
{
    public static void Write(
        Options options, Figures figures, Storm storm, Observer observer, Audit audit, TimeSpan start,
        Shoppers.Watched alone, Shoppers.Watched joining, Shoppers.Watched during, CpuShare cpu, double? decr, Throughput? few, Throughput? many, PollRates? polls)
    {
        var sale = Table($"{options.Buyers:N0} buyers, {options.Units:N0} units, {options.Declined:P0} of cards declined, {options.Admission} let in a second, seed {options.Seed}", "what", "in all", "best 5 s, per second", "p50 ms", "p99 ms", "longest ms");
        foreach (var (kind, what) in new[] { (Kind.Join, "joins"), (Kind.Poll, "polls"), (Kind.Claim, "claims"), (Kind.Outcome, "what became of my claim"), (Kind.Watch, "events to those who watch") })
        {
            var times = figures.Times(kind);
            if (kind == Kind.Watch) sale.AddRow(what, N(times.Count, 0), N(figures.Sustained(kind, 5), 0), "", "", "");
            else sale.AddRow(what, N(times.Count, 0), N(figures.Sustained(kind, 5), 0), N(times.Percentile(0.5), 1), N(times.Percentile(0.99), 1), N(times.MaxMs, 0));
        }

        AnsiConsole.Write(sale);

        var others = Table("ordinary shoppers meanwhile", "what", "asked", "p50 ms", "p99 ms", "p99, of alone", "failed");
        foreach (var (what, watched) in new[] { ("alone", alone), ("while the crowd joins", joining), ("from the start of the sale to the last answer", during) })
        {
            others.AddRow($"product pages, {what}", N(watched.Reads.Count, 0), N(watched.Reads.Percentile(0.5), 1), N(watched.Reads.Percentile(0.99), 1), Ratio(watched.Reads, alone.Reads), N(watched.Failures, 0));
            others.AddRow($"cart and checkout, {what}", N(watched.Checkouts.Count, 0), N(watched.Checkouts.Percentile(0.5), 1), N(watched.Checkouts.Percentile(0.99), 1), Ratio(watched.Checkouts, alone.Checkouts), "");
        }

        AnsiConsole.Write(others);

        var rates = Table("as fast as it goes", "what", "a second", "of the floor", "CPU ms each");
        if (decr is not null) rates.AddRow("floor: redis-benchmark -P 1 DECR, 50 connections", N(decr.Value, 0), "100 %", "");
        if (few is not null)
        {
            rates.AddRow($"claims decided, {few.Placed + few.SoldOut:N0} of {few.Units:N0} units, 128 at a time; p99 {few.Figures.Times(Kind.Claim).Percentile(0.99):N0} ms", N(few.Rate, 0), Share(few.Rate, decr), CpuEach(few));
            rates.AddRow("joins, 64 at a time", N(few.JoinRate, 0), "", "");
        }

        if (many is not null)
        {
            rates.AddRow($"claims decided, {many.Placed + many.SoldOut:N0} of {many.Units:N0} units, the work on {many.Made:N0} orders beside it; p99 {many.Figures.Times(Kind.Claim).Percentile(0.99):N0} ms", N(many.Rate, 0), Share(many.Rate, decr), CpuEach(many));
            rates.AddRow("units given meanwhile, until the last was", N(many.PlacedRate, 0), Share(many.PlacedRate, decr), "");
        }

        if (polls is not null)
        {
            rates.AddRow("floor: bare Kestrel, the same bytes as a poll, wrk -t2 -c64", N(polls.Bare.Rate, 0), "100 %", N(polls.Bare.CpuMs, 4));
            rates.AddRow("polls through the gateway, wrk -t2 -c64", N(polls.Gateway.Rate, 0), Share(polls.Gateway.Rate, polls.Bare.Rate), N(polls.Gateway.CpuMs, 4));
        }

        AnsiConsole.Write(rates);

        AnsiConsole.WriteLine($"the {options.Units}th paid order {(audit.LastUnitPaidAfter is { } after ? N(after.TotalSeconds, 1) : "never")} s after the start; the last of all answers {N((storm.Buyers.Max(buyer => buyer.EndedAt) - start).TotalSeconds, 1)} s after it");
        AnsiConsole.WriteLine($"killed: {(observer.Kills.Count == 0 ? "nobody" : string.Join(", ", observer.Kills.Select(kill => $"{kill.What} {N((kill.At - start).TotalSeconds, 1)} s after the start")))}");
        AnsiConsole.WriteLine($"processors from the start on: {Shares(cpu)}");
        foreach (var each in new[] { few, many }.OfType<Throughput>())
            AnsiConsole.WriteLine($"processors during the claims of {each.Units:N0} units: {Shares(each.Cpu)}; {N(each.Made, 0)} orders were made meanwhile and {N(each.Paid, 0)} of them paid for");
        AnsiConsole.WriteLine($"not answered as hoped: {(figures.Trouble.Count == 0 ? "nothing" : string.Join(", ", figures.Trouble.OrderByDescending(one => one.Value).Select(one => $"{one.Key} ({one.Value})")))}");
        foreach (var (what, count) in storm.OddAnswers) AnsiConsole.MarkupLineInterpolated($"[yellow]{what} ({count})[/]");
        foreach (var line in audit.Lines) AnsiConsole.WriteLine(line);
    }

    private static string Shares(CpuShare cpu) =>
        $"{string.Join(", ", cpu.Shares.Where(share => share.Cores > 0.005).Select(share => $"{share.Name} {N(share.Cores, 2)}"))}; in all {N(cpu.Shares.Sum(share => share.Cores), 2)}";

    private static Table Table(string title, params string[] columns)
    {
        var table = new Table().Title(title).RoundedBorder();
        foreach (var column in columns) table.AddColumn(new TableColumn(column).RightAligned());
        table.Columns[0].LeftAligned();
        return table;
    }

    private static string CpuEach(Throughput each) => N(1000 * each.Cpu.Shares.Sum(share => share.Cores) / each.Rate, 2);

    private static string Ratio(Histogram now, Histogram before) => before.Percentile(0.99) is > 0 and var was ? $"{N(now.Percentile(0.99) / was, 2)} ×" : "";

    private static string Share(double rate, double? floor) => floor is > 0 ? $"{N(100 * rate / floor.Value, 0)} %" : "";

    private static string N(double value, int digits) => value.ToString($"N{digits}", CultureInfo.InvariantCulture);
}
