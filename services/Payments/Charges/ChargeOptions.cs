namespace Marketplace.Payments.Charges;

public sealed class ChargeOptions
{
    /// <summary>How long whoever acts on an attempt has it for itself.</summary>
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>A payment is not confirmed so close to the end of its reservation: the units might be somebody else's by then.</summary>
    public TimeSpan ReservationMargin { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>A caller waits this long, then is told "processing" while the charge goes on; shorter than the neighbour's own time-out.</summary>
    public TimeSpan AnswerWithin { get; set; } = TimeSpan.FromSeconds(4);

    /// <summary>How often the worker looks for attempts whose lease ran out.</summary>
    public TimeSpan SettleEvery { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>The status key of a charge under way disappears after this long.</summary>
    public TimeSpan ProcessingKept { get; set; } = TimeSpan.FromSeconds(300);
}
