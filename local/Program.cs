using Marketplace.Local.Provider;
using Marketplace.Local.Sidecar;

return args is [var verb, ..]
    ? verb switch
    {
        "sidecars" => await SidecarCommand.RunAsync(args),
        "provider" => await ProviderVerb.RunAsync(args),
        _ => Help.Print(),
    }
    : Help.Print();

internal static class Help
{
    public static int Print()
    {
        Console.Error.WriteLine("""
            usage: dotnet run --project local -- <verb>

              sidecars --plan <file.json>    the sidecars of all apps, in one process
              provider --port <n> --data <folder> [--webhook <url> --webhook-secret <s>]    the payment provider double
            """);
        return 2;
    }
}
