using System.Net;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Refit;
using Xunit;

namespace Marketplace.Hosting.Tests;

public interface IShelfClient
{
    [Get("/internal/shelves/{shelfId}")]
    Task<Shelf> ShelfAsync(Guid shelfId, CancellationToken ct);

    [Post("/internal/shelves")]
    Task<Shelf> PutUpAsync([Body] Shelf shelf, CancellationToken ct);
}

public sealed record Shelf(Guid ShelfId, int Length);

public sealed class WhenANeighbourIsCalled : IAsyncLifetime
{
    private static readonly Shelf Oak = new(Guid.Parse("0198a000-0000-7000-8000-000000000001"), 120);

    private FakeNeighbour neighbour = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => neighbour = await FakeNeighbour.StartAsync();

    public ValueTask DisposeAsync() => neighbour.DisposeAsync();

    [Fact]
    public async Task The_call_goes_to_the_other_app_through_this_apps_sidecar()
    {
        neighbour.On(HttpMethod.Get, $"/v1.0/invoke/shelves/method/internal/shelves/{Oak.ShelfId}", Oak);

        Assert.Equal(Oak, await Client(("DAPR_HTTP_ENDPOINT", neighbour.Address.ToString())).ShelfAsync(Oak.ShelfId, Ct));
    }

    [Fact]
    public async Task A_body_is_json_as_the_whole_system_writes_it()
    {
        neighbour.On(HttpMethod.Post, "/internal/shelves", call => FakeReply.Ok(call.Read<Shelf>()));

        Assert.Equal(Oak, await Direct().PutUpAsync(Oak, Ct));
        var call = Assert.Single(neighbour.Calls);
        Assert.Equal($$"""{"shelfId":"{{Oak.ShelfId}}","length":120}""", call.Body);
    }

    [Fact]
    public async Task A_refusal_is_told_with_its_status()
    {
        neighbour.On(HttpMethod.Get, $"/internal/shelves/{Oak.ShelfId}", _ => new FakeReply(404));

        var refused = await Assert.ThrowsAsync<HttpRequestException>(() => Direct().ShelfAsync(Oak.ShelfId, Ct));
        Assert.Equal(HttpStatusCode.NotFound, refused.StatusCode);
    }

    [Fact]
    public async Task A_connection_that_breaks_is_a_failed_call()
    {
        neighbour.On(HttpMethod.Get, $"/internal/shelves/{Oak.ShelfId}", _ => FakeReply.Broken);

        var failed = await Assert.ThrowsAsync<HttpRequestException>(() => Direct().ShelfAsync(Oak.ShelfId, Ct));
        Assert.Null(failed.StatusCode);
    }

    [Fact]
    public async Task Who_stops_waiting_gets_a_cancelled_call()
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var answer = new TaskCompletionSource<FakeReply>();
        neighbour.On(HttpMethod.Get, $"/internal/shelves/{Oak.ShelfId}", async _ =>
        {
            await patience.CancelAsync();
            return await answer.Task;
        });

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Direct().ShelfAsync(Oak.ShelfId, patience.Token));
        answer.SetResult(FakeReply.Ok(Oak));
    }

    [Fact]
    public async Task An_answer_that_cannot_be_read_is_a_failed_call()
    {
        neighbour.On(HttpMethod.Get, $"/internal/shelves/{Oak.ShelfId}", new { shelfId = "the oak one" });

        var failed = await Assert.ThrowsAsync<HttpRequestException>(() => Direct().ShelfAsync(Oak.ShelfId, Ct));
        Assert.Contains("cannot be read", failed.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("null"), InlineData("")]
    public async Task An_answer_that_says_nothing_is_a_failed_call(string body)
    {
        await using var silent = await StartSilentAsync(body);

        await Assert.ThrowsAsync<HttpRequestException>(() => Client(("Neighbours:shelves", silent.Urls.Single())).ShelfAsync(Oak.ShelfId, Ct));
    }

    private static async Task<WebApplication> StartSilentAsync(string body)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var server = builder.Build();
        server.Run(http =>
        {
            http.Response.ContentType = "application/json";
            return http.Response.WriteAsync(body);
        });
        await server.StartAsync(Ct);
        return server;
    }

    private IShelfClient Direct() => Client(("Neighbours:shelves", neighbour.Address.ToString()));

    private static IShelfClient Client(params (string Key, string Value)[] settings)
    {
        var services = new ServiceCollection();
        services.AddSingleton<IConfiguration>(new ConfigurationBuilder().AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create(setting.Key, (string?)setting.Value))).Build());
        services.AddNeighbour<IShelfClient>("shelves");
        return services.BuildServiceProvider().GetRequiredService<IShelfClient>();
    }
}
