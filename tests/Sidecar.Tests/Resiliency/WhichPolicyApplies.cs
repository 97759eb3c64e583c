using Marketplace.Local.Sidecar.Resiliency;
using Xunit;

namespace Marketplace.Sidecar.Tests.Resiliency;

/// <summary>Which of the named policies a target gets, and what daprd takes for what is not said.</summary>
public sealed class WhichPolicyApplies
{
    private const string Defaults = """
        policies:
          timeouts:
            DefaultTimeoutPolicy: 9s
            DefaultComponentTimeoutPolicy: 8s
            DefaultComponentOutboundTimeoutPolicy: 7s
            DefaultStatestoreComponentOutboundTimeoutPolicy: 6s
            DefaultAppTimeoutPolicy: 5s
            DefaultActorTimeoutPolicy: 4s
            own: 1s
          retries:
            DefaultRetryPolicy: {policy: constant, maxRetries: 9}
            DefaultComponentInboundRetryPolicy: {policy: constant, maxRetries: 8}
          circuitBreakers:
            DefaultActorCircuitBreakerPolicy: {trip: consecutiveFailures > 1}
        targets:
          apps:
            named: {timeout: own}
            bare: {}
          components:
            one-way: {inbound: {timeout: own}}
        """;

    [Fact]
    public void Without_documents_nothing_is_guarded()
    {
        var policies = ResiliencyPolicies.None;
        Assert.Null(policies.App("catalog", "prices"));
        Assert.Null(policies.ActorCall("Sale", "1"));
        Assert.Null(policies.ActorTimeout("Sale"));
        Assert.Null(policies.ComponentInbound("pubsub", "Pubsub"));
        Assert.Null(policies.ComponentOutbound("carts", "Statestore"));
        Assert.Equal((3, TimeSpan.FromSeconds(1)), (policies.Unreachable("catalog")!.MaxRetries, policies.Unreachable("catalog")!.Duration));
    }

    [Fact]
    public void A_target_without_a_name_gets_the_narrowest_default_of_each_kind()
    {
        var policies = Documents.Policies(Defaults);
        Assert.Equal((6, 9), Told(policies.ComponentOutbound("carts", "Statestore")));
        Assert.Equal((7, 9), Told(policies.ComponentOutbound("email", "Binding")));
        Assert.Equal((8, 8), Told(policies.ComponentInbound("pubsub", "Pubsub")));
        Assert.Equal((5, 9), Told(policies.App("other", "x")));
        Assert.Equal((0, 9), Told(policies.ActorCall("Sale", "1")));
        Assert.Equal(TimeSpan.FromSeconds(4), policies.ActorTimeout("Sale"));
        Assert.NotNull(policies.ActorCall("Sale", "1")!.Breaker);

        static (int, int?) Told(ResiliencePolicy? policy) => ((int)(policy!.Timeout?.TotalSeconds ?? 0), policy.Retry?.MaxRetries);
    }

    [Fact]
    public void A_named_target_gets_only_what_it_names()
    {
        var policies = Documents.Policies(Defaults);
        Assert.Equal(new ResiliencePolicy(TimeSpan.FromSeconds(1), null, null), policies.App("named", "x"));
        Assert.Null(policies.App("bare", "x"));
        Assert.Equal(new ResiliencePolicy(TimeSpan.FromSeconds(1), null, null), policies.ComponentInbound("one-way", "Pubsub"));
        Assert.Null(policies.ComponentOutbound("one-way", "Pubsub"));
        Assert.Null(policies.Unreachable("named"));
    }

    [Fact]
    public void A_retry_says_nothing_and_gets_daprs_defaults()
    {
        var retry = Documents.Manifest("policies: {retries: {r: {}}}").Retries["r"];
        Assert.Equal(new RetryPolicy(false, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(60), -1), retry);
    }

    [Fact]
    public void A_bare_number_is_milliseconds()
    {
        var manifest = Documents.Manifest("policies: {timeouts: {t: 250, long: 1m30s}, retries: {r: {duration: \"100\"}}, circuitBreakers: {b: {timeout: 500, interval: 20}}}");
        Assert.Equal((250.0, 90_000.0), (manifest.Timeouts["t"].TotalMilliseconds, manifest.Timeouts["long"].TotalMilliseconds));
        Assert.Equal(100, manifest.Retries["r"].Duration.TotalMilliseconds);
        Assert.Equal((500.0, 20.0), (manifest.Breakers["b"].Timeout.TotalMilliseconds, manifest.Breakers["b"].Interval.TotalMilliseconds));
    }

    [Fact]
    public void A_target_may_use_the_policies_of_another_document()
    {
        var policies = Documents.Policies("targets: {apps: {catalog: {timeout: short}}}", "policies: {timeouts: {short: 1s}}");
        Assert.Equal(TimeSpan.FromSeconds(1), policies.App("catalog", "x")!.Timeout);
    }

    [Fact]
    public void Codes_are_single_or_ranges()
    {
        var retry = Documents.Manifest("policies: {retries: {r: {matching: {httpStatusCodes: \"429,502-504\", gRPCStatusCodes: \"14\"}}}}").Retries["r"];
        Assert.Equal([429, 502, 503, 504], new[] { 400, 429, 500, 502, 503, 504, 505 }.Where(retry.RetriesHttp));
        Assert.Equal([14], new[] { 2, 14 }.Where(retry.RetriesGrpc));
    }

    [Fact]
    public void The_retries_towards_an_app_out_of_reach_can_be_named_but_not_reduced()
    {
        Assert.Equal((3, 2.0), Told("{duration: 2s, maxRetries: 1}"));
        Assert.Equal((7, 2.0), Told("{duration: 2s, maxRetries: 7}"));

        static (int, double) Told(string retry)
        {
            var policy = Documents.Policies($"policies: {{retries: {{DaprBuiltInServiceRetries: {retry}}}}}").Unreachable("catalog")!;
            return (policy.MaxRetries, policy.Duration.TotalSeconds);
        }
    }

    [Fact]
    public void Each_endpoint_of_an_app_and_each_actor_has_a_breaker_of_its_own()
    {
        var policies = Documents.Policies("""
            policies: {circuitBreakers: {fuse: {}}}
            targets:
              apps: {catalog: {circuitBreaker: fuse, circuitBreakerCacheSize: 2}}
              actors:
                Sale: {circuitBreaker: fuse, circuitBreakerScope: id}
                Till: {circuitBreaker: fuse, circuitBreakerScope: type}
                Safe: {circuitBreaker: fuse, circuitBreakerScope: both}
              components: {pubsub: {inbound: {circuitBreaker: fuse}, outbound: {circuitBreaker: fuse}}}
            """);
        var prices = policies.App("catalog", "prices")!.Breaker;
        Assert.Same(prices, policies.App("catalog", "prices")!.Breaker);
        Assert.NotSame(prices, policies.App("catalog", "search")!.Breaker);
        Assert.Same(prices, policies.App("catalog", "prices")!.Breaker);
        Assert.NotNull(policies.App("catalog", "third")!.Breaker);
        Assert.Same(prices, policies.App("catalog", "prices")!.Breaker);   // the least used of three was forgotten, and that is search

        Assert.NotSame(policies.ActorCall("Sale", "1")!.Breaker, policies.ActorCall("Sale", "2")!.Breaker);
        Assert.NotSame(policies.ActorCall("Safe", "1")!.Breaker, policies.ActorCall("Safe", "2")!.Breaker);
        Assert.Same(policies.ActorCall("Till", "1")!.Breaker, policies.ActorCall("Till", "2")!.Breaker);
        Assert.Same(policies.ComponentInbound("pubsub", "Pubsub")!.Breaker, policies.ComponentOutbound("pubsub", "Pubsub")!.Breaker);
    }
}
