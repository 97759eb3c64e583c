using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using Xunit;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>/v1.0/workflows/…, as users call it by hand.</summary>
[EverySidecar]
public sealed class WhenUsingTheDaprApi : IAsyncLifetime
{
    private WorkflowHost host = null!;
    private ScriptedWorker worker = null!;
    private HttpClient http = null!;

    public async ValueTask InitializeAsync()
    {
        host = await WorkflowHost.StartAsync();
        worker = await ScriptedWorker.ConnectAsync(host.GrpcPort);
        http = new HttpClient { BaseAddress = host.Http };
    }

    public async ValueTask DisposeAsync()
    {
        http.Dispose();
        await worker.DisposeAsync();
        await host.DisposeAsync();
    }

    [Theory]
    [InlineData("v1.0")]
    [InlineData("v1.0-beta1")]
    [InlineData("v1.0-alpha1")]
    public async Task A_workflow_is_started_paused_resumed_fed_and_purged(string version)
    {
        var api = $"{version}/workflows/dapr";
        var started = await PostAsync($"{api}/Buy/start?instanceID=a", "{\"tea\":1}");
        Assert.Equal(HttpStatusCode.Accepted, started.Status);
        Assert.Equal("""{"instanceID":"a"}""", Answers.Compact(started.Body));
        Assert.Equal("PENDING", (await GetAsync($"{api}/a"))["runtimeStatus"]!.GetValue<string>());

        var turn = await worker.NextTurnAsync();
        Assert.Equal("{\"tea\":1}", turn.WorkflowRequest.NewEvents[1].ExecutionStarted.Input);
        await worker.AnswerAsync(turn);

        Assert.Equal((HttpStatusCode.Accepted, "{}"), await PostAsync($"{api}/a/pause"));
        await worker.AnswerAsync(await worker.NextTurnAsync());
        Assert.Equal((HttpStatusCode.Accepted, "{}"), await PostAsync($"{api}/a/resume"));
        await worker.AnswerAsync(await worker.NextTurnAsync());
        Assert.Equal((HttpStatusCode.Accepted, "{}"), await PostAsync($"{api}/a/raiseEvent/Paid", "\"yes\""));
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Complete("\"done\""));
        await worker.CompletionAsync("a");

        var state = await GetAsync($"{api}/a");
        Assert.Equal(("a", "Buy", "COMPLETED"), (state["instanceID"]!.GetValue<string>(), state["workflowName"]!.GetValue<string>(), state["runtimeStatus"]!.GetValue<string>()));
        Assert.Equal("{\"tea\":1}", state["properties"]!["dapr.workflow.input"]!.GetValue<string>());
        Assert.Equal("\"done\"", state["properties"]!["dapr.workflow.output"]!.GetValue<string>());
        Assert.EndsWith("Z", state["createdAt"]!.GetValue<string>(), StringComparison.Ordinal);

        Assert.Equal((HttpStatusCode.Accepted, "{}"), await PostAsync($"{api}/a/purge"));
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync(new Uri($"{api}/a", UriKind.Relative), TestContext.Current.CancellationToken)).StatusCode);
    }

    [Theory]
    [InlineData("v1.0/workflows/dapr/nobody/terminate", 404, "ERR_INSTANCE_ID_NOT_FOUND")]
    [InlineData("v1.0/workflows/dapr/nobody/purge", 404, "ERR_INSTANCE_ID_NOT_FOUND")]
    [InlineData("v1.0/workflows/dapr/nobody/pause", 500, "ERR_PAUSE_WORKFLOW")]
    [InlineData("v1.0/workflows/dapr/nobody/raiseEvent/Paid", 500, "ERR_RAISE_EVENT_WORKFLOW")]
    [InlineData("v1.0/workflows/dapr/Buy/start?instanceID=a.b", 400, "ERR_INSTANCE_ID_INVALID")]
    [InlineData("v1.0/workflows/dapr/Buy/start?instanceID=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 400, "ERR_INSTANCE_ID_TOO_LONG")]
    public async Task Refusals_carry_daprds_codes(string path, int status, string code)
    {
        var (answered, body) = await PostAsync(path);
        Assert.Equal(status, (int)answered);
        Assert.Equal(code, JsonNode.Parse(body)!["errorCode"]!.GetValue<string>());
    }

    [Fact]
    public async Task An_id_is_made_up_where_none_is_given_and_what_nobody_knows_is_404()
    {
        var (status, body) = await PostAsync("v1.0/workflows/dapr/Buy/start");
        Assert.Equal(202, (int)status);
        var id = JsonNode.Parse(body)!["instanceID"]!.GetValue<string>();
        Assert.True(Guid.TryParse(id, out _));
        var turn = await worker.NextTurnAsync();
        Assert.Equal(id, turn.WorkflowRequest.InstanceId);
        await worker.AnswerAsync(turn, Do.Complete("1"));
        await worker.CompletionAsync(id);
        Assert.Equal((HttpStatusCode.Accepted, "{}"), await PostAsync($"v1.0/workflows/dapr/{id}/raiseEvent/Late", "1"));

        var (unknown, code) = await http.GetAsync(new Uri("v1.0/workflows/dapr/nobody", UriKind.Relative), TestContext.Current.CancellationToken).RefusalAsync();
        Assert.Equal((404, "ERR_INSTANCE_ID_NOT_FOUND"), (unknown, code));
    }

    [Fact]
    public async Task Starting_twice_and_purging_what_runs_are_faults_of_the_server()
    {
        await worker.BeginAsync("a");
        var (status, body) = await PostAsync("v1.0/workflows/dapr/Buy/start?instanceID=a");
        Assert.Equal((500, "ERR_START_WORKFLOW"), ((int)status, JsonNode.Parse(body)!["errorCode"]!.GetValue<string>()));
        Assert.Contains("an active workflow with ID 'a' already exists", body.Replace("\\u0027", "'", StringComparison.Ordinal), StringComparison.Ordinal);
        (status, body) = await PostAsync("v1.0/workflows/dapr/a/purge");
        Assert.Equal((500, "ERR_PURGE_WORKFLOW"), ((int)status, JsonNode.Parse(body)!["errorCode"]!.GetValue<string>()));
    }

    private async Task<(HttpStatusCode Status, string Body)> PostAsync(string path, string? json = null)
    {
        using var content = json is null ? null : new StringContent(json, Encoding.UTF8, "application/json");
        using var response = await http.PostAsync(new Uri(path, UriKind.Relative), content, TestContext.Current.CancellationToken);
        return (response.StatusCode, await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }

    private async Task<JsonNode> GetAsync(string path) => (await http.GetFromJsonAsync<JsonNode>(new Uri(path, UriKind.Relative), TestContext.Current.CancellationToken))!;
}
