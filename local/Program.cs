using Marketplace.Local.Kafka;
using Marketplace.Local.Launcher;
using Marketplace.Local.Mail;
using Marketplace.Local.Provider;
using Marketplace.Local.Redis;
using Marketplace.Local.Replay;
using Marketplace.Local.Seed;
using Marketplace.Local.Sidecar;

if (args is [] || args[0].StartsWith("--", StringComparison.Ordinal) && args[0] != "--help")
    args = ["up", .. args];
var verb = args[0];
try
{
    return verb switch
    {
        "sidecars" or "provider" or "redis" or "kafka" or "mail" when args is [_, var word] && Help.IsAsked(word) => Help.Print("--help"),
        "up" => await LauncherVerbs.UpAsync(args),
        "infra" => await LauncherVerbs.InfraAsync(args),
        "migrate" => await LauncherVerbs.MigrateAsync(args),
        "doctor" => await Doctor.RunAsync(args),
        "logs" => await LauncherVerbs.LogsAsync(args),
        "seed" => await SeedVerb.RunAsync(args),
        "replay" => await ReplayVerb.RunAsync(args),
        "sidecars" => await SidecarCommand.RunAsync(args),
        "provider" => await ProviderVerb.RunAsync(args),
        "redis" => await RedisCommand.RunAsync(args),
        "kafka" => await KafkaCommand.RunAsync(args),
        "mail" => await MailVerb.RunAsync(args),
        _ => Help.Print(verb),
    };
}
catch (UsageException wrong)
{
    Console.Error.WriteLine($"{wrong.Message}\n`dotnet run --project local -- {verb} --help` tells more.");   // a page of options would push out what is wrong
    return 2;
}

internal static class Help
{
    public static bool IsAsked(string word) => word is "--help" or "-h" or "help";

    public static int Print(string verb)
    {
        var asked = IsAsked(verb);
        (asked ? Console.Out : Console.Error).WriteLine($"""
            {(asked ? "" : $"There is no verb {verb}.\n")}usage: dotnet run --project local [-- <verb> [options]]      every verb explains itself with --help

              up          everything, until Ctrl-C (what happens without a verb)
              doctor      what this machine has, what is missing, how to get it
              infra       only what the services need from outside; go on with `dapr run -f .`
              migrate     databases to their newest version
              logs <app>  the log of an app; -f follows it
              seed        a demo marketplace: sellers, products, stock, shoppers with known passwords
              replay <csv>    sells what was really sold on some days and compares the books

            parts of the system, started by the launcher:

              sidecars --plan <file.json>    the sidecars of all apps, in one process
              provider --port <n> --data <folder> [--webhook <url> --webhook-secret <s>]    the payment provider double
              redis --port <n> --data <folder> [--password <text>]    a Redis that keeps what it acknowledged (Garnet)
              kafka --port <n>    a Kafka that lives in memory (librdkafka's mock cluster)
              mail --port <n> --data <folder>    an SMTP server that keeps what it gets as .eml files
            """);
        return asked ? 0 : 2;
    }
}
