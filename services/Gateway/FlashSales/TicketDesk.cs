using System.Security.Claims;
using Marketplace.Hosting;
using Marketplace.WaitingRoom;
using Microsoft.AspNetCore.Http.Features.Authentication;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Gateway.FlashSales;

/// <summary>
/// Looks at queue tickets. The keys come from the secret store, beside the start and not within it: what has nothing to do with flash sales
/// does not wait for them.
/// </summary>
public sealed partial class TicketDesk(SecretStore secrets, IConfiguration configuration, TimeProvider time, ILogger<TicketDesk> log) : BackgroundService
{
    public const string Header = "Queue-Ticket";
    private static readonly TimeSpan BetweenTries = TimeSpan.FromSeconds(10);

    private volatile TicketKeys? keys = configuration[TicketKeys.Setting] is { Length: > 0 } given ? TicketKeys.Parse(given) : null;

    /// <summary>The secret store has answered.</summary>
    public bool IsOpen => keys is not null;

    /// <summary>Null when the ticket is good for this sale and for whoever shows it, which may be nobody in particular.</summary>
    /// <param name="now">The service's time: nobody's own clock makes a ticket older or younger.</param>
    public ProblemHttpResult? Refuse(HttpContext http, string text, Guid saleId, DateTimeOffset now, out Ticket? ticket)
    {
        ticket = null;
        switch (keys!.Read(text, now, out var read))
        {
            case TicketFault.Malformed or TicketFault.Forged:
                return Problem(TicketRefusal.Invalid);
            case TicketFault.Expired:
                return Problem(TicketRefusal.Expired);
        }
        if (read!.SaleId != saleId)
            return Problem(TicketRefusal.OtherSale);
        if (Subject(http) is { } subject && subject != read.BuyerId)
            return Problem(TicketRefusal.NotYours);
        ticket = read;
        return null;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (keys is null)
        {
            try
            {
                keys = TicketKeys.Parse(await secrets.GetAsync(TicketKeys.Secret, stoppingToken));
            }
            catch (Exception e) when (e is TimeoutException or InvalidOperationException or ArgumentException or FormatException)
            {
                LogNoKeys(e.Message);
                await Task.Delay(BetweenTries, time, stoppingToken);
            }
        }
    }

    private static ProblemHttpResult Problem(TicketRefusal why) => Problems.Of(why.Status, why.Slug, why.Title, why.Detail);

    private static Guid? Subject(HttpContext http) =>
        http.Features.Get<IHttpAuthenticationFeature>()?.User is { } user && Guid.TryParse(user.FindFirstValue("sub"), out var subject) ? subject : null;

    [LoggerMessage(LogLevel.Error, "Queue tickets cannot be looked at: {Reason}")]
    private partial void LogNoKeys(string reason);
}
