namespace Marketplace.Local.Launcher;

/// <summary>What may follow the verb. Every verb takes <c>--data</c>; the rest belongs to those that start something.</summary>
public sealed record LaunchOptions
{
    public string? Data { get; init; }

    /// <summary>A set under components/ or any folder; null is the usual one of the verb.</summary>
    public string? Components { get; init; }

    public SidecarKind Sidecar { get; init; }

    /// <summary>Opt-in apps to start, by app id or by the name of their folder.</summary>
    public IReadOnlySet<string> With { get; init; } = new HashSet<string>();

    public IReadOnlyDictionary<string, int> Instances { get; init; } = new Dictionary<string, int>();
    public IReadOnlySet<string>? Only { get; init; }
    public bool Build { get; init; } = true;
    public bool FreePorts { get; init; }

    /// <summary>A port of dapr.yaml that is taken is an error.</summary>
    public bool FixedPorts { get; init; }

    /// <summary>How long an app or a sidecar may take to get ready.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(90);

    public bool Json { get; init; }
    public bool Help { get; init; }

    public const string Description = """
          --data <folder>        where everything local is kept (default .local, or MARKETPLACE_DATA)
          --components <set>     which infrastructure: a folder under components/, or any folder with component files
                                 (default local; redis with --sidecar daprd)
          --sidecar local|daprd  the built-in sidecars (default), or placement, scheduler and a daprd per app of a real
                                 Dapr, from the folder DAPRD_PATH, PATH or ~/.dapr/bin
          --with app,app         also start these apps, which dapr.yaml marks with optIn
          --instances app=2,…    several instances of an app id
          --only app,app         start these services only
          --ports free|fixed     take free ports for everything; or those of dapr.yaml and no others (by default a port
                                 that is taken is replaced by a free one, which is said)
          --patience <seconds>   how long an app may take to get ready (default 90)
          --no-build             start what is built, stale or not
          --json                 one line of JSON when everything is ready, for programs
        """;

    /// <summary>Reads what it knows and leaves the rest, which must be empty for most verbs.</summary>
    public static LaunchOptions Parse(IEnumerable<string> args, out IReadOnlyList<string> rest)
    {
        var options = new LaunchOptions();
        var others = new List<string>();
        var queue = new Queue<string>(args);
        while (queue.TryDequeue(out var arg))
        {
            string Value() => queue.TryDequeue(out var value) && !value.StartsWith("--", StringComparison.Ordinal)
                ? value : throw new UsageException($"{arg} needs a value.");
            switch (arg)
            {
                case "--data": options = options with { Data = Value() }; break;
                case "--components": options = options with { Components = Value() }; break;
                case "--sidecar":
                    options = options with
                    {
                        Sidecar = Value() switch
                        {
                            "local" => SidecarKind.Local,
                            "daprd" => SidecarKind.Daprd,
                            var other => throw new UsageException($"--sidecar is local or daprd, not {other}."),
                        },
                    };
                    break;
                case "--with": options = options with { With = Value().Split(',', StringSplitOptions.RemoveEmptyEntries).ToHashSet() }; break;
                case "--instances": options = options with { Instances = ParseInstances(Value()) }; break;
                case "--only": options = options with { Only = Value().Split(',', StringSplitOptions.RemoveEmptyEntries).ToHashSet() }; break;
                case "--no-build": options = options with { Build = false }; break;
                case "--ports":
                    options = Value() switch
                    {
                        "free" => options with { FreePorts = true },
                        "fixed" => options with { FixedPorts = true },
                        var other => throw new UsageException($"--ports is free or fixed, not {other}."),
                    };
                    break;
                case "--patience":
                    options = int.TryParse(Value(), out var seconds) && seconds > 0 ? options with { Patience = TimeSpan.FromSeconds(seconds) } : throw new UsageException("--patience wants a number of seconds.");
                    break;
                case "--json": options = options with { Json = true }; break;
                case "--help" or "-h" or "help": options = options with { Help = true }; break;
                default: others.Add(arg); break;
            }
        }

        rest = others;
        return options;
    }

    public static LaunchOptions Parse(IEnumerable<string> args)
    {
        var options = Parse(args, out var rest);
        return rest is [var unknown, ..] ? throw new UsageException($"Unknown option {unknown}.") : options;
    }

    private static Dictionary<string, int> ParseInstances(string text)
    {
        var instances = new Dictionary<string, int>();
        foreach (var part in text.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            if (part.Split('=') is not [var app, var number] || !int.TryParse(number, out var count) || count is < 1 or > 9)
                throw new UsageException($"--instances wants app=number with 1 to 9, not {part}.");
            instances[app] = count;
        }

        return instances;
    }
}

public enum SidecarKind
{
    /// <summary>The built-in ones, all in one process.</summary>
    Local,

    /// <summary>A process of a real Dapr for each app instance.</summary>
    Daprd,

    /// <summary>None of ours: somebody goes on with <c>dapr run -f</c>, which starts those of a real Dapr.</summary>
    DaprCli,
}

public sealed class UsageException(string message) : Exception(message);
