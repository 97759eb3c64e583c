using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Sidecar.Tests.Actors;

/// <summary>An app without any SDK: what the sidecar sends it on the wire, and what its answers mean.</summary>
[EverySidecar]
public sealed class WhenActorsAreHostedByHand : IAsyncLifetime
{
    private readonly ConcurrentQueue<(string Call, string Body)> calls = new();
    private TestApp app = null!;
    private SidecarsUnderTest sidecars = null!;
    private HttpClient http = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        app = await TestApp.StartAsync(server =>
        {
            server.Use(async (http, next) =>
            {
                using var body = new StreamReader(http.Request.Body);
                calls.Enqueue(($"{http.Request.Method} {http.Request.Path}{http.Request.QueryString}", await body.ReadToEndAsync()));
                await next(http);
            });
            server.MapGet("/dapr/config", () => new
            {
                entities = (string[])["Robot", "Brief"],
                entitiesConfig = new[] { new { entities = (string[])["Brief"], actorIdleTimeout = "1s" } },
            });
            server.MapMethods("/actors/{type}/{id}/method/{**method}", ["PUT", "POST", "GET"], (string method, HttpContext http) =>
            {
                if (method == "status/204") return Results.NoContent();
                if (method.StartsWith("status/", StringComparison.Ordinal)) return Results.Text("as it is", statusCode: int.Parse(method[7..], System.Globalization.CultureInfo.InvariantCulture));
                http.Response.Headers["x-answer"] = "42";
                if (method == "threw") http.Response.Headers["X-DaprErrorResponseHeader"] = "<error/>";
                return Results.Text("""{"done":true}""", "application/json");
            });
            server.MapDelete("/actors/{type}/{id}", () => Results.Ok());
        });
        sidecars = await SidecarsUnderTest.StartAsync("""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: actors}
            spec: {type: state.in-memory, version: v1, metadata: [{name: actorStateStore, value: "true"}]}
            """, new AppUnderTest("factory", app.Port));
        http = sidecars.Http();
        await Eventually.Async(async () => (await http.GetStringAsync("/v1.0/metadata", Ct)).Contains("\"Robot\"", StringComparison.Ordinal), "the types are known", TimeSpan.FromSeconds(90));
        Assert.Equal((200, """{"done":true}"""), await http.PutAsync("/v1.0/actors/Robot/r1/method/start", null, Ct).BodyAsync());
        calls.Clear();
    }

    public async ValueTask DisposeAsync()
    {
        http.Dispose();
        await sidecars.DisposeAsync();
        await app.DisposeAsync();
    }

    [Theory]
    [InlineData("GET")]
    [InlineData("POST")]
    [InlineData("PUT")]
    [InlineData("DELETE")]
    public async Task Whatever_the_verb_the_app_gets_a_put(string verb)
    {
        using var request = new HttpRequestMessage(new HttpMethod(verb), "/v1.0/actors/Robot/r1/method/wave?x=1");
        if (verb != "GET") request.Content = new StringContent("hello");
        using var answer = await http.SendAsync(request, Ct);

        Assert.Equal((HttpStatusCode.OK, """{"done":true}""", "42"), (answer.StatusCode, await answer.Content.ReadAsStringAsync(Ct), answer.Headers.GetValues("x-answer").Single()));
        Assert.Equal(("PUT /actors/Robot/r1/method/wave?x=1", verb == "GET" ? "" : "hello"), calls.Single());
    }

    [Theory]
    [InlineData(201, "error from actor service: (201) as it is")]
    [InlineData(204, "error from actor service: (204) ")]
    [InlineData(404, "actor method not found")]
    [InlineData(409, "error from actor service: (409) as it is")]
    [InlineData(500, "error from actor service: (500) as it is")]
    public async Task Anything_but_200_is_an_error_of_the_call(int status, string message)
    {
        var (answered, body) = await http.PutAsync($"/v1.0/actors/Robot/r1/method/status%2F{status}", null, Ct).BodyAsync();
        using var json = JsonDocument.Parse(body);
        Assert.Equal((500, "ERR_ACTOR_INVOKE_METHOD"), (answered, json.RootElement.GetProperty("errorCode").GetString()));
        Assert.Contains(message.TrimEnd(), json.RootElement.GetProperty("message").GetString());
    }

    [Fact]
    public async Task The_header_by_which_an_sdk_tells_of_an_exception_comes_through()
    {
        using var answer = await http.PutAsync("/v1.0/actors/Robot/r1/method/threw", null, Ct);
        Assert.Equal((HttpStatusCode.OK, "<error/>"), (answer.StatusCode, answer.Headers.GetValues("X-DaprErrorResponseHeader").Single()));
    }

    [Fact]
    public async Task State_is_one_transaction_of_an_active_actor()
    {
        using var json = new StringContent("""
            [{"operation":"upsert","request":{"key":"a","value":{"z":1,"b":"<"}}},{"operation":"upsert","request":{"key":"b","value":2}},{"operation":"delete","request":{"key":"b"}}]
            """, Encoding.UTF8, "application/json");
        Assert.Equal(204, (await http.PostAsync("/v1.0/actors/Robot/r1/state", json, Ct).BodyAsync()).Status);
        Assert.Equal((200, """{"b":"\u003c","z":1}"""), await http.GetAsync("/v1.0/actors/Robot/r1/state/a", Ct).BodyAsync());
        Assert.Equal((204, ""), await http.GetAsync("/v1.0/actors/Robot/r1/state/b", Ct).BodyAsync());

        Assert.Equal((400, "ERR_ACTOR_INSTANCE_MISSING"), await http.PostAsJsonAsync("/v1.0/actors/Robot/asleep/state", Array.Empty<object>(), Ct).RefusalAsync());
        Assert.Equal((400, "ERR_MALFORMED_REQUEST"), await http.PostAsync("/v1.0/actors/Robot/r1/state", new StringContent("{"), Ct).RefusalAsync());
        Assert.Equal((500, "ERR_ACTOR_STATE_TRANSACTION_SAVE"), await http.PostAsJsonAsync("/v1.0/actors/Robot/r1/state", new[] { new { operation = "upsert", request = new { key = "c", value = 1, metadata = new { ttlInSeconds = "5" } } } }, Ct).RefusalAsync());
    }

    [Fact]
    public async Task A_reminder_arrives_with_its_data_and_without_times()
    {
        Assert.Equal(204, (await PutAsync("reminders/once", """{"dueTime":"0s","data":{"n":1}}""")).Status);
        await Eventually.Async(() => calls.Any(call => call.Call.EndsWith("/remind/once", StringComparison.Ordinal)), "the reminder comes", TimeSpan.FromSeconds(30));
        var (call, body) = calls.Single(one => one.Call.EndsWith("/remind/once", StringComparison.Ordinal));
        Assert.Equal("PUT /actors/Robot/r1/method/remind/once", call);
        using var json = JsonDocument.Parse(body);
        Assert.Equal(("{\"n\":1}", "", ""), (json.RootElement.GetProperty("data").GetRawText(), json.RootElement.GetProperty("dueTime").GetString(), json.RootElement.GetProperty("period").GetString()));
    }

    [Fact]
    public async Task A_reminder_is_read_back_and_replaced_unless_that_is_refused()
    {
        Assert.Equal(204, (await PutAsync("reminders/rent", """{"dueTime":"1h","period":"1h30m","data":"x"}""")).Status);
        var found = await http.GetFromJsonAsync<JsonElement>("/v1.0/actors/Robot/r1/reminders/rent", Ct);
        Assert.Equal(("r1", "Robot", "x", "@every 1h30m"), (found.GetProperty("actorID").GetString(), found.GetProperty("actorType").GetString(), found.GetProperty("data").GetString(), found.GetProperty("period").GetString()));

        Assert.Equal(409, (await PutAsync("reminders/rent", """{"dueTime":"1h","overwrite":false}""")).Status);
        Assert.Equal(204, (await PutAsync("reminders/rent", """{"dueTime":"1h","period":"2h"}""")).Status);
        Assert.Equal("@every 2h", (await http.GetFromJsonAsync<JsonElement>("/v1.0/actors/Robot/r1/reminders/rent", Ct)).GetProperty("period").GetString()?.Replace("2h0m0s", "2h", StringComparison.Ordinal));

        Assert.Equal(204, (await http.DeleteAsync("/v1.0/actors/Robot/r1/reminders/rent", Ct).BodyAsync()).Status);
        Assert.Equal(204, (await http.DeleteAsync("/v1.0/actors/Robot/r1/reminders/rent", Ct).BodyAsync()).Status);
        Assert.Equal((404, "ERR_ACTOR_REMINDER_NOT_FOUND"), await http.GetAsync("/v1.0/actors/Robot/r1/reminders/rent", Ct).RefusalAsync());
    }

    [Theory]
    [InlineData("""{"dueTime":"soon"}""", 500, "ERR_ACTOR_REMINDER_CREATE")]
    [InlineData("""{"dueTime":"1h","period":"R0/PT1H"}""", 500, "ERR_ACTOR_REMINDER_CREATE")]
    [InlineData("""{"dueTime":"1h","period":"P1M"}""", 500, "ERR_ACTOR_REMINDER_CREATE")]
    [InlineData("""{"dueTime":""", 400, "ERR_MALFORMED_REQUEST")]
    public async Task What_is_no_reminder_is_refused(string body, int status, string code) =>
        Assert.Equal((status, code), await http.PutAsync("/v1.0/actors/Robot/r1/reminders/odd", new StringContent(body, Encoding.UTF8, "application/json"), Ct).RefusalAsync());

    [Fact]
    public async Task A_timer_calls_back_with_all_it_was_given()
    {
        Assert.Equal(204, (await PutAsync("timers/tick", """{"dueTime":"0s","period":"1h","callback":"Ticked","data":[1,2]}""")).Status);
        await Eventually.Async(() => calls.Any(call => call.Call.EndsWith("/timer/tick", StringComparison.Ordinal)), "the timer ticks", TimeSpan.FromSeconds(30));
        var (call, body) = calls.Single(one => one.Call.EndsWith("/timer/tick", StringComparison.Ordinal));
        Assert.Equal("PUT /actors/Robot/r1/method/timer/tick", call);
        using var json = JsonDocument.Parse(body);
        Assert.Equal(("Ticked", "[1,2]"), (json.RootElement.GetProperty("callback").GetString(), json.RootElement.GetProperty("data").GetRawText()));
        Assert.Equal(204, (await http.DeleteAsync("/v1.0/actors/Robot/r1/timers/tick", Ct).BodyAsync()).Status);
    }

    [Fact]
    public async Task An_idle_actor_is_put_away_with_a_delete()
    {
        Assert.Equal(200, (await http.PutAsync("/v1.0/actors/Brief/b1/method/start", null, Ct).BodyAsync()).Status);
        await Eventually.Async(() => calls.Any(call => call.Call == "DELETE /actors/Brief/b1"), "it is put away", TimeSpan.FromSeconds(30));
        Assert.Equal((400, "ERR_ACTOR_INSTANCE_MISSING"), await http.GetAsync("/v1.0/actors/Brief/b1/state/a", Ct).RefusalAsync());
    }

    private Task<(int Status, string Body)> PutAsync(string tail, string body) =>
        http.PutAsync("/v1.0/actors/Robot/r1/" + tail, new StringContent(body, Encoding.UTF8, "application/json"), Ct).BodyAsync();
}
