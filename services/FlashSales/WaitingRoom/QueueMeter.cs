using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.WaitingRoom;

/// <summary>How many come, and how many are let in.</summary>
public sealed class QueueMeter : IDisposable
{
    public const string Name = "Marketplace.FlashSales.WaitingRoom";

    private readonly Meter meter;
    private readonly Counter<long> joins;
    private readonly Counter<long> admitted;
    private readonly Histogram<int> batches;
    private readonly ConcurrentDictionary<Guid, (int Inside, DateTimeOffset Until)> inside = new();

    public QueueMeter(IMeterFactory meters, TimeProvider time)
    {
        meter = meters.Create(Name);
        joins = meter.CreateCounter<long>("flashsales.queue.joins", description: "Places that were taken.");
        batches = meter.CreateHistogram<int>("flashsales.queue.batch.size", unit: "{join}", description: "Joins that shared a transaction.");
        admitted = meter.CreateCounter<long>("flashsales.queue.admitted", description: "People let in, as the steps that this replica took say.");
        meter.CreateObservableGauge("flashsales.queue.inside", () =>
        {
            foreach (var (saleId, (_, until)) in inside)
                if (time.GetUtcNow() > until) inside.TryRemove(saleId, out _);
            return inside.Select(sale => new Measurement<int>(sale.Value.Inside, new KeyValuePair<string, object?>("sale", sale.Key.ToString())));
        }, description: "People let in who have no answer yet, as the last step that this replica took says.");
    }

    public void Joined(int places, int asked)
    {
        joins.Add(places);
        batches.Record(asked);
    }

    public void Stepped(Admission before, AdmissionStep step)
    {
        admitted.Add(Math.Max(0, step.Head - before.Head));
        inside[before.SaleId] = (step.Inside, before.EndsAt);
    }

    public void Dispose() => meter.Dispose();
}
