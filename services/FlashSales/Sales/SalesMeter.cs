using System.Diagnostics.Metrics;

namespace Marketplace.FlashSales.Sales;

/// <summary>What becomes of sales, and how inventory follows.</summary>
public sealed class SalesMeter : IDisposable
{
    public const string Name = "Marketplace.FlashSales";

    private readonly Meter meter;
    private readonly Counter<long> scheduled;
    private readonly Counter<long> refused;
    private readonly Counter<long> ended;
    private readonly Counter<long> settled;
    private readonly Counter<long> unanswered;

    public SalesMeter(IMeterFactory meters)
    {
        meter = meters.Create(Name);
        scheduled = meter.CreateCounter<long>("flashsales.sales.scheduled", description: "Sales whose units inventory has set aside");
        refused = meter.CreateCounter<long>("flashsales.sales.refused", description: "Sales that could not be, by reason");
        ended = meter.CreateCounter<long>("flashsales.sales.ended", description: "Sales that are over, by reason");
        settled = meter.CreateCounter<long>("flashsales.allotments.settled", description: "Answers of inventory to what a sale should have");
        unanswered = meter.CreateCounter<long>("flashsales.allotments.unanswered", description: "Questions to inventory that got no answer");
    }

    public void Scheduled() => scheduled.Add(1);

    public void Refused(string reason) => refused.Add(1, new KeyValuePair<string, object?>("reason", reason));

    public void Ended(string reason) => ended.Add(1, new KeyValuePair<string, object?>("reason", reason));

    public void Settled() => settled.Add(1);

    public void Unanswered() => unanswered.Add(1);

    public void Dispose() => meter.Dispose();
}
