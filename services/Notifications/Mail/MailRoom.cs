using System.Collections.Concurrent;
using Marketplace.Notifications.Messages;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.Notifications.Mail;

/// <summary>
/// Sends what waits in the table, a few at a time. At least once: a process that dies between handing a mail over and noting it leads to a second copy, and SMTP has no
/// key that would prevent it.
/// </summary>
public sealed partial class MailRoom(MessageStore messages, IMailExit exit, MailSignal signal, IOptions<MailOptions> options, TimeProvider time, ILogger<MailRoom> log) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var next = signal.Next;                                  // before the look: what is written during it is not missed
            try
            {
                while (await messages.ClaimDueAsync(options.Value.BatchSize, options.Value.Claim, stoppingToken) is { Count: > 0 } due)
                    await SendAsync(due, stoppingToken);
            }
            catch (NpgsqlException away)
            {
                LogDatabaseAway(away.Message);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }

            await Task.WhenAny(next, Task.Delay(options.Value.Poll, time, stoppingToken));
        }
    }

    private async Task SendAsync(IReadOnlyList<DueMail> due, CancellationToken ct)
    {
        var sent = new ConcurrentBag<Guid>();
        try
        {
            await Parallel.ForEachAsync(due, new ParallelOptions { MaxDegreeOfParallelism = options.Value.Concurrency, CancellationToken = ct }, async (mail, stop) =>
            {
                try
                {
                    await exit.SendAsync(new OutgoingMail(mail.Recipient, mail.Subject, Message.Html(mail.Subject, mail.Text)), stop);
                    sent.Add(mail.MessageId);
                }
                catch (Exception refused) when (refused is not NpgsqlException && !stop.IsCancellationRequested)
                {
                    await PutBackAsync(mail, refused.Message);       // whatever is wrong with one mail, the others go
                }
            });
        }
        finally
        {
            if (!sent.IsEmpty)
                await messages.SentAsync([.. sent], CancellationToken.None);      // also when stopping: what has left must not leave again
        }
    }

    private async Task PutBackAsync(DueMail mail, string why)
    {
        if (mail.Tries >= options.Value.Tries)
        {
            LogGivenUp(mail.MessageId, mail.Tries, why);
            await messages.NotSentAsync(mail.MessageId, why, null, CancellationToken.None);
            return;
        }

        LogLater(mail.MessageId, mail.Tries, why);
        var pause = TimeSpan.FromMilliseconds(Math.Min(options.Value.Pause.TotalMilliseconds * Math.Pow(2, mail.Tries - 1), options.Value.LongestPause.TotalMilliseconds));
        await messages.NotSentAsync(mail.MessageId, why, time.GetUtcNow() + pause, CancellationToken.None);
    }

    [LoggerMessage(LogLevel.Warning, "Message {MessageId} could not be sent (try {Try}): {Reason}")]
    private partial void LogLater(Guid messageId, int @try, string reason);

    [LoggerMessage(LogLevel.Error, "Message {MessageId} is given up after {Tries} tries: {Reason}")]
    private partial void LogGivenUp(Guid messageId, int tries, string reason);

    [LoggerMessage(LogLevel.Warning, "Messages to be sent cannot be looked up: {Reason}")]
    private partial void LogDatabaseAway(string reason);
}
