using System.Diagnostics;

namespace Marketplace.Bench.FlashSale.Traffic;

internal delegate void WriteChore(int number, RequestWriter request);

/// <summary>False: what was answered will not do, and the chore is tried again.</summary>
internal delegate bool ChoreDone(int number, in Reply reply);

/// <summary>So many requests of one sort, some at a time, each until it is done: a closed load, for preparing and for measuring how much goes through.</summary>
internal sealed class Chores(int count, WriteChore write, ChoreDone done, Kind kind = Kind.Chore)
{
    private const int MostTries = 20;
    private readonly int count = count;
    private readonly WriteChore write = write;
    private readonly ChoreDone done = done;
    private readonly Kind kind = kind;
    private readonly TaskCompletionSource finished = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly byte[] tries = new byte[count];
    private Generator? generator;
    private int next = -1;
    private int completed;

    public int Completed => Volatile.Read(ref completed);

    public async Task RunAsync(Generator by, int atOnce, Action<int> progress, CancellationToken ct)
    {
        generator = by;
        if (count == 0) return;
        for (var slot = 0; slot < Math.Min(atOnce, count); slot++)
            by.Schedule(new Slot(this, Interlocked.Increment(ref next)), Stopwatch.GetTimestamp());
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(200));
        while (!finished.Task.IsCompleted)
        {
            await Task.WhenAny(finished.Task, timer.WaitForNextTickAsync(ct).AsTask());
            ct.ThrowIfCancellationRequested();
            progress(Completed);
        }

        await finished.Task;
    }

    private sealed class Slot(Chores chores, int number) : Exchange
    {
        private int number = number;

        public override Kind Kind => chores.kind;

        public override void Write(RequestWriter request) => chores.write(number, request);

        public override Exchange? OnReply(in Reply reply)
        {
            if (!chores.done(number, reply))
            {
                Again($"{reply.Status} {RequestText(reply)}");
                return null;
            }

            if (Interlocked.Increment(ref chores.completed) == chores.count) chores.finished.TrySetResult();
            number = Interlocked.Increment(ref chores.next);
            if (number >= chores.count) return null;
            Due = Stopwatch.GetTimestamp();
            return this;
        }

        public override void OnFailure(string why) => Again(why);

        private void Again(string why)
        {
            if (++chores.tries[number] < MostTries) chores.generator!.Schedule(this, TimeSpan.FromMilliseconds(250));
            else chores.finished.TrySetException(new InvalidOperationException($"Tried {MostTries} times: {why}"));
        }

        private static string RequestText(in Reply reply) => System.Text.Encoding.UTF8.GetString(reply.Body[..Math.Min(500, reply.Body.Length)]);
    }
}
