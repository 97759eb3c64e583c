using Marketplace.Local.Sidecar.State;
using Marketplace.Local.Sidecar.Workflows;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>Writes of many instances on their way into one store.</summary>
public sealed class WhenTheStoreIsAway : IStateStore
{
    private readonly List<IReadOnlyList<StateWrite>> transactions = [];
    private readonly TaskCompletionSource open = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int failures;

    public IReadOnlyList<string> Capabilities => [];

    [Fact]
    public async Task A_write_is_tried_until_it_succeeds_and_told_once()
    {
        failures = 3;
        open.SetResult();
        await using var commits = new GroupCommit(this, TimeProvider.System, NullLogger.Instance);
        var told = 0;
        commits.Write([new StateWrite("a", "1"u8.ToArray())], () => told++);
        await commits.WriteAsync([new StateWrite("b", "1"u8.ToArray())], TestContext.Current.CancellationToken);
        Assert.Equal((0, 1), (failures, told));
    }

    [Fact]
    public async Task What_gathers_behind_a_transaction_goes_out_as_one_with_the_last_write_of_a_key()
    {
        await using var commits = new GroupCommit(this, TimeProvider.System, NullLogger.Instance);
        var order = new List<int>();
        commits.Write([new StateWrite("first", "1"u8.ToArray())], () => order.Add(0));
        for (var i = 1; i <= 10; i++)
        {
            var n = i;
            commits.Write([new StateWrite($"key-{n}"), new StateWrite("shared", new byte[] { (byte)n })], () => order.Add(n));
        }

        var last = commits.WriteAsync([new StateWrite("key-3", Delete: true)], TestContext.Current.CancellationToken);
        open.SetResult();
        await last;

        Assert.Equal(Enumerable.Range(0, 11), order);
        Assert.InRange(transactions.Count, 1, 2);
        var batch = transactions[^1];
        Assert.Equal(batch.Count, batch.Select(write => write.Key).Distinct().Count());
        Assert.Equal(10, batch.Single(write => write.Key == "shared").Value.Span[0]);
        Assert.True(batch.Single(write => write.Key == "key-3").Delete);
    }

    public async ValueTask<StateResult> TransactAsync(IReadOnlyList<StateWrite> writes, CancellationToken ct)
    {
        await open.Task.WaitAsync(ct);
        if (failures > 0 && --failures >= 0) throw new IOException("away");
        transactions.Add([.. writes]);
        return StateResult.Done;
    }

    public ValueTask<StateEntry?> GetAsync(string key, CancellationToken ct) => throw new NotSupportedException();

    public ValueTask<IReadOnlyList<StateEntry?>> GetManyAsync(IReadOnlyList<string> keys, CancellationToken ct) => throw new NotSupportedException();

    public ValueTask<StateResult> SetAsync(StateWrite write, CancellationToken ct) => throw new NotSupportedException();

    public ValueTask<StateResult> DeleteAsync(StateWrite write, CancellationToken ct) => throw new NotSupportedException();

    public IAsyncEnumerable<string> ListKeysAsync(string prefix, CancellationToken ct) => throw new NotSupportedException();

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
