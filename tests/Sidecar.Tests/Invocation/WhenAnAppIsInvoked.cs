using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Dapr.Client;
using Grpc.Core;
using Grpc.Net.Client;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Xunit;
using Autogen = Dapr.Client.Autogen.Grpc.v1;

namespace Marketplace.Sidecar.Tests.Invocation;

[EverySidecar]
public sealed class WhenAnAppIsInvoked : IAsyncLifetime
{
    private TestApp callee = null!;
    private SidecarsUnderTest sidecars = null!;
    private HttpClient http = null!;
    private readonly ConcurrentQueue<string> seen = new();

    public async ValueTask InitializeAsync()
    {
        callee = await TestApp.StartAsync(app =>
        {
            app.MapMethods("/echo/{**rest}", ["GET", "POST", "PUT", "PATCH", "DELETE"], async (HttpContext http) =>
            {
                using var body = new StreamReader(http.Request.Body);
                http.Response.Headers["x-answer"] = "42";
                return Results.Json(new
                {
                    method = http.Request.Method,
                    target = http.Features.Get<IHttpRequestFeature>()!.RawTarget,
                    headers = http.Request.Headers.ToDictionary(header => header.Key.ToLowerInvariant(), header => header.Value.ToString()),
                    body = await body.ReadToEndAsync(),
                }, statusCode: 201);
            });
            app.MapGet("/status/{code:int}", (int code) => code == 204 ? Results.NoContent() : Results.Text("as it is", statusCode: code));
            app.MapPost("/count", () => seen.Enqueue("count"));
            app.MapGet("/slowly", async (HttpContext http) =>
            {
                await http.Response.WriteAsync("first ");
                await http.Response.Body.FlushAsync();
                await released.Task;
                await http.Response.WriteAsync("second");
            });
            app.MapPost("/upload", async (HttpContext http) =>
            {
                var buffer = new byte[16 << 10];
                var count = await http.Request.Body.ReadAtLeastAsync(buffer, buffer.Length);
                released.TrySetResult();
                for (int more; (more = await http.Request.Body.ReadAsync(buffer)) > 0;)
                    count += more;

                return count;
            });
            app.MapPost("/length", async (HttpContext http) =>
            {
                var count = 0L;
                var buffer = new byte[64 << 10];
                for (int more; (more = await http.Request.Body.ReadAsync(buffer)) > 0;) count += more;
                return count;
            });
            app.MapGet("/events", async (HttpContext http) =>
            {
                http.Response.ContentType = "text/event-stream";
                await http.Response.WriteAsync("data: one\n\n");
                await http.Response.Body.FlushAsync();
                await released.Task;
                await http.Response.WriteAsync("data: two\n\n");
            });
            app.MapGet("/hello", (string? name) => new { greeting = $"hello {name}" });
        });
        sidecars = await SidecarsUnderTest.StartAsync("", new AppUnderTest("caller", AppToken: "app-token"), new AppUnderTest("callee", callee.Port), new AppUnderTest("portless"));
        http = sidecars.Http();
        await sidecars.ReadyAsync();
    }

    private readonly TaskCompletionSource released = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public async ValueTask DisposeAsync()
    {
        http.Dispose();
        await sidecars.DisposeAsync();
        await callee.DisposeAsync();
    }

    [Fact]
    public async Task Verb_path_query_headers_and_body_pass_through()
    {
        using var request = new HttpRequestMessage(HttpMethod.Patch, "/v1.0/invoke/callee/method/echo/a%20b//c/../d?x=1&y=%2F") { Content = JsonContent.Create(new { n = 1 }) };
        request.Headers.Add("x-question", "why");
        request.Headers.Add("dapr-caller-app-id", "somebody-else");
        request.Headers.Add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        using var answer = await http.SendAsync(request);
        var echo = await answer.Content.ReadFromJsonAsync<JsonElement>();
        string? Header(string name) => echo.GetProperty("headers").TryGetProperty(name, out var value) ? value.GetString() : null;

        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        Assert.Equal("42", answer.Headers.GetValues("x-answer").Single());
        Assert.Equal("PATCH", echo.GetProperty("method").GetString());
        Assert.Equal("/echo/a%20b/d?x=1&y=%2F", echo.GetProperty("target").GetString());
        Assert.Equal("""{"n":1}""", echo.GetProperty("body").GetString());
        Assert.Equal("why", Header("x-question"));
        Assert.Equal("caller", Header("dapr-caller-app-id"));
        Assert.Equal("callee", Header("dapr-callee-app-id"));
        Assert.Equal("app-token", Header("dapr-api-token"));
        Assert.Contains("0af7651916cd43dd8448eb211c80319c", Header("traceparent"));
        Assert.StartsWith("application/json", Header("content-type"));
    }

    [Theory]
    [InlineData(204)]
    [InlineData(404)]
    [InlineData(409)]
    [InlineData(500)]
    [InlineData(503)]
    public async Task A_status_of_the_app_is_no_error_of_the_sidecar(int status)
    {
        using var answer = await http.GetAsync($"/v1.0/invoke/callee/method/status/{status}");
        Assert.Equal(status, (int)answer.StatusCode);
        Assert.Equal(status == 204 ? "" : "as it is", await answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task An_answer_streams_while_the_app_still_writes()
    {
        using var answer = await http.GetAsync("/v1.0/invoke/callee/method/slowly", HttpCompletionOption.ResponseHeadersRead);
        using var body = await answer.Content.ReadAsStreamAsync();
        var buffer = new byte[6];
        await body.ReadExactlyAsync(buffer).AsTask().WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal("first ", Encoding.UTF8.GetString(buffer));

        released.SetResult();
        using var rest = new StreamReader(body);
        Assert.Equal("second", await rest.ReadToEndAsync());
    }

    [Fact]
    public async Task A_request_streams_while_the_caller_still_writes()
    {
        var body = new Written();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1.0/invoke/callee/method/upload") { Content = body };
        var sending = http.SendAsync(request);
        await body.WriteAsync(new string('a', 40 << 10));
        await released.Task.WaitAsync(TimeSpan.FromSeconds(10));  // the app has read before there is more
        await body.WriteAsync("the end");
        body.Finish();
        using var answer = await sending;
        Assert.Equal($"{(40 << 10) + 7}", await answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task The_target_may_stand_in_a_header()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/echo/by-header?q=1");
        request.Headers.Add("dapr-app-id", "callee");
        using var answer = await http.SendAsync(request);
        var echo = await answer.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal("/echo/by-header?q=1", echo.GetProperty("target").GetString());
        Assert.False(echo.GetProperty("headers").TryGetProperty("dapr-app-id", out _));
    }

    [Fact]
    public async Task Who_is_not_there_is_a_500_of_the_sidecar()
    {
        foreach (var app in (string[])["nobody", "portless"])
        {
            using var answer = await http.GetAsync($"/v1.0/invoke/{app}/method/hello");
            Assert.Equal(HttpStatusCode.InternalServerError, answer.StatusCode);
            var error = await answer.Content.ReadFromJsonAsync<JsonElement>();
            Assert.Equal("ERR_DIRECT_INVOKE", error.GetProperty("errorCode").GetString());
            Assert.StartsWith($"failed to invoke, id: {app}", error.GetProperty("message").GetString());
        }

        using var nothing = await http.GetAsync("/no/such/route");
        Assert.Equal(HttpStatusCode.NotFound, nothing.StatusCode);
        Assert.Contains("ERR_DIRECT_INVOKE", await nothing.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task The_official_client_invokes_over_http_and_over_grpc()
    {
        using var dapr = sidecars.Client();
        using var client = DaprClient.CreateInvokeHttpClient("callee", $"http://127.0.0.1:{sidecars.HttpPort()}");
        Assert.Equal("hello Ada", (await client.GetFromJsonAsync<JsonElement>("/hello?name=Ada")).GetProperty("greeting").GetString());

#pragma warning disable CS0618 // Old clients still call it.
        var invocation = await Assert.ThrowsAsync<InvocationException>(() => dapr.InvokeMethodGrpcAsync("callee", "nowhere", new Google.Protobuf.WellKnownTypes.StringValue { Value = "x" }));
#pragma warning restore CS0618
        var refusal = Assert.IsType<RpcException>(invocation.InnerException);
        Assert.Equal(StatusCode.NotFound, refusal.StatusCode);
        Assert.Equal(("404", "Not Found"), (refusal.Info()!.Metadata["http.code"], refusal.Info()!.Reason));
    }

    [Theory]
    [InlineData(200, StatusCode.OK)]
    [InlineData(400, StatusCode.Internal)]
    [InlineData(401, StatusCode.Unauthenticated)]
    [InlineData(403, StatusCode.PermissionDenied)]
    [InlineData(408, StatusCode.Cancelled)]
    [InlineData(409, StatusCode.AlreadyExists)]
    [InlineData(418, StatusCode.Unknown)]
    [InlineData(429, StatusCode.ResourceExhausted)]
    [InlineData(500, StatusCode.Unknown)]
    [InlineData(501, StatusCode.Unimplemented)]
    [InlineData(503, StatusCode.Unavailable)]
    [InlineData(504, StatusCode.DeadlineExceeded)]
    public async Task Over_grpc_a_status_of_the_app_becomes_a_code_and_stays_in_a_header(int status, StatusCode code)
    {
        using var channel = GrpcChannel.ForAddress($"http://127.0.0.1:{sidecars.GrpcPort()}");
        using var call = new Autogen.Dapr.DaprClient(channel).InvokeServiceAsync(new Autogen.InvokeServiceRequest
        {
            Id = "callee",
            Message = new Autogen.InvokeRequest { Method = $"status/{status}", HttpExtension = new Autogen.HTTPExtension { Verb = Autogen.HTTPExtension.Types.Verb.Get } },
        });
        if (code == StatusCode.OK)
        {
            var answer = await call;
            Assert.Equal(("as it is", "text/plain; charset=utf-8"), (answer.Data.Value.ToStringUtf8(), answer.ContentType));
        }
        else
        {
            var refusal = await Assert.ThrowsAsync<RpcException>(async () => await call);
            Assert.Equal((code, "as it is", $"{status}"), (refusal.StatusCode, refusal.Info()!.Metadata["http.error_message"], refusal.Info()!.Metadata["http.code"]));
        }

        Assert.Equal($"{status}", (await call.ResponseHeadersAsync).GetValue("dapr-http-status"));
    }

    [Fact]
    public async Task Over_grpc_an_app_that_is_not_there_is_an_internal_error()
    {
        using var channel = GrpcChannel.ForAddress($"http://127.0.0.1:{sidecars.GrpcPort()}");
        var client = new Autogen.Dapr.DaprClient(channel);
        foreach (var (id, method) in new[] { ("nobody", "hello"), ("callee", "hel#lo") })
        {
            var refusal = await Assert.ThrowsAsync<RpcException>(async () => await client.InvokeServiceAsync(new Autogen.InvokeServiceRequest
            {
                Id = id,
                Message = new Autogen.InvokeRequest { Method = method, HttpExtension = new Autogen.HTTPExtension { Verb = Autogen.HTTPExtension.Types.Verb.Get } },
            }));
            Assert.Equal(StatusCode.Internal, refusal.StatusCode);
            Assert.StartsWith($"failed to invoke, id: {id}", refusal.Status.Detail, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("echo/plain", "/echo/plain")]
    [InlineData("echo/slash/", "/echo/slash")]
    [InlineData("echo//two///", "/echo/two")]
    [InlineData("echo/./here", "/echo/here")]
    [InlineData("echo/a/../b", "/echo/b")]
    [InlineData("../../echo/up", "/echo/up")]
    [InlineData("echo/a%2Fb", "/echo/a/b")]
    [InlineData("echo/a/%2e%2e/b", "/echo/b")]
    [InlineData("echo/a%20b", "/echo/a%20b")]
    [InlineData("echo/%C3%A9", "/echo/%C3%A9")]
    [InlineData("echo/a+b!(c)", "/echo/a+b!(c)")]
    [InlineData("echo/a%2Bb", "/echo/a+b")]
    [InlineData("echo/q?x=%2F&y=a+b&&z", "/echo/q?x=%2F&y=a+b&&z")]
    public async Task A_path_is_decoded_cleaned_and_escaped_anew(string method, string target)
    {
        // The address is sent as it stands here: the client would clean it itself.
        using var answer = await RawAsync($"/v1.0/invoke/callee/method/{method}");
        var echo = await answer.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal(target, echo.GetProperty("target").GetString());
    }

    [Theory]
    [InlineData("echo/a%23b")]
    [InlineData("echo/a%3Fb")]
    [InlineData("echo/a%0Ab")]
    [InlineData("echo/a%7Fb")]
    public async Task Some_characters_are_refused_in_a_path(string method)
    {
        using var answer = await RawAsync($"/v1.0/invoke/callee/method/{method}");
        Assert.Equal((500, "ERR_DIRECT_INVOKE"), await answer.RefusalAsync());
    }

    [Theory]
    [InlineData("GET")]
    [InlineData("PUT")]
    [InlineData("DELETE")]
    [InlineData("PATCH")]
    public async Task The_verb_stays(string verb)
    {
        using var request = new HttpRequestMessage(new HttpMethod(verb), "/v1.0/invoke/callee/method/echo/verb");
        using var answer = await http.SendAsync(request);
        Assert.Equal(verb, (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("method").GetString());
    }

    [Fact]
    public async Task What_belongs_to_one_connection_stays_behind_and_the_way_is_told()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1.0/invoke/callee/method/echo/headers");
        request.Headers.TryAddWithoutValidation("Connection", "x-nominated");
        request.Headers.TryAddWithoutValidation("Keep-Alive", "timeout=5");
        request.Headers.TryAddWithoutValidation("Upgrade", "websocket");
        request.Headers.TryAddWithoutValidation("Proxy-Authorization", "Basic dGVzdA==");
        request.Headers.TryAddWithoutValidation("TE", "trailers");
        request.Headers.TryAddWithoutValidation("x-nominated", "1");
        request.Headers.TryAddWithoutValidation("x-several", ["one", "two"]);
        request.Headers.TryAddWithoutValidation("Authorization", "Bearer abc");
        request.Headers.TryAddWithoutValidation("dapr-api-token", "guessed");
        using var answer = await http.SendAsync(request);
        var headers = (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("headers");

        foreach (var gone in (string[])["keep-alive", "upgrade", "proxy-authorization", "te", "x-nominated", "content-type"])
            Assert.False(headers.TryGetProperty(gone, out var _), gone);
        Assert.Equal("Bearer abc", headers.GetProperty("authorization").GetString());
        Assert.Equal("app-token", headers.GetProperty("dapr-api-token").GetString());
        Assert.Contains("one", headers.GetProperty("x-several").GetString());
        Assert.Equal("default", headers.GetProperty("dapr-caller-namespace").GetString());
        Assert.NotEmpty(headers.GetProperty("traceparent").GetString()!);
        foreach (var added in (string[])["x-forwarded-for", "x-forwarded-host", "forwarded"]) Assert.True(headers.TryGetProperty(added, out var _), added);
    }

    [Fact]
    public async Task An_app_that_invokes_itself_is_no_caller()
    {
        using var own = sidecars.Http(1);
        using var answer = await own.GetAsync("/v1.0/invoke/callee/method/echo/self");
        var headers = (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("headers");
        Assert.False(headers.TryGetProperty("dapr-caller-app-id", out _));

        using var portless = sidecars.Http(2);
        var (status, body) = await portless.GetAsync("/v1.0/invoke/portless/method/hello").BodyAsync();
        Assert.Equal(500, status);
        Assert.Contains("app channel", body);
    }

    [Fact]
    public async Task A_name_may_carry_its_namespace_and_the_user_of_basic_authentication_may_be_the_target()
    {
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/v1.0/invoke/callee.default/method/hello")).StatusCode);

        using var request = new HttpRequestMessage(HttpMethod.Get, "/hello?name=Ada");
        request.Headers.Authorization = new("Basic", Convert.ToBase64String("dapr-app-id:callee"u8));
        Assert.Equal(HttpStatusCode.OK, (await http.SendAsync(request)).StatusCode);
    }

    [Fact]
    public async Task Four_mebibytes_pass_and_one_byte_more_does_not()
    {
        using var fits = await http.PostAsync("/v1.0/invoke/callee/method/length", new ByteArrayContent(new byte[4 << 20]));
        Assert.Equal($"{4 << 20}", await fits.Content.ReadAsStringAsync());

        Assert.Equal((500, "ERR_DIRECT_INVOKE"), await http.PostAsync("/v1.0/invoke/callee/method/length", new ByteArrayContent(new byte[(4 << 20) + 1])).RefusalUnlessCutOffAsync(500, "ERR_DIRECT_INVOKE"));
    }

    [Fact]
    public async Task Events_of_a_server_arrive_one_by_one()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1.0/invoke/callee/method/events");
        request.Headers.Accept.ParseAdd("text/event-stream");
        using var answer = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal("text/event-stream", answer.Content.Headers.ContentType?.MediaType);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync());
        Assert.Equal("data: one", await reader.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(10)));
        released.SetResult();
        await reader.ReadLineAsync();
        Assert.Equal("data: two", await reader.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(10)));
    }

    /// <summary>A request whose target goes out exactly as given.</summary>
    private async Task<HttpResponseMessage> RawAsync(string target)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri($"http://127.0.0.1:{sidecars.HttpPort()}{target}", new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }));
        return await http.SendAsync(request);
    }

    [Fact]
    public async Task A_fault_strikes_before_or_after_the_app_does_its_work()
    {
        Assert.Null(sidecars.Host.Faults.TryAdd(new Fault { Kind = "invoke", Callee = "callee", Path = "/count", Mode = "before" }, out _));
        using (var before = await http.PostAsync("/v1.0/invoke/callee/method/count", null))
            Assert.Equal(HttpStatusCode.InternalServerError, before.StatusCode);
        Assert.Empty(seen);

        Assert.Null(sidecars.Host.Faults.TryAdd(new Fault { Kind = "invoke", Callee = "callee", Path = "/count", Mode = "after" }, out _));
        using (var after = await http.PostAsync("/v1.0/invoke/callee/method/count", null))
            Assert.Equal(HttpStatusCode.InternalServerError, after.StatusCode);
        Assert.Single(seen);

        using var healthy = await http.PostAsync("/v1.0/invoke/callee/method/count", null);
        Assert.Equal(HttpStatusCode.OK, healthy.StatusCode);
        Assert.Equal(1, sidecars.Host.Faults.All[0].Hits);
    }

    /// <summary>A body that the test writes piece by piece.</summary>
    private sealed class Written : HttpContent
    {
        private readonly TaskCompletionSource<Stream> opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource finished = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async Task WriteAsync(string text)
        {
            var stream = await opened.Task;
            await stream.WriteAsync(Encoding.UTF8.GetBytes(text));
            await stream.FlushAsync();
        }

        public void Finish() => finished.SetResult();

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            opened.SetResult(stream);
            return finished.Task;
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
