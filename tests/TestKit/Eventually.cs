using System.Diagnostics;
using Xunit;

namespace Marketplace.TestKit;

/// <summary>Waits for something another thread or process does, with a deadline and a reason; the only waiting a test does.</summary>
public static class Eventually
{
    private static readonly TimeSpan Between = TimeSpan.FromMilliseconds(20);

    public static Task Async(Func<Task<bool>> condition, string because, TimeSpan? timeout = null) => Async(condition, () => because, timeout);

    /// <param name="because">Asked when time is up, so that it can tell what was last seen.</param>
    public static async Task Async(Func<Task<bool>> condition, Func<string> because, TimeSpan? timeout = null)
    {
        var patience = timeout ?? TimeSpan.FromSeconds(20);
        var clock = Stopwatch.StartNew();
        while (!await condition())
        {
            if (clock.Elapsed > patience)
                Assert.Fail($"Not within {patience.TotalSeconds:0.#} s: {because()}");
            await Task.Delay(Between, TestContext.Current.CancellationToken);
        }
    }

    public static Task Async(Func<bool> condition, string because, TimeSpan? timeout = null) =>
        Async(() => Task.FromResult(condition()), because, timeout);
}
