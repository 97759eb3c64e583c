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
    private readonly TaskCompletionSource entered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int failures;

    public IReadOnlyList<string> Capabilities => [];

    [Fact]
    public async Task A_write_is_tried_until_it_succeeds_and_told_once()
    {
        failures = 3;
        open.SetResult();
        await using var commits = new GroupCommit(this, TimeProvider.System, NullLogger.Instance);
        var told = 0;
        commits.Write([new StateWrite("a", "1"u8.ToArray())], new object(), () => told++, Unexpected);
        await commits.WriteAsync([new StateWrite("b", "1"u8.ToArray())], TestContext.Current.CancellationToken);
        Assert.Equal((0, 1), (failures, told));
    }

    [Fact]
    public async Task What_gathers_behind_a_transaction_goes_out_as_one_with_the_last_write_of_a_key()
    {
        await using var commits = new GroupCommit(this, TimeProvider.System, NullLogger.Instance);
        var order = new List<int>();
        commits.Write([new StateWrite("first", "1"u8.ToArray())], new object(), () => order.Add(0), Unexpected);
        await entered.Task;
        for (var i = 1; i <= 10; i++)
        {
            var n = i;
            commits.Write([new StateWrite($"key-{n}"), new StateWrite("shared", new byte[] { (byte)n })], new object(), () => order.Add(n), Unexpected);
        }

        var last = commits.WriteAsync([new StateWrite("key-3", Delete: true)], TestContext.Current.CancellationToken);
        open.SetResult();
        await last;

        Assert.Equal(Enumerable.Range(0, 11), order);
        Assert.Equal(2, transactions.Count);
        var batch = transactions[^1];
        Assert.Equal(batch.Count, batch.Select(write => write.Key).Distinct().Count());
        Assert.Equal(10, batch.Single(write => write.Key == "shared").Value.Span[0]);
        Assert.True(batch.Single(write => write.Key == "key-3").Delete);
    }

    [Fact]
    public async Task What_the_store_will_never_take_is_told_and_holds_up_nobody_else()
    {
        await using var commits = new GroupCommit(this, TimeProvider.System, NullLogger.Instance);
        var heard = new List<string>();
        var (ill, sound) = (new object(), new object());
        Write("first", sound);
        Write("a1", ill);
        Write("refused", ill);
        Write("b1", sound);
        Write("a2", ill);   // builds on what was refused
        Write("b2", sound);
        var last = commits.WriteAsync([new StateWrite("last")], TestContext.Current.CancellationToken);
        open.SetResult();
        await last;

        Assert.Equal(["first", "a1", "not refused: too long", "b1", "not a2: too long", "b2"], heard);
        Assert.Equal(["first", "a1", "b1", "b2", "last"], transactions.SelectMany(batch => batch).Select(write => write.Key));
        await Assert.ThrowsAsync<Grpc.Core.RpcException>(() => commits.WriteAsync([new StateWrite("refused")], TestContext.Current.CancellationToken));

        // Whoever was told goes on with a chain of its own.
        await commits.WriteAsync([new StateWrite("a3")], TestContext.Current.CancellationToken);

        void Write(string key, object chain) => commits.Write([new StateWrite(key)], chain, () => heard.Add(key), why => heard.Add($"not {key}: {why}"));
    }

    public bool IsRefusal(Exception failure) => failure is InvalidDataException;

    public async ValueTask<StateResult> TransactAsync(IReadOnlyList<StateWrite> writes, CancellationToken ct)
    {
        entered.TrySetResult();
        await open.Task.WaitAsync(ct);
        if (failures > 0 && --failures >= 0) throw new IOException("away");
        if (writes.Any(write => write.Key == "refused")) throw new InvalidDataException("too long");
        transactions.Add([.. writes]);
        return StateResult.Done;
    }

    public ValueTask<StateEntry?> GetAsync(string key, CancellationToken ct) => throw new NotSupportedException();

    public ValueTask<IReadOnlyList<StateEntry?>> GetManyAsync(IReadOnlyList<string> keys, CancellationToken ct) => throw new NotSupportedException();

    public ValueTask<StateResult> SetAsync(StateWrite write, CancellationToken ct) => throw new NotSupportedException();

    public ValueTask<StateResult> DeleteAsync(StateWrite write, CancellationToken ct) => throw new NotSupportedException();

    public IAsyncEnumerable<string> ListKeysAsync(string prefix, CancellationToken ct) => throw new NotSupportedException();

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static void Unexpected(string why) => throw new InvalidOperationException(why);
}
