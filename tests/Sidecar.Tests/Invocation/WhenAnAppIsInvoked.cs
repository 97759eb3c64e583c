using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Dapr.Client;
using Grpc.Core;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Xunit;

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
        Assert.Equal("404", refusal.Trailers.GetValue("dapr-http-status"));
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
