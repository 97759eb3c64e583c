using System.Net;
using Marketplace.Gateway.Limits;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Marketplace.Gateway.Tests.Limits;

public sealed class RateGateTests
{
    private readonly FakeTimeProvider clock = new(DateTimeOffset.UtcNow);
    private readonly ClientKey ada = ClientKey.Of(Guid.NewGuid());

    [Fact]
    public void So_many_at_once_and_no_more()
    {
        var gate = new RateGate(10, TimeSpan.FromMinutes(1), clock);
        Assert.Equal([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], Enumerable.Range(0, 10).Select(_ => gate.Ask(ada).Remaining));
        var refused = gate.Ask(ada);
        Assert.False(refused.Admitted);
        Assert.Equal(TimeSpan.FromSeconds(6), refused.RetryAfter);
        Assert.Equal(TimeSpan.FromMinutes(1), refused.Reset);
    }

    [Fact]
    public void Who_waits_as_long_as_told_is_let_in_and_who_comes_earlier_is_not()
    {
        var gate = new RateGate(10, TimeSpan.FromMinutes(1), clock);
        while (gate.Ask(ada).Admitted)
        {
        }

        clock.Advance(TimeSpan.FromSeconds(5.9));
        Assert.False(gate.Ask(ada).Admitted);
        clock.Advance(TimeSpan.FromSeconds(0.1));
        Assert.True(gate.Ask(ada).Admitted);
        Assert.False(gate.Ask(ada).Admitted);
    }

    [Fact]
    public void A_refused_request_costs_nothing()
    {
        var gate = new RateGate(2, TimeSpan.FromSeconds(2), clock);
        for (var i = 0; i < 100; i++)
            gate.Ask(ada);
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.True(gate.Ask(ada).Admitted);
    }

    [Fact]
    public void One_client_does_not_use_up_what_another_has()
    {
        var gate = new RateGate(1, TimeSpan.FromMinutes(1), clock);
        Assert.True(gate.Ask(ada).Admitted);
        Assert.True(gate.Ask(ClientKey.Of(Guid.NewGuid())).Admitted);
        Assert.False(gate.Ask(ada).Admitted);
    }

    [Fact]
    public void Asked_from_many_threads_it_lets_in_exactly_so_many()
    {
        var gate = new RateGate(500, TimeSpan.FromMinutes(1), clock);
        var admitted = 0;
        Parallel.For(0, 2_000, _ =>
        {
            if (gate.Ask(ada).Admitted)
                Interlocked.Increment(ref admitted);
        });
        Assert.Equal(500, admitted);
    }

    [Fact]
    public void Memory_is_bounded_and_newcomers_to_a_full_table_share_one_account()
    {
        var gate = new RateGate(1, TimeSpan.FromMinutes(1), clock, mostClients: 100);
        var admitted = Enumerable.Range(0, 1_000).Count(_ => gate.Ask(ClientKey.Of(Guid.NewGuid())).Admitted);
        Assert.Equal(101, admitted);
        Assert.Equal(100, gate.Clients);

        clock.Advance(TimeSpan.FromMinutes(2));
        Assert.True(gate.Ask(ClientKey.Of(Guid.NewGuid())).Admitted);
        Assert.Equal(1, gate.Clients);
    }

    [Fact]
    public void Addresses_of_one_IPv6_network_are_one_client_and_IPv4_is_the_same_in_either_form()
    {
        Assert.Equal(ClientKey.Of(IPAddress.Parse("2001:db8:1:2::1")), ClientKey.Of(IPAddress.Parse("2001:db8:1:2:ffff::9")));
        Assert.NotEqual(ClientKey.Of(IPAddress.Parse("2001:db8:1:2::1")), ClientKey.Of(IPAddress.Parse("2001:db8:1:3::1")));
        Assert.Equal(ClientKey.Of(IPAddress.Parse("203.0.113.7")), ClientKey.Of(IPAddress.Parse("::ffff:203.0.113.7")));
        Assert.NotEqual(ClientKey.Of(IPAddress.Parse("203.0.113.7")), ClientKey.Of(IPAddress.Parse("203.0.113.8")));
    }
}
