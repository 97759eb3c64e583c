using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using MimeKit;
using SmtpServer;
using SmtpServer.ComponentModel;
using SmtpServer.Protocol;
using SmtpServer.Storage;
using Xunit;

namespace Marketplace.Sidecar.Tests.Bindings;

[EverySidecar]
public sealed class WhenABindingIsUsed
{
    [Fact]
    public async Task Local_storage_keeps_files_below_its_folder()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync("""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: files}
            spec:
              type: bindings.localstorage
              metadata: [{name: rootPath, value: "kept"}]
            """, new AppUnderTest("shop"));
        using var dapr = sidecars.Client();
        using var http = sidecars.Http();
        var name = new Dictionary<string, string> { ["fileName"] = "../../notes/today.txt" };

        await dapr.InvokeBindingAsync("files", "create", "good morning", name);
        Assert.True(File.Exists(Path.Combine(sidecars.Folder, "kept", "notes", "today.txt")));

        using var get = await http.PostAsJsonAsync("/v1.0/bindings/files", new { operation = "get", metadata = new { fileName = "notes/today.txt" } });
        Assert.Equal("good morning", await get.Content.ReadAsStringAsync());

        using var list = await http.PostAsJsonAsync("/v1.0/bindings/files", new { operation = "list" });
        Assert.Equal(Path.Combine(sidecars.Folder, "kept", "notes", "today.txt"), Assert.Single((await list.Content.ReadFromJsonAsync<string[]>())!));

        using var delete = await http.PostAsJsonAsync("/v1.0/bindings/files", new { operation = "delete", metadata = new { fileName = "notes/today.txt" } });
        Assert.Equal(HttpStatusCode.NoContent, delete.StatusCode);

        using var gone = await http.PostAsJsonAsync("/v1.0/bindings/files", new { operation = "get", metadata = new { fileName = "notes/today.txt" } });
        Assert.Equal(HttpStatusCode.InternalServerError, gone.StatusCode);
        Assert.Equal("ERR_INVOKE_OUTPUT_BINDING", (await gone.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("errorCode").GetString());

        // What happens to be base64 is decoded.
        await dapr.InvokeBindingAsync("files", "create", "aGVsbG8=", new Dictionary<string, string> { ["fileName"] = "b" });
        Assert.Equal("hello", await File.ReadAllTextAsync(Path.Combine(sidecars.Folder, "kept", "b")));
    }

    [Fact]
    public async Task Unknown_bindings_and_operations_are_errors()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync("""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: files}
            spec:
              type: bindings.localstorage
              metadata: [{name: rootPath, value: "kept"}]
            """, new AppUnderTest("shop"));
        using var http = sidecars.Http();

        using var unknown = await http.PostAsJsonAsync("/v1.0/bindings/nothing", new { operation = "create" });
        Assert.Equal(HttpStatusCode.InternalServerError, unknown.StatusCode);

        using var operation = await http.PostAsJsonAsync("/v1.0/bindings/files", new { operation = "sing" });
        Assert.Equal(HttpStatusCode.InternalServerError, operation.StatusCode);
        Assert.Contains("does not support operation sing", await operation.Content.ReadAsStringAsync());

        using var broken = await http.PostAsync("/v1.0/bindings/files", new StringContent("{", Encoding.UTF8, "application/json"));
        Assert.Equal(HttpStatusCode.BadRequest, broken.StatusCode);
    }

    [Fact]
    public async Task A_mail_goes_out_with_the_fields_of_the_request_and_the_next_one_has_its_own()
    {
        var port = Ports.Free();
        var inbox = new Inbox();
        var services = new ServiceProvider();
        services.Add((IMessageStore)inbox);
        using var stop = new CancellationTokenSource();
        var server = new SmtpServer.SmtpServer(new SmtpServerOptionsBuilder().ServerName("localhost").Port(port).Build(), services);
        var serving = server.StartAsync(stop.Token);

        await using var sidecars = await SidecarsUnderTest.StartAsync($$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: email}
            spec:
              type: bindings.smtp
              metadata:
                - {name: host, value: 127.0.0.1}
                - {name: port, value: {{port}}}
                - {name: emailFrom, value: shop@example.com}
                - {name: emailTo, value: nobody@example.com}
                - {name: subject, value: Hello}
            """, new AppUnderTest("shop"));
        using var dapr = sidecars.Client();
        await dapr.InvokeBindingAsync("email", "create", "<p>One</p>", new Dictionary<string, string> { ["emailTo"] = "ada@example.com;bruno@example.com", ["subject"] = "Parcel" });
        await dapr.InvokeBindingAsync("email", "create", "Two");
        await stop.CancelAsync();
        await serving;

        var (first, second) = (inbox.Mails[0], inbox.Mails[1]);
        Assert.Equal(["ada@example.com", "bruno@example.com"], first.To.Mailboxes.Select(to => to.Address));
        Assert.Equal(("Parcel", "<p>One</p>"), (first.Subject, first.HtmlBody!.Trim()));
        Assert.Equal(["nobody@example.com"], second.To.Mailboxes.Select(to => to.Address));
        Assert.Equal("Hello", second.Subject);
    }

    [Fact]
    public async Task A_schedule_ticks_at_every_instance_that_wants_it()
    {
        var ticks = new ConcurrentQueue<string>();
        await using var one = await TestApp.StartAsync(app => app.MapPost("/clock", (HttpRequest request) => ticks.Enqueue("one" + request.Headers["readTimeUTC"])));
        await using var two = await TestApp.StartAsync(app => app.MapPost("/clock", () => ticks.Enqueue("two")));
        await using var deaf = await TestApp.StartAsync(app => app.MapGet("/", () => "no clock here"));
        await using var sidecars = await SidecarsUnderTest.StartAsync("""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: clock}
            spec:
              type: bindings.cron
              metadata: [{name: schedule, value: "@every 1s"}]
            """, new AppUnderTest("shop", one.Port), new AppUnderTest("shop", two.Port), new AppUnderTest("office", deaf.Port));

        await Eventually.Async(() => ticks.Any(tick => tick.StartsWith("one20", StringComparison.Ordinal)) && ticks.Contains("two"), "both instances hear the clock");
    }

    private sealed class Inbox : MessageStore
    {
        public List<MimeMessage> Mails { get; } = [];

        public override async Task<SmtpResponse> SaveAsync(ISessionContext context, IMessageTransaction transaction, System.Buffers.ReadOnlySequence<byte> buffer, CancellationToken cancellationToken)
        {
            using var stream = new MemoryStream(System.Buffers.BuffersExtensions.ToArray(buffer));
            Mails.Add(await MimeMessage.LoadAsync(stream, cancellationToken));
            return SmtpResponse.Ok;
        }
    }
}
