using System.Globalization;
using Marketplace.Local.Launcher;

namespace Marketplace.Local.Replay;

public sealed record ReplayOptions(string File, DateOnly From, int Days, double? Speed, int Concurrency)
{
    public const string Description = """
        usage: dotnet run --project local -- replay <sales.csv[.gz]> [--from 2010-12-01] [--days 1] [--speed max|N] [--concurrency 24]

          Sells what was sold on those days, through the gateway, and then compares the books: file, orders, payments,
          inventory and the payment provider. Exit code 1 when they differ by a penny or a unit is left.

          --from         first day (default: 2010-12-01)
          --days         number of days (default: 1)
          --speed        max, or how many times faster than the day itself
          --concurrency  shoppers at a time (default: 24); one shopper's orders go one after the other

        """;

    public static ReplayOptions Parse(IReadOnlyList<string> args)
    {
        var options = new ReplayOptions("", new DateOnly(2010, 12, 1), 1, null, 24);
        for (var i = 0; i < args.Count; i++)
        {
            string Value() => ++i < args.Count ? args[i] : throw new UsageException($"{args[i - 1]} needs a value.");
            switch (args[i])
            {
                case "--from":
                    options = options with { From = DateOnly.TryParseExact(Value(), "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var from) ? from : throw new UsageException($"--from wants a day such as 2010-12-01, not {args[i]}.") };
                    break;
                case "--days":
                    options = options with { Days = int.TryParse(Value(), NumberStyles.None, CultureInfo.InvariantCulture, out var days) && days > 0 ? days : throw new UsageException($"--days wants a positive number, not {args[i]}.") };
                    break;
                case "--speed":
                    var speed = Value();
                    options = options with { Speed = speed == "max" ? null : double.TryParse(speed, NumberStyles.Float, CultureInfo.InvariantCulture, out var times) && times > 0 ? times : throw new UsageException($"--speed wants max or a positive number, not {speed}.") };
                    break;
                case "--concurrency":
                    options = options with { Concurrency = int.TryParse(Value(), NumberStyles.None, CultureInfo.InvariantCulture, out var at) && at is > 0 and <= 500 ? at : throw new UsageException($"--concurrency wants 1 to 500, not {args[i]}.") };
                    break;
                case var option when option.StartsWith('-'): throw new UsageException($"Unknown option {option}.");
                case var file when options.File.Length == 0: options = options with { File = file }; break;
                case var other: throw new UsageException($"One file at a time; what is {other}?");
            }
        }

        if (options.File.Length == 0)
            throw new UsageException("Which file? Give the path of the sales file.");
        return System.IO.File.Exists(options.File) ? options : throw new UsageException($"There is no file {Path.GetFullPath(options.File)}.");
    }
}
