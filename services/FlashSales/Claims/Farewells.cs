using System.Threading.Channels;
using Marketplace.FlashSales.WaitingRoom;

namespace Marketplace.FlashSales.Claims;

/// <summary>
/// Tells the waiting room who has their answer, so that others may be let in for them: after the answer, and many at once. What is lost here
/// is made up for by time, when their admission lapses.
/// </summary>
public sealed partial class Farewells(Places places, ILogger<Farewells> log) : BackgroundService
{
    private const int Most = 2_000;
    private static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(20);

    private readonly Channel<(Guid SaleId, long Rank)> answered = Channel.CreateBounded<(Guid, long)>(
        new BoundedChannelOptions(100_000) { SingleReader = true, FullMode = BoundedChannelFullMode.DropWrite });

    public void Tell(Guid saleId, long rank) => answered.Writer.TryWrite((saleId, rank));

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        answered.Writer.TryComplete();                          // what is in it is told yet
        await base.StopAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (await answered.Reader.WaitToReadAsync(CancellationToken.None))
        {
            await Task.Delay(Gather, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            var lot = new List<(Guid SaleId, long Rank)>();
            while (lot.Count < Most && answered.Reader.TryRead(out var one)) lot.Add(one);
            foreach (var sale in lot.GroupBy(one => one.SaleId))
            {
                try
                {
                    await places.FinishAsync(sale.Key, [.. sale.Select(one => one.Rank)], CancellationToken.None);
                }
                catch (Npgsql.NpgsqlException failure)
                {
                    LogLost(sale.Key, sale.Count(), failure.Message);
                }
            }
        }
    }

    [LoggerMessage(LogLevel.Warning, "The waiting room of sale {SaleId} could not be told that {Count} people have their answer; their admission lapses ({Reason})")]
    private partial void LogLost(Guid saleId, int count, string reason);
}
