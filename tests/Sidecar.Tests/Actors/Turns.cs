using Marketplace.Local.Sidecar.Actors;
using Xunit;

namespace Marketplace.Sidecar.Tests.Actors;

public sealed class Turns
{
    private readonly ActorTurns turns = new();

    [Fact]
    public async Task Callers_enter_one_by_one_in_the_order_they_came()
    {
        var first = await EnterAsync("a");
        var order = new List<string>();
        var others = new List<Task>();
        foreach (var name in (string[])["b", "c", "d"]) others.Add(TakeAsync(name));
        Assert.All(others, other => Assert.False(other.IsCompleted));

        first.Dispose();
        await Task.WhenAll(others);
        Assert.Equal(["b", "c", "d"], order);

        async Task TakeAsync(string name)
        {
            using var _ = await EnterAsync(name);
            order.Add(name);
        }
    }

    [Fact]
    public async Task A_caller_that_gives_up_leaves_its_place()
    {
        var first = await EnterAsync("a");
        using var patience = new CancellationTokenSource();
        var impatient = turns.EnterAsync("b", 32, patience.Token).AsTask();
        var next = turns.EnterAsync("c", 32, TestContext.Current.CancellationToken).AsTask();
        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => impatient);

        first.Dispose();
        Assert.NotNull(await next);
    }

    [Fact]
    public async Task The_same_chain_of_calls_enters_again_up_to_the_limit()
    {
        var outer = await turns.EnterAsync("chain", 2, TestContext.Current.CancellationToken);
        var inner = await turns.EnterAsync("chain", 2, TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<StackDepthException>(async () => await turns.EnterAsync("chain", 2, TestContext.Current.CancellationToken));

        var stranger = EnterAsync("other");
        inner!.Value.Dispose();
        Assert.False(stranger.IsCompleted);
        outer!.Value.Dispose();
        (await stranger).Dispose();
    }

    [Fact]
    public async Task An_actor_is_put_away_only_when_nobody_is_in()
    {
        var turn = await EnterAsync("a");
        Assert.False(turns.TryClose());
        turn.Dispose();
        Assert.True(turns.TryClose());
        Assert.Null(await turns.EnterAsync("b", 32, TestContext.Current.CancellationToken));
    }

    private async Task<ActorTurns.Turn> EnterAsync(string caller) => (await turns.EnterAsync(caller, 32, TestContext.Current.CancellationToken))!.Value;
}
