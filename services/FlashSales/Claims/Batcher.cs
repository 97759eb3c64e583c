namespace Marketplace.FlashSales.Claims;

/// <summary>
/// Collects single questions and asks them together: the first one waits at most <paramref name="patience"/> for company, and while one lot is
/// under way the next gathers. The wait is for other requests, not for the shop's clock, so it is real time.
/// </summary>
/// <param name="answer">One answer for each question, in their order. What it throws, everyone of the lot is told.</param>
public sealed class Batcher<TAsk, TAnswer>(int most, TimeSpan patience, Func<IReadOnlyList<TAsk>, Task<IReadOnlyList<TAnswer>>> answer)
{
    private readonly Lock gate = new();
    private readonly Queue<Item> waiting = new();
    private TaskCompletionSource full = NewSignal();
    private bool running;

    /// <summary>Leaving early does not take the question back.</summary>
    public Task<TAnswer> AskAsync(TAsk ask, CancellationToken ct)
    {
        var item = new Item(ask, Environment.TickCount64);
        bool starts;
        lock (gate)
        {
            waiting.Enqueue(item);
            if (waiting.Count >= most) full.TrySetResult();
            starts = !running;
            running = true;
        }

        if (starts) _ = RunAsync();                             // ends by itself, faults are the questions' answers
        return item.Answer.Task.WaitAsync(ct);
    }

    private async Task RunAsync()
    {
        await Task.Yield();
        while (await GatherAsync() is { Count: > 0 } lot)
        {
            try
            {
                var answers = await answer([.. lot.Select(item => item.Ask)]);
                for (var i = 0; i < lot.Count; i++) lot[i].Answer.TrySetResult(answers[i]);
            }
            catch (Exception fault)
            {
                foreach (var item in lot) item.Answer.TrySetException(fault);
            }
        }
    }

    private async Task<List<Item>> GatherAsync()
    {
        Task enough;
        TimeSpan rest;
        lock (gate)
        {
            if (!waiting.TryPeek(out var first))
            {
                running = false;
                return [];
            }

            rest = patience - TimeSpan.FromMilliseconds(Environment.TickCount64 - first.Since);
            enough = full.Task;
        }

        if (rest > TimeSpan.Zero) await enough.WaitAsync(rest).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);   // or time is up
        lock (gate)
        {
            var lot = new List<Item>(Math.Min(most, waiting.Count));
            while (lot.Count < most && waiting.TryDequeue(out var item)) lot.Add(item);
            if (waiting.Count < most && full.Task.IsCompleted) full = NewSignal();
            return lot;
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private sealed record Item(TAsk Ask, long Since)
    {
        public TaskCompletionSource<TAnswer> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
