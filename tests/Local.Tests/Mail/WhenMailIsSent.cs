using MailKit.Net.Smtp;
using Marketplace.Local.Mail;
using Marketplace.TestKit;
using MimeKit;
using Xunit;

namespace Marketplace.Local.Tests.Mail;

public sealed class WhenMailIsSent
{
    [Fact]
    public async Task It_lies_in_the_folder_as_a_message_any_mail_program_opens()
    {
        var folder = Directory.CreateTempSubdirectory("mail-").FullName;
        var port = Ports.Free();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var catcher = MailVerb.CatchAsync(port, folder, stop.Token);

        using var client = new SmtpClient();
        await Eventually.Async(async () =>
        {
            try
            {
                await client.ConnectAsync("127.0.0.1", port, false, stop.Token);
                return true;
            }
            catch (System.Net.Sockets.SocketException)
            {
                return false;
            }
        }, "the catcher listens");
        foreach (var subject in (string[])["Your order", "Your parcel – südwärts"])
        {
            var message = new MimeMessage { Subject = subject, Body = new TextPart("html") { Text = "<p>.\r\n.\r\nTwo dots on lines of their own</p>" } };
            message.From.Add(MailboxAddress.Parse("shop@marketplace.local"));
            message.To.Add(MailboxAddress.Parse("ada@example.com"));
            await client.SendAsync(message, stop.Token);
        }

        await client.DisconnectAsync(true, stop.Token);
        var files = Directory.GetFiles(folder, "*.eml").Order().ToList();
        Assert.Equal(2, files.Count);
        Assert.Empty(Directory.GetFiles(folder, "*.part"));
        using var read = await MimeMessage.LoadAsync(files[1], stop.Token);
        Assert.Equal("Your parcel – südwärts", read.Subject);
        Assert.Contains("Two dots", read.HtmlBody);
        await stop.CancelAsync();
        await catcher;
        Directory.Delete(folder, recursive: true);
    }
}
