using System.Collections.Frozen;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using Marketplace.Contracts;
using Marketplace.Search.Engine;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Search.Indexing;

/// <summary>The way of an event into the index, and how far the index is behind: the meter <c>Marketplace.Search</c>.</summary>
public sealed class IndexFeed : IDisposable
{
    public const string MeterName = "Marketplace.Search";
    private readonly ISearchEngine engine;
    private readonly TimeProvider time;
    private readonly Meter meter = new(MeterName);
    private readonly Histogram<double> lag;
    private long waiting;
    private double latest;

    public IndexFeed(ISearchEngine engine, TimeProvider time)
    {
        (this.engine, this.time) = (engine, time);
        lag = meter.CreateHistogram<double>("search.index.lag", "s", "From the moment a fact became true until searches show it.");
        meter.CreateObservableGauge("search.index.lag.latest", () => Volatile.Read(ref latest), "s", "The lag of the event indexed last.");
        meter.CreateObservableGauge("search.index.waiting", () => Interlocked.Read(ref waiting), "{event}", "Events taken on and not yet durable.");
    }

    public async Task<Ok> TakeAsync(DomainEvent @event, IndexChange change, CancellationToken ct)
    {
        await TakeAsync([@event], [change], ct);
        return TypedResults.Ok();
    }

    /// <param name="changes">One for each event.</param>
    /// <returns>The numbers of those that have to come again.</returns>
    public async Task<IReadOnlySet<int>> TakeAsync(IReadOnlyList<DomainEvent> events, IReadOnlyList<IndexChange> changes, CancellationToken ct)
    {
        IReadOnlySet<int> again = FrozenSet<int>.Empty;
        Interlocked.Add(ref waiting, events.Count);
        try
        {
            await engine.ApplyAsync(changes, ct);
        }
        catch (SomeNotAppliedException some)
        {
            again = some.Which;
        }
        finally
        {
            Interlocked.Add(ref waiting, -events.Count);
        }

        foreach (var (number, @event) in events.Index())
        {
            if (again.Contains(number) || @event.OccurredAt == default)
                continue;

            var behind = Math.Max(0, (time.GetUtcNow() - @event.OccurredAt).TotalSeconds);
            Volatile.Write(ref latest, behind);
            lag.Record(behind, new TagList { { "event", @event.GetType().Name } });
        }

        return again;
    }

    public void Dispose() => meter.Dispose();
}
