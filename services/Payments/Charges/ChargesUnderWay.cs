using System.Collections.Concurrent;

namespace Marketplace.Payments.Charges;

/// <summary>
/// Charges whose caller may have stopped waiting. They are finished before the process ends, and a fault nobody waits for any more is at least told.
/// </summary>
public sealed partial class ChargesUnderWay(ChargeDesk desk, ILogger<ChargesUnderWay> log) : IHostedService
{
    private readonly ConcurrentDictionary<Task, byte> running = new();

    public Task<ChargeReply> Start(ChargeRequest charge)
    {
        var work = RunAsync(charge);
        if (!work.IsCompleted)
        {
            running[work] = 0;
            work.ContinueWith(done => running.TryRemove(done, out _), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }

        return work;
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StopAsync(CancellationToken cancellationToken) =>
        await Task.WhenAll(running.Keys).WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private async Task<ChargeReply> RunAsync(ChargeRequest charge)
    {
        try
        {
            return await desk.ChargeAsync(charge);
        }
        catch (Exception fault)
        {
            LogFailed(charge.OrderId, charge.Attempt, fault);
            throw;
        }
    }

    [LoggerMessage(LogLevel.Error, "Order {OrderId} attempt {Attempt}: the charge stopped on a fault; its lease will run out and the worker goes on with it")]
    private partial void LogFailed(Guid orderId, int attempt, Exception fault);
}
