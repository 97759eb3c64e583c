using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Dapr.Client;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Xunit;
using Autogen = Dapr.Client.Autogen.Grpc.v1;

namespace Marketplace.Sidecar.Tests.State;

/// <summary>Codes, bodies and details of what goes wrong, the same for every store; and what else needs only one.</summary>
[EverySidecar]
public sealed class WhenStateIsRefused : IAsyncLifetime
{
    private SidecarsUnderTest sidecars = null!;
    private HttpClient http = null!;
    private DaprClient dapr = null!;
    private GrpcChannel channel = null!;
    private Autogen.Dapr.DaprClient grpc = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        const string Resources = """
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: store}
            spec: {type: state.in-memory, version: v1, metadata: []}
            """;
        sidecars = await SidecarsUnderTest.StartAsync(Resources, new AppUnderTest("shop"), new AppUnderTest("bare", Resources: ""));
        http = sidecars.Http();
        dapr = sidecars.Client();
        channel = GrpcChannel.ForAddress($"http://127.0.0.1:{sidecars.GrpcPort()}");
        grpc = new Autogen.Dapr.DaprClient(channel);
    }

    public async ValueTask DisposeAsync()
    {
        channel.Dispose();
        dapr.Dispose();
        http.Dispose();
        await sidecars.DisposeAsync();
    }

    [Fact]
    public async Task An_unknown_store_is_named_with_details()
    {
        var (status, body) = await http.GetAsync("/v1.0/state/nowhere/key", Ct).BodyAsync();
        Assert.Equal(400, status);
        Assert.Equal(
            """{"errorCode":"ERR_STATE_STORE_NOT_FOUND","message":"state store nowhere is not found","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"dapr.io","metadata":{"appID":"shop"},"reason":"DAPR_STATE_NOT_FOUND"}]}""",
            Sorted(body));

        var refusal = await Answers.RefusedAsync(() => dapr.GetStateAsync<int>("nowhere", "key", cancellationToken: Ct));
        Assert.Equal((StatusCode.InvalidArgument, "DAPR_STATE_NOT_FOUND", "shop"), (refusal.StatusCode, refusal.Info()!.Reason, refusal.Info()!.Metadata["appID"]));
    }

    [Fact]
    public async Task An_app_without_any_store_hears_so()
    {
        using var bare = sidecars.Http(1);
        var (status, body) = await bare.GetAsync("/v1.0/state/store/key", Ct).BodyAsync();
        Assert.Equal(500, status);
        Assert.Contains("""{"errorCode":"ERR_STATE_STORE_NOT_CONFIGURED","message":"state store store is not configured",""", body);
        Assert.Contains("DAPR_STATE_NOT_CONFIGURED", body);

        using var client = sidecars.Client(1);
        Assert.Equal(StatusCode.FailedPrecondition, (await Answers.RefusedAsync(() => client.GetStateAsync<int>("store", "key", cancellationToken: Ct))).StatusCode);
    }

    [Fact]
    public async Task A_key_with_the_separator_is_refused_with_the_field_and_the_store()
    {
        foreach (var asking in (Func<Task<HttpResponseMessage>>[])
        [
            () => http.PostAsJsonAsync("/v1.0/state/store", new[] { new { key = "a||b", value = 1 } }),
            () => http.GetAsync("/v1.0/state/store/a%7C%7Cb"),
            () => http.DeleteAsync("/v1.0/state/store/a%7C%7Cb"),
            () => http.PostAsJsonAsync("/v1.0/state/store/bulk", new { keys = new[] { "a||b" } }),
            () => http.PostAsJsonAsync("/v1.0/state/store/transaction", new { operations = new[] { new { operation = "upsert", request = new { key = "a||b", value = 1 } } } }),
        ])
        {
            var (status, body) = await asking().BodyAsync();
            Assert.Equal(400, status);
            using var json = JsonDocument.Parse(body);
            Assert.Equal("ERR_MALFORMED_REQUEST", json.RootElement.GetProperty("errorCode").GetString());
            Assert.EndsWith("input key/keyPrefix 'a||b' can't contain '||'", json.RootElement.GetProperty("message").GetString(), StringComparison.Ordinal);
            Assert.Equal(
                ["type.googleapis.com/google.rpc.BadRequest", "type.googleapis.com/google.rpc.ResourceInfo", "type.googleapis.com/google.rpc.ErrorInfo"],
                json.RootElement.GetProperty("details").EnumerateArray().Select(detail => detail.GetProperty("@type").GetString()));
        }

        var refusal = await Answers.RefusedAsync(() => dapr.GetStateAsync<int>("store", "a||b", cancellationToken: Ct));
        Assert.Equal((StatusCode.InvalidArgument, "DAPR_STATE_ILLEGAL_KEY"), (refusal.StatusCode, refusal.Info()!.Reason));
    }

    [Fact]
    public async Task Over_grpc_the_error_code_is_the_reason()
    {
        var empty = await Assert.ThrowsAsync<RpcException>(async () => await grpc.SaveStateAsync(new Autogen.SaveStateRequest { StoreName = "store", States = { new Autogen.StateItem { Key = "" } } }, cancellationToken: Ct));
        Assert.Equal((StatusCode.InvalidArgument, "state key cannot be empty"), (empty.StatusCode, empty.Status.Detail));

        var stale = await Assert.ThrowsAsync<RpcException>(async () => await grpc.SaveStateAsync(new Autogen.SaveStateRequest { StoreName = "store", States = { Item("new", "1", "stale") } }, cancellationToken: Ct));
        Assert.Equal((StatusCode.Aborted, "ERR_STATE_SAVE"), (stale.StatusCode, stale.Info()!.Reason));

        var delete = await Assert.ThrowsAsync<RpcException>(async () => await grpc.DeleteStateAsync(new Autogen.DeleteStateRequest { StoreName = "store", Key = "new", Etag = new Autogen.Etag { Value = "stale" } }, cancellationToken: Ct));
        Assert.Equal((StatusCode.Aborted, "ERR_STATE_DELETE"), (delete.StatusCode, delete.Info()!.Reason));

        var transaction = await Assert.ThrowsAsync<RpcException>(async () => await grpc.ExecuteStateTransactionAsync(new Autogen.ExecuteStateTransactionRequest
        {
            StoreName = "store",
            Operations = { new Autogen.TransactionalStateOperation { OperationType = "upsert", Request = Item("new", "1", "stale") } },
        }, cancellationToken: Ct));
        Assert.Equal((StatusCode.Internal, "ERR_STATE_TRANSACTION"), (transaction.StatusCode, transaction.Info()!.Reason));

        var operation = await Assert.ThrowsAsync<RpcException>(async () => await grpc.ExecuteStateTransactionAsync(new Autogen.ExecuteStateTransactionRequest
        {
            StoreName = "store",
            Operations = { new Autogen.TransactionalStateOperation { OperationType = "sing", Request = Item("new", "1") } },
        }, cancellationToken: Ct));
        Assert.Equal((StatusCode.Unimplemented, "operation type sing not supported"), (operation.StatusCode, operation.Status.Detail));
    }

    [Fact]
    public async Task Of_many_deletes_the_others_are_done_when_one_is_refused()
    {
        await dapr.SaveStateAsync("store", "gone", 1, cancellationToken: Ct);
        await dapr.SaveStateAsync("store", "kept", 1, cancellationToken: Ct);

        var refusal = await Answers.RefusedAsync(() => dapr.DeleteBulkStateAsync("store", [new("kept", "stale"), new("gone", null!)], Ct));

        Assert.Equal((StatusCode.Aborted, "ERR_STATE_BULK_DELETE"), (refusal.StatusCode, refusal.Info()!.Reason));
        Assert.Equal((1, 0), (await dapr.GetStateAsync<int>("store", "kept", cancellationToken: Ct), await dapr.GetStateAsync<int>("store", "gone", cancellationToken: Ct)));
    }

    [Fact]
    public async Task Of_many_saves_the_others_are_done_when_one_is_refused()
    {
        object[] items = [new { key = "fine", value = 1 }, new { key = "refused", value = 1, etag = "stale" }];
        Assert.Equal((409, "ERR_STATE_SAVE"), await http.PostAsJsonAsync("/v1.0/state/store", items, Ct).RefusalAsync());
        Assert.Equal(1, await dapr.GetStateAsync<int>("store", "fine", cancellationToken: Ct));
    }

    [Theory]
    [InlineData("""[{"value":1}]""", 400, "ERR_MALFORMED_REQUEST")]
    [InlineData("""{"key":"a"}""", 400, "ERR_MALFORMED_REQUEST")]
    [InlineData("""[{"key":"a","value":1,"options":{"concurrency":"both"}}]""", 500, "ERR_STATE_SAVE")]
    [InlineData("""[{"key":"a","value":1,"metadata":{"ttlInSeconds":"soon"}}]""", 500, "ERR_STATE_SAVE")]
    public async Task What_cannot_be_saved_is_told_apart(string body, int status, string code)
    {
        using var json = new StringContent(body, Encoding.UTF8, "application/json");
        Assert.Equal((status, code), await http.PostAsync("/v1.0/state/store", json, Ct).RefusalAsync());
    }

    [Theory]
    [InlineData("POST", "/v1.0/state/store", "[]", 204, "")]
    [InlineData("PUT", "/v1.0/state/store", """[{"key":"put","value":{"n":1}}]""", 204, "")]
    [InlineData("POST", "/v1.0/state/store/bulk", """{"keys":[]}""", 200, "[]")]
    [InlineData("POST", "/v1.0/state/store/transaction", """{"operations":[]}""", 204, "")]
    [InlineData("GET", "/v1.0/state/store/never", null, 204, "")]
    [InlineData("DELETE", "/v1.0/state/store/never", null, 204, "")]
    [InlineData("GET", "/v1.0//state//store/never/", null, 204, "")]
    public async Task Nothing_to_say_is_204(string verb, string path, string? body, int status, string answer)
    {
        using var request = new HttpRequestMessage(new HttpMethod(verb), path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
        var (answered, text) = await http.SendAsync(request, Ct).BodyAsync();
        Assert.Equal((status, answer), (answered, text.TrimEnd()));
    }

    [Fact]
    public async Task Metadata_of_the_query_stands_above_that_of_an_item()
    {
        using var json = new StringContent("""[{"key":"short","value":1,"metadata":{"ttlInSeconds":"-1"}}]""", Encoding.UTF8, "application/json");
        Assert.Equal(204, (await http.PostAsync("/v1.0/state/store?metadata.ttlInSeconds=100", json, Ct).BodyAsync()).Status);
        using var answer = await http.GetAsync("/v1.0/state/store/short", Ct);
        Assert.True(answer.Headers.Contains("metadata.ttlExpireTime"));
    }

    [Fact]
    public async Task What_is_called_json_over_grpc_is_parsed_and_the_rest_is_not()
    {
        const string Text = """{"b":1.50, "a":"<"}""";
        await grpc.SaveStateAsync(new Autogen.SaveStateRequest { StoreName = "store", States = { Item("plain", Text), Item("json", Text, contentType: "application/json") } }, cancellationToken: Ct);
        Assert.Equal(Text, await http.GetStringAsync("/v1.0/state/store/plain", Ct));
        Assert.Equal("""{"a":"\u003c","b":1.5}""", await http.GetStringAsync("/v1.0/state/store/json", Ct));

        var broken = await Assert.ThrowsAsync<RpcException>(async () => await grpc.SaveStateAsync(new Autogen.SaveStateRequest { StoreName = "store", States = { Item("json", "{", contentType: "application/json") } }, cancellationToken: Ct));
        Assert.Equal(StatusCode.Unknown, broken.StatusCode);
    }

    [Fact]
    public async Task A_body_over_the_limit_is_one_that_cannot_be_read()
    {
        using var large = new StringContent($$"""[{"key":"large","value":"{{new string('x', 4 << 20)}}"}]""", Encoding.UTF8, "application/json");
        Assert.Equal((400, "ERR_MALFORMED_REQUEST"), await http.PostAsync("/v1.0/state/store", large, Ct).RefusalUnlessCutOffAsync(400, "ERR_MALFORMED_REQUEST"));

        var refusal = await Assert.ThrowsAsync<RpcException>(async () => await grpc.SaveStateAsync(new Autogen.SaveStateRequest { StoreName = "store", States = { Item("large", new string('x', 5 << 20)) } }, cancellationToken: Ct));
        Assert.Equal(StatusCode.ResourceExhausted, refusal.StatusCode);
    }

    [Fact]
    public async Task What_no_sidecar_knows_is_for_an_app_and_needs_its_name()
    {
        var call = channel.CreateCallInvoker().AsyncUnaryCall(
            new Method<Autogen.GetStateRequest, Autogen.GetStateResponse>(MethodType.Unary, "acme.Orders", "Get", Marshallers.Create(message => message.ToByteArray(), Autogen.GetStateRequest.Parser.ParseFrom), Marshallers.Create(message => message.ToByteArray(), Autogen.GetStateResponse.Parser.ParseFrom)),
            null, new CallOptions(cancellationToken: Ct), new Autogen.GetStateRequest());
        var refusal = await Assert.ThrowsAsync<RpcException>(async () => await call);
        Assert.Equal((StatusCode.Unknown, "failed to proxy request: required metadata dapr-callee-app-id or dapr-app-id not found"), (refusal.StatusCode, refusal.Status.Detail));
    }

    private static Autogen.StateItem Item(string key, string value, string? etag = null, string? contentType = null)
    {
        var item = new Autogen.StateItem { Key = key, Value = ByteString.CopyFromUtf8(value) };
        if (etag is not null) item.Etag = new Autogen.Etag { Value = etag };
        if (contentType is not null) item.Metadata.Add("contentType", contentType);
        return item;
    }

    /// <summary>The same JSON with the keys inside details in order: Go sorts them, and a reader may not care.</summary>
    private static string Sorted(string body)
    {
        using var json = JsonDocument.Parse(body);
        var root = json.RootElement;
        return $$"""{"errorCode":"{{root.GetProperty("errorCode")}}","message":"{{root.GetProperty("message")}}","details":{{Encoding.UTF8.GetString(Local.Sidecar.GoJson.Rewrite(root.GetProperty("details")))}}}""";
    }
}
