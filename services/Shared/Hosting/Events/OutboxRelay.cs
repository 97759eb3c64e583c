using Microsoft.Extensions.Hosting;

namespace Marketplace.Hosting;

internal sealed class OutboxRelay : BackgroundService
{
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.CompletedTask;
}
