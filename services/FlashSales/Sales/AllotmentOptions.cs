using System.ComponentModel.DataAnnotations;

namespace Marketplace.FlashSales.Sales;

/// <summary>Configuration <c>Allotments</c>.</summary>
public sealed class AllotmentOptions
{
    /// <summary>How often a replica looks for sales to end and allotments to put right. What it changed itself it looks at once.</summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "1.00:00:00")]
    public TimeSpan KeepEvery { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>When inventory could not do as asked, or was not there; and for an ended sale with claims that are not settled.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan LookAgain { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>For so long after its end, claims that come to nothing give their units back.</summary>
    [Range(typeof(TimeSpan), "1.00:00:00", "365.00:00:00")]
    public TimeSpan Follow { get; set; } = TimeSpan.FromDays(60);
}
