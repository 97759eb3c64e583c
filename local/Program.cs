using Marketplace.Local.Sidecar;

return args is [var verb, ..]
    ? verb switch
    {
        "sidecars" => await SidecarCommand.RunAsync(args),
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
            """);
        return 2;
    }
}
