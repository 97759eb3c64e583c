using System.Text;
using Marketplace.Local.Sidecar.PubSub;
using Xunit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>What an app lists under GET /dapr/subscribe, and where that leads an event.</summary>
public sealed class EventRoutes
{
    [Fact]
    public void The_first_rule_that_matches_wins_and_the_default_takes_the_rest()
    {
        var subscription = Only("""
            [{"pubsubname":"pubsub","topic":"order.created","routes":{"default":"/any","rules":[
              {"match":"event.data.total > 1000 && event.data.currency == 'GBP'","path":"/large"},
              {"match":"event.type == 'gift'","path":"/gift"},
              {"match":"has(event.data.tags) && 'fragile' in event.data.tags","path":"/fragile"}]}}]
            """);

        Assert.Equal("/large", Route(subscription, """{"type":"gift","data":{"total":1200,"currency":"GBP"}}"""));
        Assert.Equal("/gift", Route(subscription, """{"type":"gift","data":{"total":5,"currency":"GBP"}}"""));
        Assert.Equal("/fragile", Route(subscription, """{"type":"x","data":{"total":5,"currency":"GBP","tags":["fragile"]}}"""));
        Assert.Equal("/any", Route(subscription, """{"type":"x","data":{"total":5,"currency":"EUR"}}"""));
    }

    [Theory]
    [InlineData("event.data.n == 3", true)]
    [InlineData("event.data.n == 3.0", true)]
    [InlineData("event.data.n < 3", false)]
    [InlineData("event.data.deep.er == null", true)]
    [InlineData("event.source.startsWith('order')", true)]
    [InlineData("event.data.lines.exists(line, line.sku == 'b')", true)]
    [InlineData("event['data'].n >= 3", true)]
    [InlineData("event.data.name.matches('^l.*p$')", true)]
    public void Rules_read_the_whole_envelope(string rule, bool matches)
    {
        var subscription = Only($$$"""[{"pubsubname":"pubsub","topic":"t","routes":{"rules":[{"match":"{{{rule}}}","path":"/yes"}]}}]""");
        var path = Route(subscription, """{"source":"ordering","data":{"n":3,"name":"lamp","deep":{"er":null},"lines":[{"sku":"a"},{"sku":"b"}]}}""");
        Assert.Equal(matches ? "/yes" : null, path);
    }

    [Fact]
    public void A_rule_about_a_missing_field_is_a_failure_not_a_mismatch()
    {
        var subscription = Only("""[{"pubsubname":"pubsub","topic":"t","routes":{"default":"/any","rules":[{"match":"event.data.kind == 'x'","path":"/x"}]}}]""");
        Assert.ThrowsAny<Exception>(() => Route(subscription, """{"data":{}}"""));
    }

    [Fact]
    public void A_rule_that_is_neither_true_nor_false_is_a_failure()
    {
        var subscription = Only("""[{"pubsubname":"pubsub","topic":"t","routes":{"default":"/any","rules":[{"match":"event.data.kind","path":"/x"}]}}]""");
        Assert.ThrowsAny<Exception>(() => Route(subscription, """{"data":{"kind":"y"}}"""));
    }

    [Fact]
    public void What_Dapr_AspNetCore_writes_is_understood_in_its_own_spelling()
    {
        var subscription = Only("""[{"topic":"order.confirmed","pubsubName":"pubsub","route":"events/order-confirmed","deadLetterTopic":"cart.dead"}]""");
        Assert.Equal(("pubsub", "order.confirmed", "cart.dead"), (subscription.PubSub, subscription.Topic, subscription.DeadLetterTopic));
        Assert.Equal("events/order-confirmed", Route(subscription, "{}"));
    }

    [Fact]
    public void The_first_form_has_one_route_and_a_default_stands_above_it()
    {
        Assert.Equal("/events/a", Route(Only("""[{"pubsubname":"pubsub","topic":"t","route":"/events/a"}]"""), "{}"));
        Assert.Equal("/b", Route(Only("""[{"pubsubname":"pubsub","topic":"t","route":"/events/a","routes":{"default":"/b"}}]"""), "{}"));
    }

    [Fact]
    public void One_bad_rule_refuses_the_whole_list()
    {
        var error = Assert.Throws<FormatException>(() => Parse("""
            [{"pubsubname":"pubsub","topic":"a","route":"/a"},
             {"pubsubname":"pubsub","topic":"b","routes":{"rules":[{"match":"event.type ==","path":"/b"}]}}]
            """));
        Assert.Contains("event.type ==", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_entry_without_any_path_is_left_out()
    {
        Assert.Empty(Parse("""[{"pubsubname":"pubsub","topic":"a"}]"""));
    }

    [Fact]
    public void Dead_letters_metadata_and_bulk_are_read()
    {
        var subscription = Only("""
            [{"pubsubname":"pubsub","topic":"a","route":"/a","deadLetterTopic":"search.dead","metadata":{"rawPayload":"true"},
              "bulkSubscribe":{"enabled":true,"maxMessagesCount":20}}]
            """);
        Assert.Equal("search.dead", subscription.DeadLetterTopic);
        Assert.True(subscription.IsRaw);
        Assert.Equal(20, subscription.Bulk!.MaxMessages);
    }

    private static IReadOnlyList<Subscription> Parse(string json) => Subscription.Parse(Encoding.UTF8.GetBytes(json));

    private static Subscription Only(string json) => Assert.Single(Parse(json));

    private static string? Route(Subscription subscription, string envelope) => subscription.Route(Encoding.UTF8.GetBytes(envelope));
}
