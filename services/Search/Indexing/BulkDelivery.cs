using System.Text.Json;
using Dapr.AspNetCore;
using Marketplace.Contracts;
using Microsoft.AspNetCore.Mvc;

namespace Marketplace.Search.Indexing;

/// <summary>
/// Events of one topic in one request, as a sidecar sends them to who asks for it (<see cref="BulkDelivery.InBatches"/>): one commit for all of them
/// instead of one for the few that a broker delivers side by side. A single event, as without that, is one of one.
/// </summary>
public sealed class BulkDelivery<T>
    where T : DomainEvent
{
    private readonly List<string> readable = [];
    private readonly List<string> unreadable = [];
    private readonly bool single;

    internal BulkDelivery(JsonElement body)
    {
        if (!body.TryGetProperty("entries", out var entries))
        {
            single = true;
            Events = [body.Deserialize<T>(JsonSerializerOptions.Web) ?? throw new JsonException("An event is missing.")];
            return;
        }

        var events = new List<T>(entries.GetArrayLength());
        foreach (var entry in entries.EnumerateArray())
        {
            var (id, envelope) = (entry.GetProperty("entryId").GetString()!, entry.GetProperty("event"));
            if (Read(envelope) is { } told)
            {
                readable.Add(id);
                events.Add(told);
            }
            else
            {
                unreadable.Add(id);
            }
        }

        Events = events;
    }

    /// <summary>Those that could be read.</summary>
    public IReadOnlyList<T> Events { get; }

    /// <summary>What was read is done but for some. What cannot be read never can, and is kept with the dead letters.</summary>
    /// <param name="again">By their number in <see cref="Events"/>.</param>
    public IResult Done(IReadOnlySet<int> again) => single ? TypedResults.Ok() : TypedResults.Ok(new
    {
        statuses = readable.Select((id, number) => new { entryId = id, status = again.Contains(number) ? "RETRY" : "SUCCESS" }).Concat(unreadable.Select(id => new { entryId = id, status = "DROP" })),
    });

    private static T? Read(JsonElement envelope)
    {
        try
        {
            return (envelope.TryGetProperty("data", out var data) ? data : envelope).Deserialize<T>(JsonSerializerOptions.Web);
        }
        catch (JsonException)
        {
            return null;                                        // said in the answer
        }
    }
}

public static class BulkDelivery
{
    private const int MostEvents = 500;
    private const int LongestWaitMilliseconds = 100;
    private const long LargestBody = 32 * 1024 * 1024;

    public static async Task<BulkDelivery<T>> ReadAsync<T>(HttpRequest request, CancellationToken ct)
        where T : DomainEvent
    {
        try
        {
            using var body = await JsonDocument.ParseAsync(request.Body, cancellationToken: ct);
            return new BulkDelivery<T>(body.RootElement);
        }
        catch (Exception unread) when (unread is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new BadHttpRequestException("Neither an event nor a batch of them.", unread);
        }
    }

    /// <summary>Asks the sidecar for batches of this route's topic.</summary>
    public static RouteHandlerBuilder InBatches(this RouteHandlerBuilder route, string topic) =>
        route.WithBulkSubscribe(new BulkSubscribeTopicOptions { TopicName = topic, MaxMessagesCount = MostEvents, MaxAwaitDurationMs = LongestWaitMilliseconds })
            .WithMetadata(new RequestSizeLimitAttribute(LargestBody));
}
