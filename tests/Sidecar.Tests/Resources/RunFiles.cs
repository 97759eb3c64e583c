using Marketplace.Local.Sidecar;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.Local.Sidecar.RunFile;
using Xunit;
using YamlDotNet.Serialization;
using YamlDotNet.Serialization.NamingConventions;

namespace Marketplace.Sidecar.Tests.Resources;

/// <summary>dapr.yaml means here what it means to the Dapr CLI.</summary>
public sealed class RunFiles : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("sidecar-tests-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    // What the CLI's own parser has fields for (1.18): the run file, its common part, and an app, which has those of the common part too.
    private const string Top = "apps common name version";

    private const string Common = """
        apiListenAddresses appHealthCheckPath appHealthProbeInterval appHealthProbeTimeout appHealthThreshold appLogDestination appMaxConcurrency appProtocol appSSL
        configFilePath daprdLogDestination enableApiLogging enableAppHealthCheck enableProfiling env logLevel maxBodySize placementHostAddress readBufferSize
        resourcesPath resourcesPaths runtimePath schedulerHostAddress
        """;

    private const string App = """
        appChannelAddress appDirPath appID appPort command containerImage containerImagePullPolicy createService daprGRPCPort daprHTTPPort daprInternalGRPCPort
        metricsPort profilePort unixDomainSocket
        """;

    [Fact]
    public void The_keys_are_those_of_the_cli()
    {
        Assert.Equal(Words(Top), RunFileReader.TopKeys.Order(StringComparer.Ordinal));
        Assert.Equal(Words(Common), RunFileReader.CommonKeys.Order(StringComparer.Ordinal));
        Assert.Equal(Words(App), RunFileReader.AppKeys.Order(StringComparer.Ordinal));
        Assert.Equal(["optIn"], RunFileReader.OurKeys);
    }

    [Fact]
    public void Every_key_of_the_cli_is_taken()
    {
        Directory.CreateDirectory(Path.Combine(folder, "shop/resources"));
        File.WriteAllText(Path.Combine(folder, "config.yaml"), "");
        const string Shared = """
            configFilePath: {config}
            resourcesPath: {resources}
            resourcesPaths: [{resources}]
            runtimePath: {resources}
            apiListenAddresses: 127.0.0.1
            appHealthCheckPath: /livez
            appHealthProbeInterval: 1
            appHealthProbeTimeout: 300
            appHealthThreshold: 4
            appLogDestination: file
            appMaxConcurrency: 7
            appProtocol: HTTP
            appSSL: yes
            daprdLogDestination: console
            enableApiLogging: true
            enableAppHealthCheck: on
            enableProfiling: true
            env: {A: 1, B: true}
            logLevel: debug
            maxBodySize: 1.5Mi
            readBufferSize: 8Ki
            placementHostAddress: placement:1
            schedulerHostAddress: ""
            """;
        string Indented(string text, string by) => string.Join('\n', text.Split('\n').Select(line => by + line));
        File.WriteAllText(Path.Combine(folder, "dapr.yaml"), $"""
            version: 1
            name: shop
            common:
            {Indented(Shared.Replace("{config}", "config.yaml", StringComparison.Ordinal).Replace("{resources}", "shop/resources", StringComparison.Ordinal), "  ")}
            apps:
              - appID: shop
                appDirPath: shop
                appChannelAddress: 127.0.0.2
                appPort: 8001
                daprHTTPPort: 3501
                daprGRPCPort: 3601
                daprInternalGRPCPort: 3701
                metricsPort: 3801
                profilePort: 3901
                unixDomainSocket: /tmp/sockets
                command: [dotnet, 7]
                containerImage: shop:1
                containerImagePullPolicy: IfNotPresent
                createService: false
            {Indented(Shared.Replace("{config}", "../config.yaml", StringComparison.Ordinal).Replace("{resources}", "resources", StringComparison.Ordinal), "    ")}
            """);

        var app = RunPlan.Read(folder, folder).Apps.Single();

        Assert.Equal((8001, 3501, 3601, 3701, 3801, 3901), (app.AppPort, app.DaprHttpPort, app.DaprGrpcPort, app.DaprInternalGrpcPort, app.MetricsPort, app.ProfilePort));
        Assert.Equal(["dotnet", "7"], app.Command);
        Assert.Equal(("https", "127.0.0.2", "/tmp/sockets", "127.0.0.1"), (app.AppProtocol, app.AppChannelAddress, app.UnixDomainSocket, app.ApiListenAddresses));
        Assert.Equal((7, 1572864L, 8192), (app.MaxConcurrency, app.MaxBodyBytes, app.ReadBufferBytes));
        Assert.Equal(new AppHealthCheck("/livez", TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(300), 4), app.HealthCheck);
        Assert.Equal(("1", "true"), (app.Environment["A"], app.Environment["B"]));
        Assert.Equal((true, true, "debug", LogDestination.File, LogDestination.Console), (app.EnableApiLogging, app.EnableProfiling, app.LogLevel, app.AppLog, app.DaprdLog));
        Assert.Equal(("placement:1", ""), (app.PlacementAddress, app.SchedulerAddress));
        Assert.Equal(2, app.ResourcesPaths.Count);
        Assert.All(app.ResourcesPaths, path => Assert.Equal(Path.Combine(folder, "shop/resources"), path));
        Assert.Equal(Path.Combine(folder, "config.yaml"), app.ConfigFile);
        Assert.True(app.HasOwnResources);
    }

    [Fact]
    public void Our_own_key_is_none_to_a_reader_like_the_clis()
    {
        File.WriteAllText(Path.Combine(folder, "dapr.yaml"), "version: 1\napps:\n  - {appID: feed, appDirPath: ., optIn: true}\n  - {appID: shop, appDirPath: .}\n");
        Assert.Equal([true, false], RunPlan.Read(folder, folder).Apps.Select(app => app.OptIn));

        var lenient = new DeserializerBuilder().WithNamingConvention(CamelCaseNamingConvention.Instance).IgnoreUnmatchedProperties().Build();
        var read = lenient.Deserialize<CliFile>(File.ReadAllText(Path.Combine(folder, "dapr.yaml")));
        Assert.Equal(["feed", "shop"], read.Apps.Select(app => app.AppID));
    }

    [Fact]
    public void Common_values_reach_an_app_unless_it_has_its_own()
    {
        Directory.CreateDirectory(Path.Combine(folder, "one"));
        Directory.CreateDirectory(Path.Combine(folder, "two/own"));
        Directory.CreateDirectory(Path.Combine(folder, "common"));
        File.WriteAllText(Path.Combine(folder, "dapr.yaml"), """
            version: 1
            common:
              resourcesPath: ./common
              enableAppHealthCheck: true
              appHealthThreshold: 5
              appMaxConcurrency: 9
              maxBodySize: 8Mi
              placementHostAddress: "away:1"
              logLevel: warn
              env: {A: "1", B: common}
            apps:
              - appDirPath: ./one
                appPort: 8001
                enableAppHealthCheck: false
                appMaxConcurrency: 0
                logLevel: ""
                placementHostAddress: ""
              - appID: second
                appDirPath: ./two
                resourcesPaths: [./own]
                appHealthThreshold: 2
                appLogDestination: console
                env: {B: own}
                command: [dotnet, x.dll]
            """);

        var plan = RunPlan.Read(folder, home: folder);

        var (first, second) = (plan.Apps[0], plan.Apps[1]);
        Assert.Equal(("one", 8001, 9, 8 << 20), (first.AppId, first.AppPort, first.MaxConcurrency, (int)first.MaxBodyBytes));
        Assert.Equal(new AppHealthCheck("/healthz", TimeSpan.FromSeconds(5), TimeSpan.FromMilliseconds(500), 5), first.HealthCheck);
        Assert.Equal([Path.Combine(folder, "common")], first.ResourcesPaths);
        Assert.Equal(LogDestination.FileAndConsole, first.AppLog);
        Assert.Equal(("warn", "", false), (first.LogLevel, first.PlacementAddress, first.HasOwnResources));
        Assert.Equal([Path.Combine(folder, "two", "own")], second.ResourcesPaths);
        Assert.Equal((2, LogDestination.Console, "away:1"), (second.HealthCheck!.Threshold, second.AppLog, second.PlacementAddress));
        Assert.Equal(("1", "own"), (second.Environment["A"], second.Environment["B"]));
        Assert.Equal(["dotnet", "x.dll"], second.Command);
        Assert.Null(second.AppPort);
        Assert.Null(second.SchedulerAddress);
    }

    [Theory]
    [InlineData("apps: [{appDirPath: .}]", "version", 1)]
    [InlineData("version: 1\napps: [{appID: a}]", "apps[0].appDirPath", 2)]
    [InlineData("version: 1\napps:\n  - appID: a\n    appDirPath: ./none", "apps[0].appDirPath", 4)]
    [InlineData("version: 1\napps:\n  - appID: a\n    appDirPath: .\n    appPort: many", "apps[0].appPort", 5)]
    [InlineData("version: 1\napps:\n  - appID: a\n    appDirPath: .\n    appPort: 70000", "apps[0].appPort", 5)]
    [InlineData("version: 1\napps:\n  - appID: a\n    appDirPath: .\n    appProtocol: smoke", "apps[0].appProtocol", 5)]
    [InlineData("version: 1\napps:\n  - {appID: a, appDirPath: .}\n  - {appID: a, appDirPath: .}", "apps[1].appID", 4)]
    [InlineData("version: 1\ncommon: {resourcesPath: ./none}\napps: [{appDirPath: .}]", "common.resourcesPath", 2)]
    [InlineData("version: 1\ncommon: {configFilePath: none.yaml}\napps: [{appDirPath: .}]", "common.configFilePath", 2)]
    [InlineData("version: 1\napp: []", "app", 2)]
    [InlineData("version: 1\ncommon:\n  appPort: 8080\napps: [{appDirPath: .}]", "common.appPort", 3)]
    [InlineData("version: 1\napps:\n  - appDirPath: .\n    apport: 8080", "apps[0].apport", 4)]
    [InlineData("version: 1\napps:\n  - {appID: a, appDirPath: ., appPort: 8080}\n  - {appID: b, appDirPath: ., daprHTTPPort: 8080}", "apps[1].daprHTTPPort", 4)]
    [InlineData("version: 1\napps:\n  - {appID: a, appDirPath: ., daprHTTPPort: 3500, daprGRPCPort: 3500}", "apps[0].daprGRPCPort", 3)]
    [InlineData("version: 1\napps:\n  - appDirPath: .\n    maxBodySize: big", "apps[0].maxBodySize", 4)]
    [InlineData("version: 1\napps:\n  - appDirPath: .\n    appLogDestination: printer", "apps[0].appLogDestination", 4)]
    [InlineData("version: 1\napps:\n  - appDirPath: .\n    containerImagePullPolicy: Sometimes", "apps[0].containerImagePullPolicy", 4)]
    [InlineData("version: 1\napps:\n  - appDirPath: .\n    optIn: perhaps", "apps[0].optIn", 4)]
    public void A_wrong_run_file_is_named_by_line_and_field(string text, string field, int line)
    {
        File.WriteAllText(Path.Combine(folder, "dapr.yaml"), text);
        var error = Assert.Throws<ResourceException>(() => RunPlan.Read(folder, home: folder));
        Assert.Equal((field, line), (error.Field, error.Line));
    }

    [Fact]
    public void A_misspelt_key_or_folder_comes_with_the_one_that_was_meant()
    {
        Directory.CreateDirectory(Path.Combine(folder, "Catalog"));
        File.WriteAllText(Path.Combine(folder, "dapr.yaml"), "version: 1\napps:\n  - appDirPath: .\n    daprHttpPort: 3500\n");
        Assert.Contains("did you mean daprHTTPPort?", Assert.Throws<ResourceException>(() => RunPlan.Read(folder, home: folder)).Message);
        File.WriteAllText(Path.Combine(folder, "dapr.yaml"), "version: 1\napps:\n  - appDirPath: ./Catlog\n");
        Assert.Contains("did you mean Catalog?", Assert.Throws<ResourceException>(() => RunPlan.Read(folder, home: folder)).Message);
    }

    [Fact]
    public void Text_that_is_no_yaml_is_named_by_line()
    {
        File.WriteAllText(Path.Combine(folder, "dapr.yaml"), "version: 1\napps:\n  - appDirPath: .\n   appPort: 1\n");
        Assert.InRange(Assert.Throws<ResourceException>(() => RunPlan.Read(folder, home: folder)).Line, 3, 4);
    }

    [Fact]
    public void The_repositorys_own_has_ports_that_nothing_else_takes()
    {
        var ports = RunPlan.Read(ResourceFiles.Root()).Apps.SelectMany(app => new[] { app.AppPort, app.DaprHttpPort, app.DaprGrpcPort }).ToList();
        Assert.All(ports, port => Assert.InRange(port!.Value, 1024, 32767));   // from 32768 up Linux gives them to outgoing connections
        Assert.Equal(ports.Count, ports.Distinct().Count());
    }

    private static string[] Words(string text) => [.. text.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal)];

    /// <summary>As the CLI's struct: fields for what it knows, nothing for the rest.</summary>
    private sealed class CliFile
    {
        public List<CliApp> Apps { get; set; } = [];
    }

    private sealed class CliApp
    {
        [YamlMember(Alias = "appID", ApplyNamingConventions = false)]
        public string AppID { get; set; } = "";

        public string AppDirPath { get; set; } = "";
    }
}
