using Marketplace.Hosting;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.WaitingRoom;

/// <summary>
/// The keys of queue tickets, from the secret <c>queue-ticket-keys</c>; configuration <c>QueueTickets:Keys</c> stands in for it. They are
/// there before the service takes requests.
/// </summary>
public sealed class QueueTickets(SecretStore secrets, IConfiguration configuration) : IHostedService
{
    private TicketKeys? keys;

    public TicketKeys Keys => keys ?? throw new InvalidOperationException("The keys of queue tickets are known only after the start.");

    public async Task StartAsync(CancellationToken cancellationToken) =>
        keys = TicketKeys.Parse(configuration[TicketKeys.Setting] is { Length: > 0 } given ? given : await secrets.GetAsync(TicketKeys.Secret, cancellationToken));

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
