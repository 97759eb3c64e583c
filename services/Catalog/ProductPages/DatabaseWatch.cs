using Npgsql;

namespace Marketplace.Catalog.ProductPages;

/// <summary>Pages from the shelf touch no database, and yet an answer should say when there is none behind it: so it is looked at once a second.</summary>
public sealed class DatabaseWatch(NpgsqlDataSource database, TimeProvider time) : BackgroundService
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private volatile bool away;

    public bool Away => away;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Every, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
                away = !await AnswersAsync(stoppingToken);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            return;                                             // the host stops
        }
    }

    private async Task<bool> AnswersAsync(CancellationToken stopping)
    {
        using var patient = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        patient.CancelAfter(Patience);
        try
        {
            await using var command = database.CreateCommand("SELECT 1");
            await command.ExecuteScalarAsync(patient.Token);
            return true;
        }
        catch (Exception silent) when (silent is NpgsqlException or OperationCanceledException && !stopping.IsCancellationRequested)
        {
            return false;
        }
    }
}
