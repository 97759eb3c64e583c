using System.Collections.Concurrent;
using System.Net;
using Marketplace.Local.Sidecar.Actors;
using Marketplace.Local.Sidecar.Bindings;
using Marketplace.Local.Sidecar.Invocation;
using Marketplace.Local.Sidecar.Locks;
using Marketplace.Local.Sidecar.PubSub;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.Local.Sidecar.Secrets;
using Marketplace.Local.Sidecar.State;
using Marketplace.Local.Sidecar.Workflows;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Marketplace.Local.Sidecar;

/// <summary>The sidecars of all apps in one process: one web server, a pair of ports for each app instance.</summary>
public sealed partial class SidecarHost : IAsyncDisposable
{
    private readonly Dictionary<string, AppGroup> groups;
    private readonly SidecarInstance[] instances;
    private readonly List<Task> endings = [];
    private readonly BuildingBlock[] blocks;
    private readonly ConcurrentDictionary<string, ResourceFolder> folders = new();
    private readonly ILogger log;
    private readonly TaskCompletionSource stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private WebApplication? server;

    private SidecarHost(SidecarPlan plan, TimeProvider time, ILoggerFactory loggers)
    {
        Plan = plan;
        Time = time;
        Loggers = loggers;
        log = loggers.CreateLogger<SidecarHost>();
        var numbers = new Dictionary<string, int>();
        var appToken = string.IsNullOrEmpty(plan.AppToken) ? null : plan.AppToken;
        instances = [.. plan.Apps.Select(app =>
        {
            var number = numbers[app.AppId] = numbers.GetValueOrDefault(app.AppId, -1) + 1;
            return new SidecarInstance(this, app, number, new AppChannel(app, appToken, loggers.CreateLogger<AppChannel>()), new ComponentSet(this, app));
        })];
        groups = instances.GroupBy(instance => instance.AppId).ToDictionary(group => group.Key, group => new AppGroup(group.Key, [.. group]));
        Invocation = new InvocationBlock(this);
        // An app that turns healthy is asked in this order, as by daprd: for its actors, its subscriptions, its input bindings.
        blocks = [Invocation, new MetadataBlock(this), new StateBlock(this), new SecretsBlock(this), new LocksBlock(this), new ActorsBlock(this), new PubSubBlock(this), new BindingsBlock(this), new WorkflowsBlock(this)];
    }

    public SidecarPlan Plan { get; }
    public TimeProvider Time { get; }
    public ILoggerFactory Loggers { get; }
    public Faults Faults { get; } = new();
    public SharedConnections Connections { get; } = new();
    public int ControlPort => Plan.ControlPort;
    public IReadOnlyList<SidecarInstance> Instances => instances;
    public IReadOnlyCollection<AppGroup> Groups => groups.Values;

    /// <summary>The namespace of the sidecars, <c>default</c> unless the plan names one.</summary>
    public string Namespace => string.IsNullOrEmpty(Plan.Namespace) ? "default" : Plan.Namespace;

    public AppGroup? Group(string appId) => groups.GetValueOrDefault(appId);

    /// <summary>The documents of a resources folder, read once for all apps.</summary>
    internal ResourceFolder Folder(string path) => folders.GetOrAdd(path, ResourceFolder.Read);

    internal InvocationBlock Invocation { get; }

    internal T Block<T>() where T : BuildingBlock => blocks.OfType<T>().Single();

    /// <summary>Loads the components of every app, opens all ports and starts to watch the apps.</summary>
    public static async Task<SidecarHost> StartAsync(SidecarPlan plan, TimeProvider? time = null, ILoggerFactory? loggers = null, CancellationToken ct = default)
    {
        var host = new SidecarHost(plan, time ?? TimeProvider.System, loggers ?? LoggerFactory.Create(logging => logging
            .AddSimpleConsole(console => { console.SingleLine = true; console.TimestampFormat = "HH:mm:ss.fff "; })
            .SetMinimumLevel(LogLevel.Warning)

            // Hosting would open an activity for every request as long as its log listens; the forwarder would report every app that restarts.
            .AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None)
            .AddFilter("Yarp", LogLevel.None)));
        try
        {
            await host.StartAsync(ct);
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    /// <summary>Ends when the host was asked to stop through the shutdown API.</summary>
    public Task StoppedAsync(CancellationToken ct) => stopped.Task.WaitAsync(ct);

    public async ValueTask DisposeAsync()
    {
        Task[] ended;
        lock (endings) ended = [.. endings];
        await Task.WhenAll(ended);
        foreach (var instance in instances)
            await instance.Channel.DisposeAsync();
        if (server is not null)
        {
            // Open streams of the apps would hold the stop for its whole limit; their clients reconnect anyway.
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(2));
            await server.StopAsync(limit.Token);
            await server.DisposeAsync();
        }

        foreach (var block in blocks.Reverse())
            await block.DisposeAsync();
        foreach (var instance in instances)
            await instance.Components.DisposeAsync();
        await Connections.DisposeAsync();
        stopped.TrySetResult();
    }

    internal void Describe(SidecarInstance instance, Dapr.Client.Autogen.Grpc.v1.GetMetadataResponse metadata)
    {
        foreach (var block in blocks)
            block.Describe(instance, metadata);
    }

    /// <summary>One app's sidecar is done; the process ends with the last one.</summary>
    internal void Shutdown(SidecarInstance instance)
    {
        lock (endings)
        {
            if (instance.IsEnding) return;
            instance.IsEnding = true;
            endings.Add(EndAsync(instance));
        }
    }

    /// <summary>The app gets nothing any more, then the ports of its sidecar are as good as closed.</summary>
    private async Task EndAsync(SidecarInstance instance)
    {
        await Task.Yield();
        await instance.Channel.LeaveAsync();
        await AppChangedAsync(instance, healthy: false, CancellationToken.None);
        instance.IsShutDown = true;
        if (instances.All(one => one.IsShutDown)) stopped.TrySetResult();
    }

    private async Task StartAsync(CancellationToken ct)
    {
        await Task.WhenAll(instances.Select(instance => instance.Components.LoadAsync(ct)));
        foreach (var block in blocks)
            await block.StartAsync(ct);

        server = Build();
        await server.StartAsync(ct);
        foreach (var instance in instances)
        {
            instance.OutboundReady = true;
            instance.Channel.Start((healthy, stop) => AppChangedAsync(instance, healthy, stop));
        }
    }

    private WebApplication Build()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "Local" });
        builder.WebHost.UseKestrelCore().ConfigureKestrel(Listen);
        builder.Services.AddSingleton(Loggers);
        builder.Services.AddRoutingCore();
        var methods = new DaprMethods();
        builder.Services.AddSingleton(methods);
        builder.Services.AddSingleton<Grpc.AspNetCore.Server.Model.IServiceMethodProvider<DaprMethods>, DaprMethodProvider>();
        var largest = instances.Select(instance => instance.App.MaxBodyBytes).DefaultIfEmpty(4 << 20).Max();
        builder.Services.AddGrpc(grpc =>
        {
            grpc.MaxReceiveMessageSize = (int)Math.Min(largest, int.MaxValue);
            grpc.MaxSendMessageSize = (int)Math.Min(largest, int.MaxValue);
            grpc.IgnoreUnknownServices = true;   // they are for some app
        });
        foreach (var block in blocks)
        {
            block.ConfigureServices(builder.Services);
            block.MapGrpc(methods);
        }

        var app = builder.Build();
        var token = string.IsNullOrEmpty(Plan.ApiToken) ? null : Plan.ApiToken;
        app.Use(next => http => ApiEdge.HandleAsync(http, next, token));
        app.UseRouting();
        app.MapGrpcService<DaprMethods>();
        if (ControlPort > 0) app.MapControl(this);
        foreach (var block in blocks)
            block.Map(app);
        app.MapFallback("{**path}", (RequestDelegate)Invocation.InvokeUnroutedAsync);
        return app;
    }

    private void Listen(KestrelServerOptions kestrel)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxRequestBodySize = null;
        kestrel.Limits.MaxConcurrentConnections = null;
        kestrel.Limits.MinRequestBodyDataRate = null;
        kestrel.Limits.MinResponseDataRate = null;
        kestrel.Limits.Http2.MaxStreamsPerConnection = 1000;
        kestrel.Limits.Http2.InitialConnectionWindowSize = 4 << 20;
        kestrel.Limits.Http2.InitialStreamWindowSize = 1 << 20;
        kestrel.AllowSynchronousIO = false;
        foreach (var instance in instances)
        {
            Listen(instance.App.HttpPort, HttpProtocols.Http1, instance);
            Listen(instance.App.GrpcPort, HttpProtocols.Http2, instance);
        }

        if (ControlPort > 0) kestrel.Listen(IPAddress.Loopback, ControlPort, options => options.Protocols = HttpProtocols.Http1);

        // The port decides whose sidecar a request means: every request of the connection finds the instance among its features.
        void Listen(int port, HttpProtocols protocols, SidecarInstance instance) => kestrel.Listen(IPAddress.Loopback, port, options =>
        {
            options.Protocols = protocols;
            options.Use(next => connection =>
            {
                if (instance.IsShutDown)
                {
                    connection.Abort();
                    return Task.CompletedTask;
                }

                connection.Features.Set(instance);
                return next(connection);
            });
        });
    }

    private async Task AppChangedAsync(SidecarInstance instance, bool healthy, CancellationToken ct)
    {
        instance.Introduced = false;
        foreach (var block in blocks)
        {
            try
            {
                await (healthy ? block.AppReadyAsync(instance, ct) : block.AppLostAsync(instance, ct));
            }
            catch (Exception e) when (e is not OperationCanceledException || !ct.IsCancellationRequested)
            {
                LogBlockFailed(e, instance.Id, block.GetType().Name);
            }
        }

        instance.Introduced = healthy;
    }

    [LoggerMessage(LogLevel.Error, "{Instance}: {Block} failed when the app's health changed")]
    private partial void LogBlockFailed(Exception exception, string instance, string block);
}
