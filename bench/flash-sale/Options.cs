using System.Globalization;

namespace Marketplace.Bench.FlashSale;

internal sealed record Options
{
    public const string Help = """
        Fifty thousand buyers, one hundred units: a flash sale in the launched system, from joining to the last answer, with an audit of what was sold.

          dotnet run -c Release --project bench/flash-sale -- [options]

          --buyers <n>        distinct buyers (50000); nine in ten join before the start, the rest after it
          --units <n>         units of the sale (100)
          --declined <share>  of the cards that the provider refuses to charge (0.1)
          --admission <n>     people let in each second (100)
          --joins <n>         joins a second before the start (1300)
          --watchers <n>      buyers who watch by server-sent events instead of polling (300)
          --claims <n>        second part: twice as many buyers claim as fast as it is decided, first in a sale of --units, then in one of so many units
                              (10000; 0 leaves it out)
          --no-kills          leave the processes alone; else one replica of flashsales and one of ordering die by SIGKILL amid the sale
          --patience <s>      how long after the start everybody may take to get a final answer (180)
          --quick             2,000 buyers, 20 units, a small second part: to see that it runs, two minutes
          --seed <n>          who joins when, whose card is declined, who watches (2026)
          --running <folder>  the data folder of a running system instead of one of its own; it needs two instances of flashsales and ordering
          --no-build          start what is built
          --plot <file>       where the picture goes (flash-sale.svg)
          --keep              leave the system's data folder where it is, for looking into

        What happens, in order: the system starts on free ports (two replicas of flashsales and ordering) · accounts, addresses, sessions and saved cards of all
        buyers are written to the tables that own them, cards are made at the payment provider's double · a rehearsal with its own buyers compiles what is run · ordinary shoppers read products
        and check out, alone · identity issues the buyers' tokens · the sale · the audit · claims as fast as they go, and the floors beside them.
        Times count from when a request was due, not from when it was sent. The exit code is 1 when the audit finds anything, or somebody was left without an answer.

        Linux; needs PostgreSQL (as the system does), redis-server and redis-benchmark; wrk for the floor of polls.
        """;

    public int Buyers { get; init; } = 50_000;

    public int Units { get; init; } = 100;

    public double Declined { get; init; } = 0.1;

    public int Admission { get; init; } = 100;

    public int Joins { get; init; } = 1_300;

    public int Watchers { get; init; } = 300;

    public int Claims { get; init; } = 10_000;

    public bool Kills { get; init; } = true;

    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(180);

    public bool Quick { get; init; }

    public int Seed { get; init; } = 2026;

    public string? Running { get; init; }

    public bool Build { get; init; } = true;

    public string Plot { get; init; } = "flash-sale.svg";

    public bool Keep { get; init; }

    /// <summary>Null and what is wrong when it is.</summary>
    public static (Options? Options, string? Wrong) Parse(string[] args)
    {
        var options = args.Contains("--quick")
            ? new Options { Quick = true, Buyers = 2_000, Units = 20, Admission = 40, Joins = 400, Watchers = 40, Claims = 1_000, Patience = TimeSpan.FromSeconds(90) }
            : new Options();
        var queue = new Queue<string>(args);
        try
        {
            while (queue.TryDequeue(out var arg))
            {
                string Value() => queue.TryDequeue(out var value) && !value.StartsWith("--", StringComparison.Ordinal) ? value : throw new FormatException($"{arg} needs a value");
                int Number(int least) => int.TryParse(Value(), NumberStyles.AllowThousands, CultureInfo.InvariantCulture, out var number) && number >= least
                    ? number : throw new FormatException($"{arg} wants a number of {least} or more");
                options = arg switch
                {
                    "--buyers" => options with { Buyers = Number(10) },
                    "--units" => options with { Units = Number(1) },
                    "--declined" => options with { Declined = double.TryParse(Value(), CultureInfo.InvariantCulture, out var share) && share is >= 0 and <= 1 ? share : throw new FormatException("--declined wants a share between 0 and 1") },
                    "--admission" => options with { Admission = Number(1) },
                    "--joins" => options with { Joins = Number(1) },
                    "--watchers" => options with { Watchers = Number(0) },
                    "--claims" => options with { Claims = Number(0) },
                    "--no-kills" => options with { Kills = false },
                    "--patience" => options with { Patience = TimeSpan.FromSeconds(Number(10)) },
                    "--quick" => options,
                    "--seed" => options with { Seed = Number(0) },
                    "--running" => options with { Running = Value() },
                    "--no-build" => options with { Build = false },
                    "--plot" => options with { Plot = Value() },
                    "--keep" => options with { Keep = true },
                    _ => throw new FormatException($"{arg} is no option of this"),
                };
            }
        }
        catch (FormatException wrong)
        {
            return (null, wrong.Message);
        }

        return options.Units * 2 > options.Buyers ? (null, $"{options.Units} units need at least {options.Units * 2} buyers, or nothing is fought over") : (options, null);
    }
}
