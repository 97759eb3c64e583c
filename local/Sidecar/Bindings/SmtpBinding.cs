using System.Globalization;
using System.Net.Security;
using System.Net.Sockets;
using MailKit;
using MailKit.Net.Smtp;
using MailKit.Security;
using Marketplace.Local.Sidecar.Resources;
using MimeKit;

namespace Marketplace.Local.Sidecar.Bindings;

/// <summary>bindings.smtp. One connection is kept while there is something to send: a mail costs no handshake of its own.</summary>
internal sealed class SmtpBinding : BindingComponent
{
    private static readonly TimeSpan KeepOpen = TimeSpan.FromSeconds(20);

    private readonly SemaphoreSlim turn = new(1, 1);
    private readonly TimeProvider time;
    private readonly string host;
    private readonly int port;
    private readonly string? user;
    private readonly string? password;
    private readonly bool skipVerify;
    private readonly ITimer idle;
    private SmtpClient? client;

    public SmtpBinding(Component component, TimeProvider time)
        : base(component)
    {
        this.time = time;
        host = component.Require("host");
        component.Require("port");
        port = component.Int("port", 25);
        user = component.Get("user");
        password = component.Get("password");
        if (user is null != password is null) throw component.Error(user is null ? "password" : "user", "user and password go together.");
        skipVerify = component.Bool("skipTLSVerify");
        if (component.Int("priority", 3) is < 1 or > 5) throw component.Error("priority", "must be between 1 and 5.");
        idle = time.CreateTimer(_ => CloseIdle(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public override IReadOnlyList<string> Operations { get; } = ["create"];

    public override async Task<BindingReply> InvokeAsync(BindingCall call, CancellationToken ct)
    {
        using var message = Message(call);
        await turn.WaitAsync(ct);
        try
        {
            await SendAsync(message, ct);
        }
        finally
        {
            turn.Release();
            idle.Change(KeepOpen, Timeout.InfiniteTimeSpan);
        }

        return BindingReply.Empty;
    }

    public override async ValueTask DisposeAsync()
    {
        await idle.DisposeAsync();
        client?.Dispose();
        turn.Dispose();
        await base.DisposeAsync();
    }

    private async Task SendAsync(MimeMessage message, CancellationToken ct)
    {
        var reused = client is { IsConnected: true };
        try
        {
            await (await OpenAsync(ct)).SendAsync(message, ct);
        }
        catch (Exception e) when (reused && e is IOException or SocketException or ServiceNotConnectedException or SmtpProtocolException)
        {
            // The server closed the kept connection meanwhile. Were it to break just after the mail's last byte, the mail would go twice.
            Drop();
            await (await OpenAsync(ct)).SendAsync(message, ct);
        }
        catch
        {
            Drop();
            throw;
        }
    }

    private async Task<SmtpClient> OpenAsync(CancellationToken ct)
    {
        if (client is { IsConnected: true } open) return open;

        Drop();
        client = new SmtpClient { CheckCertificateRevocation = false };
        client.ServerCertificateValidationCallback = (_, _, _, errors) => skipVerify || errors == SslPolicyErrors.None;
        await client.ConnectAsync(host, port, port == 465 ? SecureSocketOptions.SslOnConnect : SecureSocketOptions.StartTlsWhenAvailable, ct);
        if (user is not null && password is not null) await client.AuthenticateAsync(user, password, ct);
        return client;
    }

    private void Drop()
    {
        client?.Dispose();
        client = null;
    }

    private void CloseIdle()
    {
        if (!turn.Wait(0)) return;
        try
        {
            Drop();
        }
        finally
        {
            turn.Release();
        }
    }

    /// <summary>
    /// What the request says goes before what the component says. daprd 1.18 also keeps it for later requests; a mail to a stranger is
    /// a rough edge that is not imitated.
    /// </summary>
    private MimeMessage Message(BindingCall call)
    {
        string? Field(string name) => call.Get(name) ?? Component.Get(name);

        var message = new MimeMessage();
        Add(message.From, Field("emailFrom") ?? throw new BindingException("emailFrom is required in configuration or request metadata"));
        Add(message.To, Field("emailTo") ?? throw new BindingException("emailTo is required in configuration or request metadata"));
        if (Field("emailCC") is { } cc) Add(message.Cc, cc);
        if (Field("emailBCC") is { } bcc) Add(message.Bcc, bcc);
        message.Subject = Field("subject") ?? throw new BindingException("subject is required in configuration or request metadata");
        message.Date = time.GetUtcNow();

        var priority = Field("priority") ?? "3";
        if (!int.TryParse(priority, NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number is < 1 or > 5) throw new BindingException($"priority must be between 1 and 5, not {priority}");
        message.XPriority = (XMessagePriority)number;
        message.Body = new TextPart("html") { Text = call.Text() };
        return message;
    }

    private static void Add(InternetAddressList list, string addresses)
    {
        foreach (var address in addresses.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (!MailboxAddress.TryParse(address, out var mailbox)) throw new BindingException($"not an address: {address}");
            list.Add(mailbox);
        }
    }
}
