using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Local.Sidecar;
using Marketplace.Media.Uploads;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Marketplace.Media.Tests;

/// <summary>
/// The real service, in two replicas, before a real sidecar with a folder behind the binding; the sidecar delivers to the first. Beside them
/// an app that listens to what is said of pictures, dead letters included, and a catalogue in which everything belongs to one seller.
/// </summary>
public sealed class MediaBed : IAsyncLifetime
{
    private static readonly string[] Topics = [ImageUploaded.Topic, ImageProcessed.Topic, ImageRejected.Topic, "media.dead"];

    private readonly string folder = Directory.CreateTempSubdirectory("media-tests-").FullName;
    private readonly ConcurrentQueue<(string Topic, string EventId, JsonElement Data)> heard = new();
    private Dictionary<string, string?> settings = [];
    private SidecarHost sidecars = null!;
    private WebApplication listener = null!;
    private WebApplication door = null!;

    public static Guid SellerId { get; } = Guid.Parse("0198a000-0000-7000-8000-0000000000aa");

    /// <summary>Somebody else's.</summary>
    public static Guid Foreign { get; } = Guid.Parse("0198a000-0000-7000-8000-0000000000bb");

    /// <summary>Has as many pictures as it may.</summary>
    public static Guid Full { get; } = Guid.Parse("0198a000-0000-7000-8000-0000000000cc");

    public ServiceUnderTest<PictureKind> Media { get; private set; } = null!;

    public ServiceUnderTest<PictureKind> Replica { get; private set; } = null!;

    public string Files => Path.Combine(folder, "files");

    public HttpClient Seller => Media.As(TestTokens.Seller(Guid.NewGuid(), SellerId));

    public IReadOnlyList<(string EventId, T Event)> Heard<T>(string imageId)
        where T : DomainEvent
    {
        var topic = (string)typeof(T).GetField("Topic")!.GetRawConstantValue()!;
        return [.. heard.Where(one => one.Topic == topic && one.Data.GetProperty("imageId").GetString() == imageId).Select(one => (one.EventId, one.Data.Deserialize<T>(JsonSerializerOptions.Web)!))];
    }

    public IReadOnlyList<JsonElement> Dead(string imageId) => [.. heard.Where(one => one.Topic == "media.dead" && one.Data.GetProperty("imageId").GetString() == imageId).Select(one => one.Data)];

    /// <summary>One more replica, with nothing in its memory.</summary>
    public Task<ServiceUnderTest<PictureKind>> FreshAsync() => ServiceUnderTest<PictureKind>.StartAsync(calls: ["catalog"], settings: settings);

    public async ValueTask InitializeAsync()
    {
        var components = Directory.CreateDirectory(Path.Combine(folder, "components")).FullName;
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
                  value: {Files}
            """);
        await File.WriteAllTextAsync(Path.Combine(components, "pubsub.yaml"), """
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata:
              name: pubsub
            spec:
              type: pubsub.in-memory
              version: v1
              metadata: []
            """);

        listener = Listener();
        await listener.StartAsync();
        door = Door();
        await door.StartAsync();
        var media = new SidecarApp("media", folder, new Uri(door.Urls.Single()).Port, Ports.Free(), Ports.Free(), [components], MaxBodyBytes: 16 << 20);
        var other = new SidecarApp("listener", folder, new Uri(listener.Urls.Single()).Port, Ports.Free(), Ports.Free(), [components]);
        settings = new Dictionary<string, string?>
        {
            ["DAPR_HTTP_PORT"] = media.HttpPort.ToString(CultureInfo.InvariantCulture),
            ["DAPR_GRPC_PORT"] = media.GrpcPort.ToString(CultureInfo.InvariantCulture),
        };
        Media = await ServiceUnderTest<PictureKind>.StartAsync(calls: ["catalog"], settings: settings);
        Replica = await ServiceUnderTest<PictureKind>.StartAsync(calls: ["catalog"], settings: settings);
        foreach (var replica in new[] { Media, Replica })
        {
            replica.Neighbour("catalog").On(HttpMethod.Get, "/internal/listings/*", call =>
                call.Path.Contains(Guid.Empty.ToString(), StringComparison.Ordinal) ? new FakeReply(404)
                : FakeReply.Ok(new { sellerId = call.Path.Contains(Foreign.ToString(), StringComparison.Ordinal) ? Guid.NewGuid() : SellerId, images = call.Path.Contains(Full.ToString(), StringComparison.Ordinal) ? 24 : 23, mostImages = 24 }));
        }

        sidecars = await SidecarHost.StartAsync(new SidecarPlan(Path.Combine(folder, "journal"), 0, null, null, null, [media, other]));
    }

    public async ValueTask DisposeAsync()
    {
        await sidecars.DisposeAsync();
        await Replica.DisposeAsync();
        await Media.DisposeAsync();
        await door.DisposeAsync();
        await listener.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    // The service under test has no port; whoever comes to this one is let in.
    private WebApplication Door()
    {
        var app = Server();
        app.Run(async http =>
        {
            using var client = Media.AsNeighbour("media");
            using var request = new HttpRequestMessage(new HttpMethod(http.Request.Method), http.Request.Path.Value + http.Request.QueryString.Value);
            if (http.Request.ContentType is { } type)
            {
                request.Content = new StreamContent(http.Request.Body);
                request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
            }

            using var response = await client.SendAsync(request, http.RequestAborted);
            http.Response.StatusCode = (int)response.StatusCode;
            http.Response.ContentType = response.Content.Headers.ContentType?.ToString();
            await response.Content.CopyToAsync(http.Response.Body, http.RequestAborted);
        });
        return app;
    }

    private WebApplication Listener()
    {
        var app = Server();
        app.MapGet("/dapr/subscribe", () => Topics.Select(topic => new { pubsubname = "pubsub", topic, route = $"/heard/{topic}" }));
        app.MapPost("/heard/{topic}", async (string topic, HttpContext http) =>
        {
            using var envelope = await JsonDocument.ParseAsync(http.Request.Body);
            heard.Enqueue((topic, envelope.RootElement.GetProperty("id").GetString()!, envelope.RootElement.GetProperty("data").Clone()));
        });
        return app;
    }

    private static WebApplication Server()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        return builder.Build();
    }
}

internal static class HttpWords
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static Task<HttpResponseMessage> SendFileAsync(this HttpClient http, Guid productId, byte[] file, string? type = "image/jpeg")
    {
        var content = new ByteArrayContent(file);
        if (type is not null) content.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        return http.SendBodyAsync(productId, content);
    }

    public static Task<HttpResponseMessage> SendFormAsync(this HttpClient http, Guid productId, string field, byte[] file, string type = "image/jpeg")
    {
        var part = new ByteArrayContent(file);
        part.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        return http.SendBodyAsync(productId, new MultipartFormDataContent { { new StringContent("A lamp"), "title" }, { part, field, "lamp.jpg" } });
    }

    public static async Task<HttpResponseMessage> SendBodyAsync(this HttpClient http, Guid productId, HttpContent content) =>
        await http.PostAsync(new Uri($"/api/v1/products/{productId}/images", UriKind.Relative), content, Ct);

    public static async Task<string> AcceptedAsync(this Task<HttpResponseMessage> sending)
    {
        using var response = await sending;
        var text = await response.Content.ReadAsStringAsync(Ct);
        Assert.True(response.StatusCode == HttpStatusCode.Accepted, $"{(int)response.StatusCode}: {text}");
        var accepted = JsonDocument.Parse(text).RootElement;
        Assert.Equal("processing", accepted.GetProperty("status").GetString());
        return accepted.GetProperty("imageId").GetString()!;
    }

    public static async Task<JsonElement> ProblemAsync(this Task<HttpResponseMessage> sending, HttpStatusCode status, string slug)
    {
        using var response = await sending;
        var text = await response.Content.ReadAsStringAsync(Ct);
        Assert.True(status == response.StatusCode, $"{(int)response.StatusCode}: {text}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        var problem = JsonDocument.Parse(text).RootElement;
        Assert.Equal($"/problems/{slug}", problem.GetProperty("type").GetString());
        return problem;
    }

    public static async Task<HttpResponseMessage> FetchAsync(this HttpClient http, string path, HttpMethod? method = null, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method ?? HttpMethod.Get, new Uri(path, UriKind.Relative));
        foreach (var (name, value) in headers) request.Headers.TryAddWithoutValidation(name, value);
        return await http.SendAsync(request, Ct);
    }

    public static string WhatIsWrong(this JsonElement problem, string field) => problem.GetProperty("errors").GetProperty(field)[0].GetString()!;
}
