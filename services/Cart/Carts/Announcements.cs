using System.Threading.Channels;
using Dapr;
using Dapr.Client;
using Grpc.Core;
using Marketplace.Contracts;
using Marketplace.Hosting;

namespace Marketplace.Cart.Carts;

/// <summary>
/// Tells analytics what went into carts, off the shopper's path. Best effort by choice: a cart has no database and so no outbox, and a
/// lost signal costs one data point. When the broker is slow the oldest signals are dropped first.
/// </summary>
public sealed partial class Announcements(DaprClient dapr, ILogger<Announcements> log) : BackgroundService
{
    private readonly Channel<CartItemAdded> waiting = Channel.CreateBounded<CartItemAdded>(
        new BoundedChannelOptions(1_000) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });

    public void Announce(CartItemAdded added) => waiting.Writer.TryWrite(added);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await foreach (var added in waiting.Reader.ReadAllAsync(stoppingToken))
        {
            try
            {
                var metadata = new Dictionary<string, string> { ["cloudevent.id"] = added.EventId.ToString(), ["partitionKey"] = added.CartId.ToString() };
                await dapr.PublishEventAsync(PubSub.Name, CartItemAdded.Topic, added, metadata, stoppingToken);
            }
            catch (Exception e) when (e is DaprException or RpcException)
            {
                LogLost(added.CartId, e);
            }
        }
    }

    [LoggerMessage(LogLevel.Warning, "Analytics will not hear of an item added to cart {CartId}")]
    private partial void LogLost(Guid cartId, Exception why);
}
