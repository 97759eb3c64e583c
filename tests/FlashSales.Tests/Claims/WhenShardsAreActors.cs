using System.Net;
using System.Net.Http.Json;
using Marketplace.FlashSales.Claims;
using Marketplace.TestKit;
using Microsoft.Extensions.Options;

namespace Marketplace.FlashSales.Tests.Claims;

/// <summary>The service as processes behind sidecars: actors, JSON and tokens as they are in the running system.</summary>
public sealed class WhenShardsAreActors
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Only_the_sidecar_gets_to_an_actor()
    {
        await using var counter = await ClaimCounter.OpenAsync(time: TimeProvider.System);
        await using var replicas = await Replicas.StartAsync(counter.Shop.Service.ConnectionString!, 1, Ct);
        var sale = await counter.Shop.HasSaleAsync(units: 2, startsIn: TimeSpan.FromSeconds(-1));
        var ada = await counter.HasShopperAsync();
        var path = $"actors/{FlashSaleActor.TypeName}/{FlashSaleActor.IdOf(sale.SaleId, 0)}/method/{nameof(IFlashSaleActor.DecideAsync)}";
        object[] wishes = [new { b = ada, r = 7, q = 1, w = true }];
        using var http = new HttpClient();

        using var bare = await http.PutAsJsonAsync(new Uri(replicas.App(0), path), wishes, Ct);
        using var wrong = new HttpRequestMessage(HttpMethod.Put, new Uri(replicas.App(0), path)) { Content = JsonContent.Create(wishes), Headers = { { "dapr-api-token", "guessed" } } };
        using var guessed = await http.SendAsync(wrong, Ct);
        using var gone = await http.DeleteAsync(new Uri(replicas.App(0), path[..path.IndexOf("/method", StringComparison.Ordinal)]), Ct);
        Assert.Equal([HttpStatusCode.Unauthorized, HttpStatusCode.Unauthorized, HttpStatusCode.Unauthorized], [bare.StatusCode, guessed.StatusCode, gone.StatusCode]);
        Assert.Equal((0, 0, 0), await counter.CountsAsync(sale));

        using var reached = await http.PutAsJsonAsync(new Uri(replicas.Sidecar(0), $"v1.0/{path}"), wishes, Ct);
        Assert.Equal(HttpStatusCode.OK, reached.StatusCode);
        Assert.Equal((1, 0, 0), await counter.CountsAsync(sale));
    }

    [Fact]
    public async Task The_replica_with_the_actor_is_killed_in_the_middle_and_everybody_is_answered()
    {
        await using var counter = await ClaimCounter.OpenAsync(time: TimeProvider.System);
        await using var replicas = await Replicas.StartAsync(counter.Shop.Service.ConnectionString!, 2, Ct);
        var sale = await counter.Shop.HasSaleAsync(units: 1_000, startsIn: TimeSpan.FromSeconds(-1), waitingList: 50);
        var buyers = await counter.HasShoppersAsync(3_000);
        ClaimDesk[] desks = [.. Enumerable.Range(0, 2).Select(replica => new ClaimDesk(
            replicas.Through(replica), counter.Shop.Get<ClaimStore>(), TimeProvider.System, counter.Shop.Get<ClaimMeter>(), Options.Create(new ClaimOptions { BatchSize = 64 })))];

        var answers = buyers.Select((buyer, i) => desks[i % 2].DecideAsync(sale, buyer, ClaimCounter.RankOf(buyer), 1, Ct)).ToArray();
        await Eventually.Async(async () => (await counter.CountsAsync(sale)).Taken > 100, "some have got a unit");
        var killed = await replicas.WithActorAsync(Ct);
        await replicas.KillAsync(killed!.Value);
        var told = await Task.WhenAll(answers);

        Assert.Equal((1_000, 0, 50), await counter.CountsAsync(sale));
        Assert.Equal((1_000, 50, 1_950), (told.Count(one => one.State == ClaimState.Claimed), told.Count(one => one.State == ClaimState.Waiting), told.Count(one => one.Outcome == Outcome.SoldOut)));
        Assert.Equal(1_000L, await counter.Shop.Service.ScalarAsync<long>("SELECT count(DISTINCT buyer_id) FROM claims WHERE state = 'claimed'"));
        await counter.BooksBalanceAsync();
        foreach (var (buyer, answer) in buyers.Zip(told).Where(one => one.Second.State == ClaimState.Claimed).Take(20))
            Assert.Equal(answer, await desks[1 - killed.Value].DecideAsync(sale, buyer, ClaimCounter.RankOf(buyer), 1, Ct));
    }
}
