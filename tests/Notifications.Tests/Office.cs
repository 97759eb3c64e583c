using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using Marketplace.Contracts;
using Marketplace.Notifications.Mail;
using Marketplace.Notifications.Messages;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;

namespace Marketplace.Notifications.Tests;

/// <summary>Notifications on a real database, with a mail exit that the test can close.</summary>
public sealed class Office : IAsyncDisposable, IMailExit
{
    private readonly ConcurrentQueue<OutgoingMail> mails = new();
    private int underWay;

    public ServiceUnderTest<Program> Service { get; private set; } = null!;
    public IReadOnlyList<OutgoingMail> Mails => [.. mails];
    public int MostAtOnce { get; private set; }
    public bool Closed { get; set; }
    public TaskCompletionSource? Hold { get; set; }

    public static async Task<Office> OpenAsync(bool closed = false, TaskCompletionSource? hold = null)
    {
        var office = new Office { Closed = closed, Hold = hold };
        office.Service = await ServiceUnderTest<Program>.StartAsync(
            "notifications",
            settings: new Dictionary<string, string?> { ["Mail:Pause"] = "00:00:00.020", ["Mail:Poll"] = "00:00:00.050", ["Mail:Tries"] = "1000", ["Mail:LongestPause"] = "00:00:00.100", ["Logging:LogLevel:Marketplace.Notifications.Mail.MailRoom"] = "Error" },
            replace: services => services.AddSingleton<IMailExit>(office));
        return office;
    }

    public async Task SendAsync(OutgoingMail mail, CancellationToken ct)
    {
        if (Closed)
            throw new MailRefusedException("The mail server is away.");
        lock (mails)
            MostAtOnce = Math.Max(MostAtOnce, ++underWay);
        if (Hold is { } hold)
            await hold.Task.WaitAsync(ct);
        mails.Enqueue(mail);
        lock (mails)
            underWay--;
    }

    public async Task HearAsync(params DomainEvent[] facts)
    {
        foreach (var fact in facts)
        {
            using var reply = await Service.DeliverAsync(fact);
            Assert.Equal(HttpStatusCode.OK, reply.StatusCode);
        }
    }

    public async Task<IReadOnlyList<MessageView>> InboxAsync(Guid buyer)
    {
        using var client = Service.As(TestTokens.Buyer(buyer));
        return (await client.GetFromJsonAsync<MessagePage>("/api/v1/notifications?limit=100", TestContext.Current.CancellationToken))!.Items;
    }

    public ValueTask DisposeAsync() => Service.DisposeAsync();
}
