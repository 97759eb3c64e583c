using System.ComponentModel.DataAnnotations;

namespace Marketplace.FlashSales.WaitingRoom;

public sealed class WaitingRoomOptions
{
    /// <summary>Joins that reach a replica within this time share one transaction.</summary>
    public TimeSpan GatherFor { get; init; } = TimeSpan.FromMilliseconds(3);

    [Range(1, 10_000)]
    public int BatchSize { get; init; } = 256;

    /// <summary>
    /// A replica does not hand out late numbers that it has had for longer: others have come since. It takes about as many at once as are used up in a
    /// quarter of this time.
    /// </summary>
    public TimeSpan NumbersLast { get; init; } = TimeSpan.FromMilliseconds(200);

    [Range(1, 100_000)]
    public int LargestBlock { get; init; } = 2_000;

    /// <summary>How often admission is looked at again; by whichever replica comes first.</summary>
    public TimeSpan StepEvery { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How often a replica looks whether something is to be done: a draw, a step. At rest ten times as rarely.</summary>
    public TimeSpan LookEvery { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>What a replica knows of admission is at most this old.</summary>
    public TimeSpan BoardLasts { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>The oldest state by which a gateway tells people that they are let in. Admission goes on for so long after it has been stopped.</summary>
    public TimeSpan ToldWithin { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a sale that is over is still told of.</summary>
    public TimeSpan TellAfterEnd { get; init; } = TimeSpan.FromHours(1);
}
