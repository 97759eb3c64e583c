using Microsoft.Extensions.Hosting;

namespace Marketplace.Hosting;

internal sealed class Housekeeping : BackgroundService
{
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.CompletedTask;
}
