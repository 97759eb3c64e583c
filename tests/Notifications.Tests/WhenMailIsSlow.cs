extern alias local;

using local::Marketplace.Local.Mail;
using local::Marketplace.Local.Sidecar;
using Marketplace.TestKit;

namespace Marketplace.Notifications.Tests;

public sealed class WhenMailIsSlow
{
    [Fact]
    public async Task Events_are_heard_without_waiting_and_a_few_mails_go_at_once()
    {
        var hold = new TaskCompletionSource();
        await using var office = await Office.OpenAsync(hold: hold);

        for (var i = 0; i < 12; i++)
            await office.HearAsync(Facts.Confirmed(Guid.CreateVersion7()));
        Assert.Equal(12, (await office.InboxAsync(Facts.Ada)).Count);
        Assert.Empty(office.Mails);

        hold.SetResult();
        await Eventually.Async(() => office.Mails.Count == 12, "all mails leave");
        Assert.InRange(office.MostAtOnce, 1, 4);
    }

    [Fact]
    public async Task A_mail_server_that_comes_back_gets_every_mail_once()
    {
        await using var office = await Office.OpenAsync(closed: true);
        for (var i = 0; i < 8; i++)
            await office.HearAsync(Facts.Confirmed(Guid.CreateVersion7()));
        await Eventually.Async(async () => await office.Service.ScalarAsync<int>("SELECT min(tries) FROM messages") >= 2, "each was tried and put back");
        Assert.All(await office.InboxAsync(Facts.Ada), message => Assert.Equal("waiting", message.Email));

        office.Closed = false;

        await Eventually.Async(async () => (await office.InboxAsync(Facts.Ada)).All(message => message.Email == "sent"), "all are sent");
        Assert.Equal(8, office.Mails.Select(mail => mail.Subject).Distinct().Count());
        Assert.Equal(8, office.Mails.Count);
    }

    [Fact]
    public async Task A_claim_whose_process_died_is_made_again()
    {
        await using var office = await Office.OpenAsync(closed: true);
        await office.HearAsync(Facts.Confirmed(Guid.CreateVersion7()));
        // As a killed process leaves it: claimed, not sent, its claim about to run out.
        await office.Service.ScalarAsync<int>("UPDATE messages SET tries = 1, not_before = now() + interval '300 milliseconds'");
        office.Closed = false;

        await Eventually.Async(() => office.Mails.Count == 1, "somebody else sends it");
    }

    [Fact]
    public async Task Through_the_sidecar_the_mail_reaches_an_smtp_server_whole()
    {
        var folder = Directory.CreateTempSubdirectory("mail-").FullName;
        using var stop = new CancellationTokenSource();
        var port = Ports.Free();
        var catcher = MailVerb.CatchAsync(port, Path.Combine(folder, "mail"), stop.Token);
        await File.WriteAllTextAsync(Path.Combine(folder, "email.yaml"), $"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata:
              name: email
            spec:
              type: bindings.smtp
              version: v1
              metadata:
                - name: host
                  value: "127.0.0.1"
                - name: port
                  value: "{port}"
                - name: skipTLSVerify
                  value: "true"
                - name: emailFrom
                  value: "somebody@marketplace.local"
            """, TestContext.Current.CancellationToken);
        var (http, grpc) = (Ports.Free(), Ports.Free());
        var plan = new SidecarPlan(folder, 0, null, null, null, [new SidecarApp("notifications", folder, null, http, grpc, [folder])]);
        try
        {
            await using var sidecar = await SidecarHost.StartAsync(plan, ct: TestContext.Current.CancellationToken);
            await using var service = await ServiceUnderTest<Program>.StartAsync(
                "notifications", settings: new Dictionary<string, string?> { ["DAPR_GRPC_ENDPOINT"] = $"http://127.0.0.1:{grpc}", ["DAPR_HTTP_ENDPOINT"] = $"http://127.0.0.1:{http}" });
            var order = Guid.CreateVersion7();
            using (await service.DeliverAsync(Facts.Confirmed(order, title: "Äpfel & \"Birnen\""))) { }
            using (await service.DeliverAsync(Facts.Registered())) { }

            await Eventually.Async(() => Directory.GetFiles(Path.Combine(folder, "mail"), "*.eml").Length == 2, "both mails are caught", TimeSpan.FromSeconds(20));
            var mails = Directory.GetFiles(Path.Combine(folder, "mail"), "*.eml").Select(File.ReadAllText).ToList();
            var confirmation = Assert.Single(mails, mail => mail.Contains(order.ToString(), StringComparison.Ordinal));
            Assert.Contains("To: ada@example.com", confirmation, StringComparison.Ordinal);
            Assert.Contains("From: shop@marketplace.local", confirmation, StringComparison.Ordinal);
            Assert.Contains("text/html", confirmation, StringComparison.OrdinalIgnoreCase);
            Assert.Single(mails, mail => mail.Contains("Subject: Welcome to Marketplace", StringComparison.Ordinal));
        }
        finally
        {
            await stop.CancelAsync();
            await catcher;
            Directory.Delete(folder, recursive: true);
        }
    }
}
