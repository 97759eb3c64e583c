using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Dapr.Client;
using Marketplace.Local.Sidecar;
using Marketplace.Media.Renditions;
using Marketplace.Media.Storage;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Marketplace.Bench.Media;

/// <summary>The service's worker behind a sidecar with a folder as its store; both in this process.</summary>
internal sealed class Worker : IAsyncDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("media-bench-").FullName;
    private SidecarHost? host;
    private DaprClient? dapr;
    private MediaStore? store;
    private Workshop? workshop;

    public static async Task<Worker> StartAsync()
    {
        var worker = new Worker();
        var components = Directory.CreateDirectory(Path.Combine(worker.folder, "components")).FullName;
        await File.WriteAllTextAsync(Path.Combine(components, "media.yaml"), $"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata:
              name: media
            spec:
              type: bindings.localstorage
              version: v1
              metadata:
                - name: rootPath
                  value: {Path.Combine(worker.folder, "files")}
            """);
        var app = new SidecarApp("media", worker.folder, null, FreePort(), FreePort(), [components], MaxBodyBytes: 16 << 20);
        worker.host = await SidecarHost.StartAsync(new SidecarPlan(Path.Combine(worker.folder, "journal"), 0, null, null, null, [app]));
        worker.dapr = new DaprClientBuilder()
            .UseGrpcEndpoint($"http://127.0.0.1:{app.GrpcPort}").UseHttpEndpoint($"http://127.0.0.1:{app.HttpPort}")
            .UseGrpcChannelOptions(new() { MaxReceiveMessageSize = MediaStore.LargestMessage }).Build();
        worker.store = new MediaStore(worker.dapr, TimeProvider.System);
        worker.workshop = new Workshop(worker.store, Options.Create(new RenditionOptions()), NullLogger<Workshop>.Instance);
        return worker;
    }

    public async Task<string> StoreAsync(byte[] picture)
    {
        var imageId = Convert.ToHexStringLower(SHA256.HashData(picture));
        await store!.PutAsync(MediaNames.Original(imageId), picture, CancellationToken.None);
        return imageId;
    }

    /// <summary>Out of the store, made in all sizes, into the store, the manifest last.</summary>
    public Task MakeAsync(string imageId) => workshop!.MakeAsync(imageId, CancellationToken.None);

    public void Forget()
    {
        if (Directory.Exists(Path.Combine(folder, "files", "renditions"))) Directory.Delete(Path.Combine(folder, "files", "renditions"), recursive: true);
    }

    public async ValueTask DisposeAsync()
    {
        workshop?.Dispose();
        dapr?.Dispose();
        if (host is not null) await host.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
