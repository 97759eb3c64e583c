using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Dapr.Workflow;
using Marketplace.Ordering.Checkout;
using Marketplace.Ordering.Checkout.Activities;
using Marketplace.TestKit;

namespace Marketplace.Ordering.Tests.Checkout;

public sealed class WhenSagasAreStartedAndWatched : IAsyncLifetime
{
    private readonly Guid ada = Guid.CreateVersion7();
    private Shop shop = null!;
    private HttpClient desk = null!;
    private Guid order;

    public async ValueTask InitializeAsync()
    {
        shop = await Shop.OpenAsync();
        desk = shop.Service.As(TestTokens.Operator());
        order = await shop.OrderAsync(ada);
    }

    public async ValueTask DisposeAsync()
    {
        desk.Dispose();
        await shop.DisposeAsync();
    }

    [Fact]
    public async Task The_lane_starts_the_saga_under_the_attempts_id()
    {
        await shop.StartSagaAsync(new StartSaga(order, 1));
        Assert.Equal([$"{order:N}-1"], shop.Sagas.Started);
    }

    [Fact]
    public async Task That_it_is_already_running_is_success()
    {
        shop.Sagas.Standing[$"{order:N}-1"] = new SagaStanding(WorkflowRuntimeStatus.Running, null);
        await shop.StartSagaAsync(new StartSaga(order, 1));
    }

    [Fact]
    public async Task Without_a_sidecar_the_row_is_tried_again()
    {
        shop.Sagas.Unreachable = true;
        await Assert.ThrowsAsync<Grpc.Core.RpcException>(() => shop.StartSagaAsync(new StartSaga(order, 1)));
    }

    [Theory, InlineData("pm_card_visa"), InlineData("pm_card_declined")]
    public async Task A_row_redelivered_after_the_saga_ended_does_not_restart_it(string card)
    {
        var ended = await shop.SoldAsync(ada, card);
        await shop.StartSagaAsync(new StartSaga(ended, 1));
        Assert.Empty(shop.Sagas.Started);
    }

    [Fact]
    public async Task A_saga_that_is_missing_is_started_unless_its_command_still_waits()
    {
        await shop.WatchAsync();
        Assert.Equal(1L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE lane = 'checkout' AND aggregate_id = $1", order));

        await shop.Service.ScalarAsync<object>("UPDATE outbox SET sent_at = now()");
        await shop.WatchAsync();
        await shop.WatchAsync();
        Assert.Equal(2L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE lane = 'checkout' AND aggregate_id = $1", order));
    }

    [Fact]
    public async Task A_saga_that_failed_parks_its_order_with_the_reason_and_a_retry_finishes_it()
    {
        var saga = await shop.SagaAsync(order);
        shop.Stock.CommitsFail = true;
        await Assert.ThrowsAsync<WorkflowTaskFailedException>(() => shop.RunAsync(order));
        shop.Sagas.Standing[saga.Id] = new SagaStanding(WorkflowRuntimeStatus.Failed, "CommitStock: nobody answered");

        await shop.WatchAsync();
        await shop.WatchAsync();

        var parked = Assert.Single((await desk.GetFromJsonAsync<JsonElement>("/api/v1/operations/orders?state=parked")).GetProperty("items").EnumerateArray());
        Assert.Equal(order, parked.GetProperty("orderId").GetGuid());
        Assert.Contains("CommitStock", parked.GetProperty("parkedReason").GetString());
        using var buyer = shop.As(ada);
        var seen = await shop.ReadAsync(order, buyer);
        Assert.Equal(("CONFIRMED", "under_review"), (seen.GetProperty("status").GetString(), seen.GetProperty("reason").GetString()));
        Assert.Null(seen.GetProperty("parkedReason").GetString());

        await Eventually.Async(async () => (await HistoryAsync()).Any(step => step is { Step: "CommitStock", Outcome: "failed", Error: var error } && error!.Contains("500")), "the operator reads what failed");
        Assert.DoesNotContain("500", (await HistoryAsync(viewer: buyer)).Single(step => step.Step == "CommitStock").Error);

        shop.Stock.CommitsFail = false;
        using var retry = await desk.PostAsync($"/api/v1/operations/orders/{order}/retry", null);
        Assert.Equal(HttpStatusCode.Accepted, retry.StatusCode);
        await shop.StartSagaAsync(new StartSaga(order, 1, Retry: true));
        Assert.Equal([saga.Id], shop.Sagas.Started);
        Assert.True((await new ScriptedWorkflow().In(shop).RunAsync(new CheckoutWorkflow(), (await shop.SagaAsync(order, retry: true)).Checkout)).Succeeded);

        Assert.Equal("committed", shop.Stock.Of(order));
        Assert.Equal(Shop.Total().Minor, shop.Till.Charged);
        Assert.Empty((await desk.GetFromJsonAsync<JsonElement>("/api/v1/operations/orders?state=parked")).GetProperty("items").EnumerateArray());
        using var again = await desk.PostAsync($"/api/v1/operations/orders/{order}/retry", null);
        Assert.Equal(HttpStatusCode.Conflict, again.StatusCode);
    }

    [Fact]
    public async Task A_parked_order_that_is_aborted_gives_everything_back()
    {
        var saga = await shop.SagaAsync(order);
        await Assert.ThrowsAsync<WorkflowTaskFailedException>(() => shop.RunAsync(order, script: new ScriptedWorkflow().At(nameof(ConfirmOrder), Fault.ForeverBefore)));
        shop.Sagas.Standing[saga.Id] = new SagaStanding(WorkflowRuntimeStatus.Failed, "ConfirmOrder");
        await shop.WatchAsync();

        using var abort = await desk.PostAsJsonAsync($"/api/v1/operations/orders/{order}/abort", new { reason = "warehouse burnt down" });
        Assert.Equal(HttpStatusCode.Accepted, abort.StatusCode);
        await shop.StartSagaAsync(new StartSaga(order, 1));
        Assert.Equal([$"{order:N}-1-cancel"], shop.Sagas.Started);
        await new ScriptedWorkflow().In(shop).RunAsync(new CancellationWorkflow(), (await shop.SagaAsync(order)).Checkout);

        Assert.Equal("CANCELLED", await shop.StatusAsync(order));
        Assert.Equal("warehouse burnt down", await shop.ReasonAsync(order));
        Assert.Equal((0L, "released"), (shop.Till.Charged, shop.Stock.Of(order)));
    }

    [Fact]
    public async Task A_saga_that_ended_without_a_verdict_is_shown()
    {
        shop.Sagas.Standing[$"{order:N}-1"] = new SagaStanding(WorkflowRuntimeStatus.Completed, null);
        await shop.WatchAsync();
        Assert.Contains("verdict", (await shop.ReadAsync(order)).GetProperty("parkedReason").GetString());
    }

    [Fact]
    public async Task A_saga_under_way_is_left_alone_until_it_takes_too_long()
    {
        shop.Sagas.Standing[$"{order:N}-1"] = new SagaStanding(WorkflowRuntimeStatus.Running, null);
        await shop.WatchAsync();
        Assert.Null((await shop.ReadAsync(order)).GetProperty("parkedReason").GetString());

        await shop.Service.ScalarAsync<object>("UPDATE attempts SET started_at = started_at - interval '1 hour'");
        await shop.WatchAsync();
        Assert.Contains("under way", (await shop.ReadAsync(order)).GetProperty("parkedReason").GetString());

        Assert.True((await new ScriptedWorkflow().In(shop).RunAsync(new CheckoutWorkflow(), new CheckoutAttempt(order, 1, ada, Shop.Total(), "pm_card_visa"))).Succeeded);
        Assert.Null((await shop.ReadAsync(order)).GetProperty("parkedReason").GetString());   // it got there after all
    }

    [Fact]
    public async Task A_settlement_that_was_lost_is_made_up_for()
    {
        await shop.RunAsync(order);
        await Eventually.Async(SettledAsync, "the diary settles it");
        await shop.Service.ScalarAsync<object>("UPDATE attempts SET settled_at = NULL");
        shop.Sagas.Standing[$"{order:N}-1"] = new SagaStanding(WorkflowRuntimeStatus.Completed, null);

        await shop.WatchAsync();

        Assert.True(await SettledAsync());
        Assert.Equal("CONFIRMED", await shop.StatusAsync(order));
    }

    [Fact]
    public async Task The_diary_shows_every_step_and_hides_the_machines_words_from_the_buyer()
    {
        await shop.RunAsync(order, script: new ScriptedWorkflow().At(nameof(CapturePayment), Fault.None));
        await Eventually.Async(async () => (await HistoryAsync()).Count == 4, "four steps");
        Assert.Equal(
            ["ReserveStock done", "CapturePayment done", "ConfirmOrder done", "CommitStock done"],
            (await HistoryAsync()).Select(step => $"{step.Step} {step.Outcome}"));

        var declined = await shop.SoldAsync(ada, "pm_card_declined");
        using var buyer = shop.As(ada);
        await Eventually.Async(
            async () => (await HistoryAsync(declined, buyer)).Any(step => step is { Step: "CapturePayment", Outcome: "refused", Error: "card_declined" }), "the refusal is there");
    }

    private Task<bool> SettledAsync() => shop.Service.ScalarAsync<bool>("SELECT settled_at IS NOT NULL FROM attempts WHERE order_id = $1", order);

    private async Task<IReadOnlyList<HistoryStep>> HistoryAsync(Guid? of = null, HttpClient? viewer = null)
    {
        List<HistoryStep> steps = [];
        await Eventually.Async(async () =>
        {
            steps = (await (viewer ?? desk).GetFromJsonAsync<History>($"/api/v1/orders/{of ?? order}/history"))!.Steps;
            return steps.Count > 0;
        }, "the diary is written a moment later");
        return steps;
    }

    private sealed record History(List<HistoryStep> Steps);

    private sealed record HistoryStep(int Attempt, string Step, string Outcome, string? Error);
}
