using System.Text.Json;
using Dapr;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Media.Storage;

namespace Marketplace.Media.Renditions;

/// <summary>
/// The worker. What it announces carries an id made from the upload's: delivered again it announces the same once more, and whoever
/// heard it already takes it for that.
/// </summary>
public static partial class MediaEvents
{
    private const string GivenUp = "The picture could not be processed. Please send it again.";

    public static void MapMediaEvents(this IEndpointRouteBuilder routes)
    {
        routes.MapEvent(ImageUploaded.Topic, OnUploadedAsync).AddEndpointFilter<Outage>();

        // Its own dead letters have none: one that fails here is tried for as long as the others are, and is then in the log alone.
        var app = routes.ServiceProvider.GetRequiredService<MarketplaceApp>();
        routes.MapInternal("/events").MapPost("/media-dead", OnDeadAsync).WithTopic(new TopicOptions { PubsubName = PubSub.Name, Name = app.DeadLetterTopic }).AddEndpointFilter<Outage>();
    }

    private static async Task<IResult> OnUploadedAsync(ImageUploaded uploaded, Workshop workshop, MediaNews news, ILogger<Workshop> log, CancellationToken ct)
    {
        if (!MediaNames.IsImageId(uploaded.ImageId))
        {
            LogNotOurs(log, uploaded.EventId);
            return Delivery.Drop();
        }

        var manifest = await workshop.MakeAsync(uploaded.ImageId, ct);
        await TellAsync(news, uploaded, manifest, ct);
        return manifest.Refusal is null ? TypedResults.Ok() : Delivery.Drop();
    }

    /// <summary>A picture that nothing came of: refused, or tried in vain (the process died of it, the store was away too long). Its listing is told.</summary>
    private static async Task<IResult> OnDeadAsync(HttpRequest request, Workshop workshop, MediaNews news, ILogger<Workshop> log, CancellationToken ct)
    {
        if (await ReadAsync(request, ct) is not { } uploaded)
        {
            LogUnreadable(log);
            return TypedResults.Ok();
        }

        var manifest = await workshop.FindAsync(uploaded.ImageId, ct) ?? new Manifest(0, 0, [], Workshop.Version, GivenUp);
        await TellAsync(news, uploaded, manifest, ct);
        if (manifest.Refusal is { } why)
            LogDead(log, uploaded.ProductId, uploaded.ImageId, why);
        return TypedResults.Ok();
    }

    private static Task TellAsync(MediaNews news, ImageUploaded uploaded, Manifest manifest, CancellationToken ct) => manifest.Refusal is { } why
        ? news.TellAsync(
            new ImageRejected(uploaded.ProductId, uploaded.ImageId, why) { EventId = MediaNews.Following(uploaded.EventId, ImageRejected.Topic) },
            ImageRejected.Topic, uploaded.ProductId, ct)
        : news.TellAsync(
            new ImageProcessed(uploaded.ProductId, uploaded.ImageId, manifest.Width, manifest.Height, manifest.Renditions(uploaded.ImageId)) { EventId = MediaNews.Following(uploaded.EventId, ImageProcessed.Topic) },
            ImageProcessed.Topic, uploaded.ProductId, ct);

    private static async Task<ImageUploaded?> ReadAsync(HttpRequest request, CancellationToken ct)
    {
        try
        {
            return await JsonSerializer.DeserializeAsync<ImageUploaded>(request.Body, JsonSerializerOptions.Web, ct) is { } uploaded && MediaNames.IsImageId(uploaded.ImageId) ? uploaded : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    [LoggerMessage(LogLevel.Error, "Event {EventId} names a picture that is none of ours")]
    private static partial void LogNotOurs(ILogger log, Guid eventId);

    [LoggerMessage(LogLevel.Error, "A dead letter cannot be read")]
    private static partial void LogUnreadable(ILogger log);

    [LoggerMessage(LogLevel.Error, "Picture {ImageId} of product {ProductId} is a dead letter: {Why}")]
    private static partial void LogDead(ILogger log, Guid productId, string imageId, string why);
}
