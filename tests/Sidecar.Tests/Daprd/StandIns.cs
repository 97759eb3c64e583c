using System.Text;

namespace Marketplace.Sidecar.Tests.Daprd;

/// <summary>
/// Programs in the place of a real Dapr's: shell scripts that write down how they were started and then become the local host with one
/// app, or something that listens where placement and scheduler would. They show that starting, waiting and ending are right; not what daprd does.
/// </summary>
internal sealed class StandIns : IDisposable
{
    private static readonly string Local = typeof(Marketplace.Local.Sidecar.SidecarHost).Assembly.Location;

    private StandIns(string folder) => Folder = folder;

    public string Folder { get; }

    public DaprdPrograms Programs => DaprdPrograms.In(Folder)!;

    /// <summary>The arguments and the variables of every start of a program.</summary>
    public IReadOnlyList<(string[] Arguments, IReadOnlyDictionary<string, string> Environment)> Starts(string program) =>
    [
        .. Directory.GetFiles(Folder, program + ".*.start").Order(StringComparer.Ordinal).Select(File.ReadAllLines).Select(lines => (
            lines.Where(line => line.StartsWith("--", StringComparison.Ordinal)).ToArray(),
            (IReadOnlyDictionary<string, string>)lines.Where(line => !line.StartsWith("--", StringComparison.Ordinal)).ToDictionary(line => line.Split('=')[0], line => line[(line.IndexOf('=', StringComparison.Ordinal) + 1)..]))),
    ];

    public static StandIns Write(string? daprd = null)
    {
        var folder = Directory.CreateTempSubdirectory("stand-ins-").FullName;
        const string Record = """
            #!/bin/sh
            { for argument in "$@"; do echo "$argument"; done; env | grep -E '^(DAPR_|APP_API_TOKEN|NAMESPACE)'; } > "$0.$$.start"

            """;
        const string Listener = Record + """
            for argument in "$@"; do case "$argument" in --port=*) port=${argument#*=};; esac; done
            exec dotnet "{local}" redis --port "$port" --data "$0.$$.data"
            """;
        const string Daprd = Record + """
            port=null; config=null; paths=''; protocol=http; body=4194304; health=null; concurrency=-1; interval=5; timeout=500; threshold=3; path=''
            for argument in "$@"; do
              value=${argument#*=}
              case "$argument" in
                --app-id=*) id=$value;;
                --app-port=*) port=$value;;
                --app-protocol=*) protocol=$value;;
                --dapr-http-port=*) http=$value;;
                --dapr-grpc-port=*) grpc=$value;;
                --config=*) config="\"$value\"";;
                --max-body-size=*Mi) body=$((${value%Mi} * 1048576));;
                --app-max-concurrency=*) concurrency=$value;;
                --app-health-check-path=*) path=$value;;
                --app-health-probe-interval=*) interval=$value;;
                --app-health-probe-timeout=*) timeout=$value;;
                --app-health-threshold=*) threshold=$value;;
                --resources-path=*) paths="$paths${paths:+,}\"$value\"";;
              esac
            done
            if [ -n "$path" ]; then health="{\"path\":\"$path\",\"interval\":\"00:00:$(printf %02d "$interval")\",\"timeout\":\"00:00:$(printf %02d $((timeout / 1000))).$(printf %03d $((timeout % 1000)))\",\"threshold\":$threshold}"; fi
            cat > "$0.$$.plan" <<PLAN
            {"dataFolder":"$0.$$.data","controlPort":0,"apiToken":"$DAPR_API_TOKEN","appToken":"$APP_API_TOKEN","namespace":"$NAMESPACE","apps":[{"appId":"$id","appFolder":"$PWD","appPort":$port,
            "httpPort":$http,"grpcPort":$grpc,"resourcesPaths":[$paths],"configFile":$config,"appProtocol":"$protocol","healthCheck":$health,"maxConcurrency":$concurrency,"maxBodyBytes":$body}]}
            PLAN
            exec dotnet "{local}" sidecars --plan "$0.$$.plan"
            """;
        foreach (var (name, script) in new[] { ("placement", Listener), ("scheduler", Listener), ("daprd", daprd is null ? Daprd : Record + daprd) })
        {
            var file = Path.Combine(folder, name);
            File.WriteAllText(file, script.Replace("{local}", Local, StringComparison.Ordinal) + "\n", new UTF8Encoding(false));
            if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        return new StandIns(folder);
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
