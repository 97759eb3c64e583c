namespace Marketplace.Local.Launcher;

/// <summary>The programs of a real Dapr on this machine.</summary>
public sealed record DaprPrograms(string Daprd, string Placement, string Scheduler)
{
    private static readonly string[] Names = ["daprd", "placement", "scheduler"];

    /// <summary>All three together: from the folder DAPRD_PATH when it is set, else from the runtimePath of dapr.yaml, from PATH, or from ~/.dapr/bin.</summary>
    /// <exception cref="LaunchException">One is missing; says which, where it was looked for, and how to get it.</exception>
    public static DaprPrograms Find(string? runtimePath = null, string? home = null)
    {
        const string Advice = "`dapr init --slim` puts all three into ~/.dapr/bin (https://docs.dapr.io/operations/hosting/self-hosted/self-hosted-no-docker); DAPRD_PATH=<folder> names another place. "
            + "Without --sidecar daprd the built-in sidecars do their work.";
        if (Environment.GetEnvironmentVariable("DAPRD_PATH") is { Length: > 0 } chosen)
        {
            var missing = Names.Where(name => In(chosen, name) is null).ToList();
            return missing.Count == 0
                ? new DaprPrograms(In(chosen, "daprd")!, In(chosen, "placement")!, In(chosen, "scheduler")!)
                : throw new LaunchException($"The folder that DAPRD_PATH names ({chosen}) holds no {string.Join(" and no ", missing)}.", Advice);
        }

        home ??= Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        var usual = Path.Combine(home, ".dapr", "bin");
        List<string> folders = [.. runtimePath is null ? [] : (string[])[Path.Combine(runtimePath, ".dapr", "bin")],
            .. (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries), usual];
        var found = Names.Select(name => folders.Select(folder => In(folder, name)).FirstOrDefault(program => program is not null)).ToList();
        if (found is [{ } daprd, { } placement, { } scheduler])
            return new DaprPrograms(daprd, placement, scheduler);
        var absent = Names.Zip(found).Where(pair => pair.Second is null).Select(pair => pair.First);
        throw new LaunchException($"--sidecar daprd: there is no {string.Join(" and no ", absent)} on PATH or in {usual}, and DAPRD_PATH names no folder.", Advice);
    }

    private static string? In(string folder, string name)
    {
        var file = Path.Combine(folder, OperatingSystem.IsWindows() ? name + ".exe" : name);
        return File.Exists(file) ? file : null;
    }
}
