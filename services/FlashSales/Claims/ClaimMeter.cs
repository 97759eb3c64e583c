using System.Diagnostics.Metrics;

namespace Marketplace.FlashSales.Claims;

/// <summary>How fast claims are decided, and at what cost.</summary>
public sealed class ClaimMeter : IDisposable
{
    public const string Name = "Marketplace.FlashSales.Claims";

    private readonly TimeProvider time;
    private readonly Meter meter;
    private readonly Counter<long> decisions;
    private readonly Counter<long> conflicts;
    private readonly Counter<long> remembered;
    private readonly Histogram<int> batches;
    private readonly Histogram<double> turns;

    public ClaimMeter(IMeterFactory meters, TimeProvider time)
    {
        this.time = time;
        meter = meters.Create(Name);
        decisions = meter.CreateCounter<long>("flashsales.claims.decisions", description: "Claims that a shard decided.");
        remembered = meter.CreateCounter<long>("flashsales.claims.sold_out.remembered", description: "Claims a replica refused from memory, without a shard.");
        conflicts = meter.CreateCounter<long>("flashsales.claims.conflicts", description: "Plans of a shard that met another writer and were made again.");
        batches = meter.CreateHistogram<int>("flashsales.claims.batch.size", unit: "{claim}", description: "Claims decided together.");
        turns = meter.CreateHistogram<double>("flashsales.claims.turn.duration", unit: "s", description: "From a shard's call to its answer, what it wrote included.");
    }

    public void Decided(int claims)
    {
        decisions.Add(claims);
        batches.Record(claims);
    }

    public void Conflict() => conflicts.Add(1);

    public void Remembered() => remembered.Add(1);

    /// <summary>Measures until it is disposed of.</summary>
    public Measured Turn(string kind) => new(this, kind, time.GetTimestamp());

    public void Dispose() => meter.Dispose();

    public readonly struct Measured(ClaimMeter meter, string kind, long since) : IDisposable
    {
        public void Dispose() => meter.turns.Record(meter.time.GetElapsedTime(since).TotalSeconds, new KeyValuePair<string, object?>("kind", kind));
    }
}
