using System.Net;
using System.Text;
using System.Text.Json;
using Dapr;
using Dapr.Actors;
using Google.Protobuf;
using Grpc.Net.Client;
using Marketplace.TestKit;
using Xunit;
using Autogen = Dapr.Client.Autogen.Grpc.v1;

namespace Marketplace.Sidecar.Tests.Actors;

/// <summary>Calls, turns, state and placement, with Dapr.Actors on both sides.</summary>
[EverySidecar]
public sealed class WhenActorsAreCalled : IClassFixture<PostgresFixture>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Customers_of_one_till_are_served_one_by_one()
    {
        await using var tills = await Tills.StartAsync();
        var sums = await Task.WhenAll(Enumerable.Range(0, 30).Select(_ => tills.Till("one").AddAsync(1)));
        Assert.Equal(Enumerable.Range(1, 30), sums.Order());
        Assert.Equal(30, await tills.Till("one").TotalAsync());

        await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => tills.Till("one").ServeAsync(10)));
        Assert.Equal(1, tills.Book.MostAtOnce);
        Assert.Equal(1, tills.Book.Count("one", "activated"));
    }

    [Fact]
    public async Task Different_tills_do_not_wait_for_each_other()
    {
        await using var tills = await Tills.StartAsync();
        var slow = tills.Till("slow").ServeAsync(5000);
        await Eventually.Async(() => tills.Book.Count("slow", "serving") == 1, "the slow till is busy");
        await tills.Till("quick").AddAsync(1);
        Assert.False(slow.IsCompleted);
        await slow;
    }

    [Fact]
    public async Task A_customer_who_walks_away_does_not_let_the_next_one_in_early()
    {
        await using var tills = await Tills.StartAsync();
        using var patience = new CancellationTokenSource();
        var impatient = tills.Loose("one").InvokeMethodAsync<int, string>("ServeAsync", 1000, patience.Token);
        await Eventually.Async(() => tills.Book.Count("one", "serving") == 1, "the till is busy");
        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => impatient);

        await tills.Till("one").ServeAsync(10);
        Assert.Equal(1, tills.Book.MostAtOnce);
    }

    [Fact]
    public async Task An_exception_reaches_the_caller_and_the_till_goes_on()
    {
        await using var tills = await Tills.StartAsync();
        var strong = await Assert.ThrowsAsync<ActorMethodInvocationException>(() => tills.Till("one").RefuseAsync("no change"));
        Assert.Contains("no change", strong.ToString(), StringComparison.Ordinal);
        await Assert.ThrowsAsync<DaprApiException>(() => tills.Loose("one").InvokeMethodAsync("RefuseAsync", "no change", Ct));
        Assert.Equal(5, await tills.Loose("one").InvokeMethodAsync<int, int>("AddAsync", 5, Ct));
    }

    [Fact]
    public async Task Each_till_lives_on_one_of_two_instances()
    {
        await using var tills = await Tills.StartAsync(instances: 2, database: await TestDatabase.CreateAsync());
        await Task.WhenAll(Enumerable.Range(0, 40).SelectMany(id => new[] { tills.Till($"{id}").AddAsync(1), tills.Till($"{id}", through: 0).AddAsync(1), tills.Till($"{id}", through: 1).AddAsync(1) }));

        for (var id = 0; id < 40; id++)
        {
            Assert.Equal(3, await tills.Till($"{id}").TotalAsync());
            Assert.Equal(1, tills.Books.Sum(book => book.Count($"{id}", "activated")));
        }

        Assert.All(tills.Books, book => Assert.InRange(book.Lines.Count(line => line.What == "activated"), 8, 32));
    }

    [Fact]
    public async Task A_till_moves_with_its_sum_when_its_instance_dies()
    {
        await using var tills = await Tills.StartAsync(instances: 2, database: await TestDatabase.CreateAsync());
        await tills.Till("one").AddAsync(7);
        var home = await tills.Till("one").ServeAsync(0);
        await tills.AppDownAsync(home == "tills-0" ? 0 : 1);

        Assert.Equal(7, await tills.Till("one").TotalAsync());
        Assert.NotEqual(home, await tills.Till("one").ServeAsync(0));
        Assert.Equal(8, await tills.Till("one").AddAsync(1));
    }

    [Fact]
    public async Task A_call_waits_for_an_app_that_is_just_restarting()
    {
        await using var tills = await Tills.StartAsync(database: await TestDatabase.CreateAsync());
        await tills.Till("one").AddAsync(7);
        await tills.AppDownAsync(0);
        var call = tills.Till("one").TotalAsync();
        await tills.AppUpAsync(0);
        Assert.Equal(7, await call);
    }

    [Fact]
    public async Task An_idle_till_is_put_away_and_comes_back_with_its_sum()
    {
        await using var tills = await Tills.StartAsync(options: actors => actors.ActorIdleTimeout = TimeSpan.FromSeconds(1));
        await tills.Till("one").AddAsync(7);
        await Eventually.Async(() => tills.Book.Count("one", "deactivated") == 1, "the idle till is put away");
        Assert.Equal(8, await tills.Till("one").AddAsync(1));
        Assert.Equal(2, tills.Book.Count("one", "activated"));
    }

    [Fact]
    public async Task State_with_a_time_to_live_disappears()
    {
        await using var tills = await Tills.StartAsync(options: actors => actors.ActorIdleTimeout = TimeSpan.FromMilliseconds(500));
        await tills.Till("one").NoteAsync("short", "gone soon", ttlSeconds: 2);
        await tills.Till("one").NoteAsync("long", "stays", ttlSeconds: 0);
        Assert.Equal("gone soon", await tills.Till("one").ReadNoteAsync("short"));

        await Eventually.Async(async () => await tills.Till("one").ReadNoteAsync("short") == "", "the note expires");
        await Eventually.Async(() => tills.Book.Count("one", "deactivated") > 0, "the till is put away");
        Assert.Equal("", await tills.Till("one").ReadNoteAsync("short"));
        Assert.Equal("stays", await tills.Till("one").ReadNoteAsync("long"));
    }

    [Fact]
    public async Task Without_the_feature_a_time_to_live_fails_the_transaction()
    {
        await using var tills = await Tills.StartAsync(stateTtl: false);
        await Assert.ThrowsAnyAsync<Exception>(() => tills.Till("one").NoteAsync("short", "x", ttlSeconds: 5));
        await tills.Till("one").NoteAsync("plain", "x", ttlSeconds: 0);
    }

    [Fact]
    public async Task A_chain_of_calls_comes_back_to_the_same_till_where_that_is_allowed()
    {
        await using var tills = await Tills.StartAsync(options: actors => actors.ReentrancyConfig = new Dapr.Actors.ActorReentrancyConfig { Enabled = true, MaxStackDepth = 5 });
        Assert.Equal(4, await tills.Till("one").CountDownAsync(4));
        await Assert.ThrowsAnyAsync<Exception>(() => tills.Till("one").CountDownAsync(9));
        Assert.Equal(2, await tills.Till("one").CountDownAsync(2));
    }

    [Theory]
    [InlineData("PUT", "v1.0/actors/Nobody/1/method/x", HttpStatusCode.NotFound, "ERR_ACTOR_NO_ADDRESS")]
    [InlineData("PUT", "v1.0/actors/dapr.internal.x/1/method/x", HttpStatusCode.Forbidden, "ERR_ACTOR_TYPE_RESERVED")]
    [InlineData("PUT", "v1.0/actors/Till/1/method/Unknown", HttpStatusCode.InternalServerError, "ERR_ACTOR_INVOKE_METHOD")]
    [InlineData("GET", "v1.0/actors/Till/asleep/state/total", HttpStatusCode.BadRequest, "ERR_ACTOR_INSTANCE_MISSING")]
    [InlineData("PUT", "v1.0/actors/Nobody/1/reminders/r", HttpStatusCode.Forbidden, "ERR_ACTOR_REMINDER_NON_HOSTED")]
    [InlineData("PUT", "v1.0/actors/Nobody/1/timers/t", HttpStatusCode.InternalServerError, "ERR_ACTOR_TIMER_CREATE")]
    [InlineData("PUT", "v1.0/actors/Till/1/reminders/a%23b", HttpStatusCode.BadRequest, "ERR_BAD_REQUEST")]
    [InlineData("PUT", "v1.0/actors/Till/1/timers/a%3Fb", HttpStatusCode.BadRequest, "ERR_BAD_REQUEST")]
    [InlineData("PUT", "v1.0/actors/Till/a%23b/method/x", HttpStatusCode.BadRequest, "ERR_BAD_REQUEST")]
    [InlineData("PUT", "v1.0/actors/dapr.internal.x/1/reminders/r", HttpStatusCode.Forbidden, "ERR_ACTOR_TYPE_RESERVED")]
    [InlineData("PUT", "v1.0/actors/dapr.internal.x/1/timers/t", HttpStatusCode.Forbidden, "ERR_ACTOR_TYPE_RESERVED")]
    [InlineData("GET", "v1.0/actors/dapr.internal.x/1/state/s", HttpStatusCode.Forbidden, "ERR_ACTOR_TYPE_RESERVED")]
    [InlineData("GET", "v1.0/actors/dapr.internal.x/1/reminders/r", HttpStatusCode.Forbidden, "ERR_ACTOR_TYPE_RESERVED")]
    [InlineData("GET", "v1.0/actors/Till/1/reminders/none", HttpStatusCode.NotFound, "ERR_ACTOR_REMINDER_NOT_FOUND")]
    public async Task What_cannot_be_is_refused_with_its_code(string verb, string path, HttpStatusCode status, string code)
    {
        await using var tills = await Tills.StartAsync();
        using var http = tills.Http(0);
        using var request = new HttpRequestMessage(new HttpMethod(verb), path) { Content = new StringContent("""{"dueTime":"1s","period":""}""", Encoding.UTF8, "application/json") };
        using var answer = await http.SendAsync(request, Ct);
        var body = await answer.Content.ReadAsStringAsync(Ct);
        Assert.Equal((status, code), (answer.StatusCode, JsonDocument.Parse(body).RootElement.GetProperty("errorCode").GetString()));
    }

    [Fact]
    public async Task Over_grpc_an_actor_is_called_and_its_state_read()
    {
        await using var tills = await Tills.StartAsync();
        using var channel = GrpcChannel.ForAddress($"http://127.0.0.1:{tills.GrpcPort()}");
        var client = new Autogen.Dapr.DaprClient(channel);
        var reply = await client.InvokeActorAsync(new Autogen.InvokeActorRequest { ActorType = "Till", ActorId = "one", Method = "AddAsync", Data = ByteString.CopyFromUtf8("3") }, cancellationToken: Ct);
        Assert.Equal("3", reply.Data.ToStringUtf8());
        var state = await client.GetActorStateAsync(new Autogen.GetActorStateRequest { ActorType = "Till", ActorId = "one", Key = "total" }, cancellationToken: Ct);
        Assert.Equal("3", state.Data.ToStringUtf8());

        await client.RegisterActorReminderAsync(new Autogen.RegisterActorReminderRequest { ActorType = "Till", ActorId = "one", Name = "later", DueTime = "1h", Period = "1h30m" }, cancellationToken: Ct);
        var reminder = await client.GetActorReminderAsync(new Autogen.GetActorReminderRequest { ActorType = "Till", ActorId = "one", Name = "later" }, cancellationToken: Ct);
        Assert.Equal("@every 1h30m", reminder.Period);
        await client.UnregisterActorReminderAsync(new Autogen.UnregisterActorReminderRequest { ActorType = "Till", ActorId = "one", Name = "later" }, cancellationToken: Ct);
    }
}
