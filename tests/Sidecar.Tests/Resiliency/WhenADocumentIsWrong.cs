using Marketplace.Local.Sidecar;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.Resiliency;

/// <summary>daprd logs such a document and goes on without it; here nothing starts, and the error says where to look.</summary>
public sealed class WhenADocumentIsWrong
{
    [Theory]
    [InlineData("policies:\n  timeouts:\n    t: soon", "spec.policies.timeouts.t", 7, "duration")]
    [InlineData("policies:\n  retries:\n    r:\n      duration: 5 s", "spec.policies.retries.r.duration", 8, "duration")]
    [InlineData("policies:\n  retries:\n    r: {policy: linear}", "spec.policies.retries.r.policy", 7, "constant or exponential")]
    [InlineData("policies:\n  retries:\n    r: {maxRetry: 3}", "spec.policies.retries.r.maxRetry", 7, "maxRetries")]
    [InlineData("policies:\n  retries:\n    r: {maxRetries: few}", "spec.policies.retries.r.maxRetries", 7, "whole number")]
    [InlineData("policies:\n  retries:\n    r: {matching: {httpStatusCodes: \"504-502\"}}", "spec.policies.retries.r.matching.httpStatusCodes", 7, "ranges")]
    [InlineData("policies:\n  retries:\n    r: {matching: {httpStatusCodes: \"42\"}}", "spec.policies.retries.r.matching.httpStatusCodes", 7, "between 100 and 599")]
    [InlineData("policies:\n  retries:\n    r: {matching: {gRPCStatusCodes: \"17\"}}", "spec.policies.retries.r.matching.gRPCStatusCodes", 7, "between 0 and 16")]
    [InlineData("policies:\n  circuitBreakers:\n    b: {trip: consecutiveFailures >}", "spec.policies.circuitBreakers.b.trip", 7, "CEL")]
    [InlineData("policies:\n  circuitBreakers:\n    b: {trip: failures > 3}", "spec.policies.circuitBreakers.b.trip", 7, "consecutiveFailures")]
    [InlineData("policies:\n  circuitBreakers:\n    b: {trip: requests + 1}", "spec.policies.circuitBreakers.b.trip", 7, "true or false")]
    [InlineData("policies:\n  circuitBreaker: {}", "spec.policies.circuitBreaker", 6, "circuitBreakers")]
    [InlineData("targets:\n  app: {}", "spec.targets.app", 6, "apps")]
    [InlineData("targets:\n  apps:\n    catalog: {retries: r}", "spec.targets.apps.catalog.retries", 7, "retry")]
    [InlineData("targets:\n  actors:\n    Sale: {circuitBreaker: b}", "spec.targets.actors.Sale", 7, "circuitBreakerScope")]
    [InlineData("targets:\n  actors:\n    Sale: {circuitBreaker: b, circuitBreakerScope: all}", "spec.targets.actors.Sale.circuitBreakerScope", 7, "type, id or both")]
    [InlineData("targets:\n  components:\n    pubsub: {retry: r}", "spec.targets.components.pubsub.retry", 7, "inbound, outbound")]
    public void It_is_named_by_file_line_and_key(string spec, string field, int line, string says)
    {
        var error = Assert.Throws<ResourceException>(() => Documents.Manifest(spec));
        Assert.Equal((Documents.File, line, field), (error.File, error.Line, error.Field));
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("targets:\n  apps:\n    catalog: {retry: hiccups}", "spec.targets.apps.catalog.retry", "there are hiccup")]
    [InlineData("targets:\n  components:\n    pubsub:\n      inbound: {timeout: short}", "spec.targets.components.pubsub.inbound.timeout", "no timeout policy short")]
    [InlineData("targets:\n  actors:\n    Sale: {circuitBreaker: fuse, circuitBreakerScope: id}", "spec.targets.actors.Sale.circuitBreaker", "no circuit breaker policy fuse")]
    public void A_policy_that_no_document_defines_is_named_too(string spec, string field, string says)
    {
        var error = Assert.Throws<ResourceException>(() => Documents.Policies(spec, "policies: {retries: {hiccup: {}}}"));
        Assert.Equal((Documents.File, field), (error.File, error.Field));
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_document_for_other_apps_is_not_looked_up()
    {
        const string Scoped = """
            apiVersion: dapr.io/v1alpha1
            kind: Resiliency
            metadata: {name: guards}
            spec: {targets: {apps: {catalog: {retry: nowhere}}}}
            scopes: [search]
            """;
        await using (await SidecarsUnderTest.StartAsync(Scoped, new AppUnderTest("cart")))
        {
        }

        var error = await Assert.ThrowsAsync<ResourceException>(() => SidecarsUnderTest.StartAsync(Scoped, new AppUnderTest("search")));
        Assert.Equal("spec.targets.apps.catalog.retry", error.Field);
    }
}
