using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Dapr.Client;
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
    private const string Files = """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: files}
        spec:
          type: bindings.localstorage
          metadata: [{name: rootPath, value: "kept"}]
        """;

    [Fact]
    public async Task Local_storage_keeps_files_below_its_folder()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync(Files, new AppUnderTest("shop"));
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
    public async Task A_file_as_large_as_its_app_may_send_goes_in_and_comes_back_byte_for_byte()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync(Files, new AppUnderTest("pictures", MaxBodyBytes: 16 << 20), new AppUnderTest("shop"));
        var file = new byte[15 << 20];
        Random.Shared.NextBytes(file);
        file[0] = 0xFF;                                             // no text, so that nobody takes it for base64

        using var pictures = sidecars.Client(largestAnswer: 16 << 20);
        await pictures.InvokeBindingAsync(new BindingRequest("files", "create") { Data = file, Metadata = { ["fileName"] = "large" } });
        var back = await pictures.InvokeBindingAsync(new BindingRequest("files", "get") { Metadata = { ["fileName"] = "large" } });
        Assert.True(back.Data.Span.SequenceEqual(file));

        // The other app's sidecar has a smaller limit of its own.
        using var shop = sidecars.Client(1);
        var refusal = await Answers.RefusedAsync(() => shop.InvokeBindingAsync(new BindingRequest("files", "create") { Data = file, Metadata = { ["fileName"] = "small" } }));
        Assert.Equal(Grpc.Core.StatusCode.ResourceExhausted, refusal.StatusCode);
        Assert.False(File.Exists(Path.Combine(sidecars.Folder, "kept", "small")));
    }

    [Fact]
    public async Task Unknown_bindings_and_operations_are_errors()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync(Files, new AppUnderTest("shop"));
        using var http = sidecars.Http();

        using var unknown = await http.PostAsJsonAsync("/v1.0/bindings/nothing", new { operation = "create" });
        Assert.Equal(HttpStatusCode.InternalServerError, unknown.StatusCode);

        using var operation = await http.PostAsJsonAsync("/v1.0/bindings/files", new { operation = "sing" });
        Assert.Equal(HttpStatusCode.InternalServerError, operation.StatusCode);
        Assert.Contains("does not support operation sing", await operation.Content.ReadAsStringAsync());

        using var none = await http.PostAsJsonAsync("/v1.0/bindings/files", new { data = 1 });
        Assert.Contains("error invoking output binding files: operation field is missing from request", await none.Content.ReadAsStringAsync());

        using var dapr = sidecars.Client();
        var refusal = await Answers.RefusedAsync(() => dapr.InvokeBindingAsync("nothing", "create", 1));
        Assert.Equal((Grpc.Core.StatusCode.Internal, "ERR_INVOKE_OUTPUT_BINDING"), (refusal.StatusCode, refusal.Info()!.Reason));

        using var broken = await http.PostAsync("/v1.0/bindings/files", new StringContent("{", Encoding.UTF8, "application/json"));
        Assert.Equal(HttpStatusCode.BadRequest, broken.StatusCode);
    }

    [Fact]
    public async Task A_request_goes_out_to_a_server_and_its_answer_comes_back_with_metadata()
    {
        await using var server = await TestApp.StartAsync(app =>
        {
            app.MapMethods("/api/{**rest}", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"], async (HttpContext http) =>
            {
                using var body = new StreamReader(http.Request.Body);
                http.Response.Headers.Append("X-Many", "one");
                http.Response.Headers.Append("X-Many", "two");
                return Results.Text($"{http.Request.Method} {http.Request.Path}{http.Request.QueryString} {http.Request.ContentType} {http.Request.Headers.Accept} {http.Request.Headers["X-Key"]} {http.Request.Headers["X-Token"]} {await body.ReadToEndAsync()}");
            });
            app.MapGet("/gone", () => Results.Text("long gone", statusCode: 410));
            app.MapGet("/nothing", () => Results.NoContent());
        });
        await using var sidecars = await SidecarsUnderTest.StartAsync($$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: web}
            spec:
              type: bindings.http
              version: v1
              metadata: [{name: url, value: "http://127.0.0.1:{{server.Port}}/"}, {name: securityToken, value: "sesame"}, {name: securityTokenHeader, value: "X-Token"}]
            """, new AppUnderTest("shop"));
        using var http = sidecars.Http();

        using var get = await http.PostAsJsonAsync("/v1.0/bindings/web", new Dictionary<string, object> { ["operation"] = "get", ["metadata"] = new Dictionary<string, string> { ["path"] = "/api/a?b=c", ["X-Key"] = "k" } });
        Assert.Equal((HttpStatusCode.OK, "GET /api/a?b=c  application/json; charset=utf-8 k sesame "), (get.StatusCode, await get.Content.ReadAsStringAsync()));
        Assert.Equal(("200", "200 OK", "one, two"), (get.Headers.GetValues("metadata.statusCode").Single(), get.Headers.GetValues("metadata.status").Single(), get.Headers.GetValues("metadata.X-Many").Single()));

        using var create = await http.PostAsJsonAsync("/v1.0/bindings/web", new { operation = "create", data = new { b = 1, a = 2 }, metadata = new { path = "api" } });
        Assert.Equal("POST /api application/json; charset=utf-8 application/json; charset=utf-8  sesame {\"a\":2,\"b\":1}", await create.Content.ReadAsStringAsync());

        using var put = await http.PostAsJsonAsync("/v1.0/bindings/web", new Dictionary<string, object> { ["operation"] = "put", ["data"] = "text", ["metadata"] = new Dictionary<string, string> { ["path"] = "api", ["Content-Type"] = "text/plain", ["Accept"] = "text/html" } });
        Assert.Equal("PUT /api text/plain text/html  sesame \"text\"", await put.Content.ReadAsStringAsync());

        using var gone = await http.PostAsJsonAsync("/v1.0/bindings/web", new { operation = "get", metadata = new { path = "gone" } });
        Assert.Equal("410", gone.Headers.GetValues("metadata.statusCode").Single());
        Assert.Equal((500, "ERR_INVOKE_OUTPUT_BINDING"), await gone.RefusalAsync());

        using var accepted = await http.PostAsJsonAsync("/v1.0/bindings/web", new { operation = "get", metadata = new { path = "gone", errorIfNot2XX = "false" } });
        Assert.Equal((HttpStatusCode.OK, "long gone"), (accepted.StatusCode, await accepted.Content.ReadAsStringAsync()));

        using var nothing = await http.PostAsJsonAsync("/v1.0/bindings/web", new { operation = "get", metadata = new { path = "nothing" } });
        Assert.Equal((HttpStatusCode.OK, "", "204"), (nothing.StatusCode, await nothing.Content.ReadAsStringAsync(), nothing.Headers.GetValues("metadata.statusCode").Single()));

        using var dapr = sidecars.Client();
        var reply = await dapr.InvokeBindingAsync(new BindingRequest("web", "post") { Data = "raw"u8.ToArray(), Metadata = { ["path"] = "api" } });
        Assert.Equal("POST /api application/json; charset=utf-8 application/json; charset=utf-8  sesame raw", Encoding.UTF8.GetString(reply.Data.Span));
        Assert.Equal("200", reply.Metadata["statusCode"]);
    }

    [Fact]
    public async Task The_app_says_by_its_answer_whether_it_wants_a_binding_unless_the_component_does()
    {
        var asked = new ConcurrentQueue<string>();
        await using var app = await TestApp.StartAsync(server =>
        {
            server.Use((http, next) =>
            {
                asked.Enqueue($"{http.Request.Method} {http.Request.Path}");
                return next(http);
            });
            server.MapPost("/wanted", () => Results.Ok());   // OPTIONS is answered with 405: it is there
            server.MapMethods("/polite", ["OPTIONS"], () => Results.Ok());
            server.MapPost("/polite", () => Results.StatusCode(500));
            server.MapPost("/elsewhere", () => Results.Ok());
            server.MapPost("/sure", () => Results.Ok());
            server.MapPost("/outgoing", () => Results.Ok());
        });
        await using var sidecars = await SidecarsUnderTest.StartAsync(string.Join("\n---\n", new (string Name, string More)[]
        {
            ("wanted", ""), ("polite", ""), ("unwanted", ""), ("routed", ", {name: route, value: /elsewhere}"), ("sure", ", {name: direction, value: \"input, output\"}"), ("outgoing", ", {name: direction, value: output}"),
        }.Select(one => $$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: {{one.Name}}}
            spec:
              type: bindings.cron
              version: v1
              metadata: [{name: schedule, value: "@every 1s"}{{one.More}}]
            """)), new AppUnderTest("shop", app.Port));

        foreach (var ticked in (string[])["/wanted", "/polite", "/elsewhere", "/sure"])
            await Eventually.Async(() => asked.Count(line => line == "POST " + ticked) >= 2, $"{ticked} hears the clock twice");
        Assert.DoesNotContain("POST /unwanted", asked);
        Assert.DoesNotContain("POST /outgoing", asked);
        Assert.Equal(["/elsewhere", "/polite", "/unwanted", "/wanted"], asked.Where(line => line.StartsWith("OPTIONS", StringComparison.Ordinal)).Select(line => line[8..]).Distinct().Order());
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
