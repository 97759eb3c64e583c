using System.ComponentModel.DataAnnotations;

namespace Marketplace.Ordering.FlashOrders;

public sealed class FlashOrderOptions
{
    /// <summary>Sagas of flash orders a replica has under way at once. The rest of the machine is for ordinary checkouts.</summary>
    [Range(1, 1000)]
    public int UnderWay { get; init; } = 16;

    /// <summary>Sagas that take longer than this on average make room for other work: there are fewer places for the next.</summary>
    public TimeSpan Slow { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>So many places there are however slow it is.</summary>
    [Range(1, 1000)]
    public int AtLeast { get; init; } = 4;

    /// <summary>How often it is looked which of them have ended, while there are any.</summary>
    public TimeSpan LookEvery { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>How long a command waits for a free place before its row goes back. Shorter than the outbox's own time-out.</summary>
    public TimeSpan WaitAtMost { get; init; } = TimeSpan.FromSeconds(4);

    /// <summary>A saga under way for longer waits for somebody else, and its place is given to the next.</summary>
    public TimeSpan HeldAtMost { get; init; } = TimeSpan.FromSeconds(30);
}
