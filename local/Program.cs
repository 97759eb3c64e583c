using Marketplace.Local.Provider;
using Marketplace.Local.Redis;
using Marketplace.Local.Sidecar;

return args is [var verb, ..]
    ? verb switch
    {
        "sidecars" => await SidecarCommand.RunAsync(args),
        "provider" => await ProviderVerb.RunAsync(args),
        "redis" => await RedisCommand.RunAsync(args),
        _ => Help.Print(),
    }
    : Help.Print();

internal static class Help
{
    public static int Print()
    {
        Console.Error.WriteLine("""
            usage: dotnet run --project local -- <verb>

              provider --port <n> --data <folder> [--webhook <url> --webhook-secret <s>]    the payment provider double
              sidecars --plan <file.json>                          the sidecars of all apps, in one process
              redis --port N --data <folder> [--password <text>]   a Redis-protocol server with an append-only file
            """);
        return 2;
    }
}
