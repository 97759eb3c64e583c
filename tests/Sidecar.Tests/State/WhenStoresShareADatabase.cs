using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.State;

public sealed class WhenStoresShareADatabase : IClassFixture<PostgresFixture>
{
    [Fact]
    public async Task They_set_up_their_tables_side_by_side()
    {
        for (var round = 0; round < 5; round++)
        {
            var database = await TestDatabase.CreateAsync();
            // Each app has a store of its own, and all of them start at once on an empty database.
            var apps = Enumerable.Range(0, 6).Select(number => new AppUnderTest($"app-{number}", Resources: $$"""
                apiVersion: dapr.io/v1alpha1
                kind: Component
                metadata: {name: mine}
                spec:
                  type: state.postgresql
                  version: v2
                  metadata: [{name: connectionString, value: "{{database}}"}, {name: tablePrefix, value: "app{{number}}_"}]
                """)).ToList();
            await using var sidecars = await SidecarsUnderTest.StartAsync("", apps);
            using var dapr = sidecars.Client(5);
            await dapr.SaveStateAsync("mine", "key", "value", cancellationToken: TestContext.Current.CancellationToken);
        }
    }
}
