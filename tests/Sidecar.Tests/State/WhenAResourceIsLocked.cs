using System.Net;
using System.Net.Http.Json;
using Dapr.Client;
using Marketplace.Local.Redis;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.State;

[EverySidecar]
public sealed class WhenAResourceIsLocked
{
    [Fact]
    public async Task Only_its_owner_opens_it_again()
    {
        var folder = Directory.CreateTempSubdirectory("sidecar-tests-redis-").FullName;
        var port = Ports.Free();
        using var redis = RedisCommand.Start(port, folder);
        await using var sidecars = await SidecarsUnderTest.StartAsync($$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: locks}
            spec:
              type: lock.redis
              version: v1
              metadata: [{name: redisHost, value: "127.0.0.1:{{port}}"}]
            """, new AppUnderTest("shop"), new AppUnderTest("bare", Resources: ""));
        using var dapr = sidecars.Client();
        using var http = sidecars.Http();

#pragma warning disable DAPR_DISTRIBUTEDLOCK, CS0618 // Alpha, and the only lock API there is.
        var held = await dapr.Lock("locks", "till", "ada", 60);
        Assert.True(held.Success);
        Assert.False((await dapr.Lock("locks", "till", "bruno", 60)).Success);
        Assert.Equal(LockStatus.LockBelongsToOthers, (await dapr.Unlock("locks", "till", "bruno")).status);
        Assert.Equal(LockStatus.Success, (await dapr.Unlock("locks", "till", "ada")).status);
        Assert.Equal(LockStatus.LockDoesNotExist, (await dapr.Unlock("locks", "till", "ada")).status);
#pragma warning restore DAPR_DISTRIBUTEDLOCK, CS0618

        using var taken = await http.PostAsJsonAsync("/v1.0-alpha1/lock/locks", new { resourceId = "till", lockOwner = "ada", expiryInSeconds = 1 });
        Assert.Equal("""{"success":true}""", Answers.Compact(await taken.Content.ReadAsStringAsync()));
        await Eventually.Async(async () =>
        {
            using var again = await http.PostAsJsonAsync("/v1.0-alpha1/lock/locks", new { resourceId = "till", lockOwner = "bruno", expiryInSeconds = 60 });
            return Answers.Compact(await again.Content.ReadAsStringAsync()) == """{"success":true}""";
        }, "the lock expires");

        using var endless = await http.PostAsJsonAsync("/v1.0-alpha1/lock/locks", new { resourceId = "till", lockOwner = "ada", expiryInSeconds = 0 });
        Assert.Equal((400, "ERR_MALFORMED_REQUEST"), await endless.RefusalAsync());
        Assert.Equal((400, "ERR_MALFORMED_REQUEST"), await http.PostAsJsonAsync("/v1.0-alpha1/lock/locks", new { resourceId = "", lockOwner = "ada", expiryInSeconds = 1 }).RefusalAsync());
        Assert.Equal((400, "ERR_MALFORMED_REQUEST"), await http.PostAsJsonAsync("/v1.0-alpha1/unlock/locks", new { resourceId = "till" }).RefusalAsync());
        Assert.Equal((400, "ERR_LOCK_STORE_NOT_FOUND"), await http.PostAsJsonAsync("/v1.0-alpha1/lock/nowhere", new { resourceId = "till", lockOwner = "ada", expiryInSeconds = 1 }).RefusalAsync());
        Assert.Equal("""{"status":2}""", Answers.Compact((await http.PostAsJsonAsync("/v1.0-alpha1/unlock/locks", new { resourceId = "till", lockOwner = "nobody" }).BodyAsync()).Body));
        using var bare = sidecars.Http(1);
        Assert.Equal((500, "ERR_LOCK_STORE_NOT_CONFIGURED"), await bare.PostAsJsonAsync("/v1.0-alpha1/lock/locks", new { resourceId = "till", lockOwner = "ada", expiryInSeconds = 1 }).RefusalAsync());
    }
}
