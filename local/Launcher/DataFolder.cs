namespace Marketplace.Local.Launcher;

/// <summary>Everything the local system writes is under one folder, which may be deleted when nothing runs.</summary>
public sealed record DataFolder(string Root)
{
    public string Logs => Path.Combine(Root, "logs");
    public string Mail => Path.Combine(Root, "mail");
    public string Redis => Path.Combine(Root, "redis");
    public string Provider => Path.Combine(Root, "provider");
    public string Postgres => Path.Combine(Root, "postgres");
    public string RabbitMq => Path.Combine(Root, "rabbitmq");
    public string Search => Path.Combine(Root, "search");
    public string Secrets => Path.Combine(Root, "secrets.json");
    public string Keys => Path.Combine(Root, "keys.json");
    public string State => Path.Combine(Root, "state.json");
    public string Plan => Path.Combine(Root, "plan.json");
    public string Ports => Path.Combine(Root, "ports.json");
    public string Migrated => Path.Combine(Root, "migrated.json");
    public string LockFile => Path.Combine(Root, "lock");

    public string Log(string name) => Path.Combine(Logs, $"{name}.log");

    public static DataFolder Of(SourceTree tree, string? chosen)
    {
        chosen ??= Environment.GetEnvironmentVariable("MARKETPLACE_DATA");
        return new DataFolder(Path.GetFullPath(string.IsNullOrWhiteSpace(chosen) ? Path.Combine(tree.Root, ".local") : chosen));
    }

    public void Create()
    {
        foreach (var folder in (string[])[Root, Logs, Mail, Redis, Provider, Search])
            Directory.CreateDirectory(folder);
    }

    /// <summary>Held while the system runs: a second launcher on the same folder would fight over databases and ports.</summary>
    public FileStream? TryLock()
    {
        Directory.CreateDirectory(Root);
        try
        {
            return new FileStream(LockFile, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>The log of the run before is kept beside the new one.</summary>
    public string FreshLog(string name)
    {
        var log = Log(name);
        if (File.Exists(log) && new FileInfo(log).Length > 0)
            File.Move(log, Path.Combine(Logs, $"{name}.previous.log"), overwrite: true);
        return log;
    }
}
