using System.Text;
using Dapr;
using Dapr.Client;
using Microsoft.Extensions.Options;

namespace Marketplace.Notifications.Mail;

public sealed record OutgoingMail(string To, string Subject, string Html);

/// <summary>The mail could not be handed over; it may be tried again.</summary>
public sealed class MailRefusedException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Where mail leaves the process.</summary>
public interface IMailExit
{
    Task SendAsync(OutgoingMail mail, CancellationToken ct);
}

/// <summary>
/// Dapr's binding <c>email</c>. Every request names all fields: daprd 1.18 keeps what one request sent for the requests after it, so a field that is
/// left out would be the last shopper's.
/// </summary>
public sealed class MailBinding(DaprClient dapr, IOptions<MailOptions> options) : IMailExit
{
    public const string Name = "email";

    public async Task SendAsync(OutgoingMail mail, CancellationToken ct)
    {
        var request = new BindingRequest(Name, "create") { Data = Encoding.UTF8.GetBytes(mail.Html) };
        request.Metadata["emailFrom"] = options.Value.From;
        request.Metadata["emailTo"] = mail.To;
        request.Metadata["subject"] = mail.Subject;
        request.Metadata["priority"] = "3";
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(options.Value.SendTimeout);
        try
        {
            await dapr.InvokeBindingAsync(request, limit.Token);
        }
        catch (OperationCanceledException slow) when (!ct.IsCancellationRequested)
        {
            throw new MailRefusedException("The mail binding did not answer in time.", slow);
        }
        catch (DaprException failed)
        {
            throw new MailRefusedException(failed.InnerException is Grpc.Core.RpcException call ? $"{call.StatusCode}: {call.Status.Detail}" : failed.Message, failed);
        }
    }
}

/// <summary>Wakes this process's mail room right after a message was written.</summary>
public sealed class MailSignal
{
    private TaskCompletionSource wake = New();

    public Task Next => Volatile.Read(ref wake).Task;

    public void Notify() => Interlocked.Exchange(ref wake, New()).TrySetResult();

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
