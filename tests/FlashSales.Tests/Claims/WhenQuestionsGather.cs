using Marketplace.FlashSales.Claims;

namespace Marketplace.FlashSales.Tests.Claims;

public sealed class WhenQuestionsGather
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task While_one_lot_is_under_way_the_next_gathers_and_everybody_gets_their_own_answer()
    {
        var lots = new List<int>();
        var gate = new TaskCompletionSource();
        var batcher = new Batcher<int, string>(1_000, TimeSpan.Zero, async asked =>
        {
            lots.Add(asked.Count);
            await gate.Task;
            return [.. asked.Select(one => $"{one}")];
        });
        var first = batcher.AskAsync(0, Ct);
        await TestKit.Eventually.Async(() => lots.Count == 1, "the first lot is under way");
        var rest = Enumerable.Range(1, 500).Select(number => batcher.AskAsync(number, Ct)).ToArray();
        gate.SetResult();

        Assert.Equal("0", await first);
        Assert.Equal(Enumerable.Range(1, 500).Select(number => $"{number}"), await Task.WhenAll(rest));
        Assert.Equal([1, 500], lots);
    }

    [Fact]
    public async Task No_lot_is_larger_than_it_may_be_and_a_full_one_waits_for_nobody()
    {
        var lots = new List<int>();
        var batcher = new Batcher<int, int>(10, TimeSpan.FromHours(1), asked =>
        {
            lots.Add(asked.Count);
            return Task.FromResult<IReadOnlyList<int>>([.. asked]);
        });
        await Task.WhenAll(Enumerable.Range(0, 30).Select(number => batcher.AskAsync(number, Ct)));     // in an hour, otherwise
        Assert.Equal([10, 10, 10], lots);
    }

    [Fact]
    public async Task A_fault_is_told_to_everybody_of_the_lot_and_the_next_is_asked_anew()
    {
        var times = 0;
        var batcher = new Batcher<int, int>(2, TimeSpan.FromHours(1), asked =>
            ++times == 1 ? throw new IOException("away") : Task.FromResult<IReadOnlyList<int>>([.. asked]));
        var (one, two) = (batcher.AskAsync(1, Ct), batcher.AskAsync(2, Ct));
        await Assert.ThrowsAsync<IOException>(() => one);
        await Assert.ThrowsAsync<IOException>(() => two);
        var (three, four) = (batcher.AskAsync(3, Ct), batcher.AskAsync(4, Ct));
        Assert.Equal((3, 4), (await three, await four));
    }

    [Fact]
    public async Task Who_leaves_is_answered_for_all_the_same()
    {
        var gate = new TaskCompletionSource();
        var asked = new List<int>();
        var batcher = new Batcher<int, int>(10, TimeSpan.Zero, async lot =>
        {
            asked.AddRange(lot);
            await gate.Task;
            return lot;
        });
        using var patience = new CancellationTokenSource();
        var leaving = batcher.AskAsync(1, patience.Token);
        await TestKit.Eventually.Async(() => asked.Count == 1, "it is under way");
        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => leaving);
        gate.SetResult();
        Assert.Equal(2, await batcher.AskAsync(2, Ct));
    }
}
