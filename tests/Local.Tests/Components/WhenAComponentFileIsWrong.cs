using Marketplace.Local.Launcher;
using Xunit;

namespace Marketplace.Local.Tests.Components;

/// <summary>One slip in one file of a set that is right, and the complaint it must raise: a rule that finds nothing proves nothing.</summary>
public sealed class WhenAComponentFileIsWrong : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("components-").FullName;

    [Theory]
    [InlineData("redis", "pubsub.yaml", "name: processingTimeout", "name: procesingTimeout", "pubsub.yaml: pubsub.redis has no key procesingTimeout")]
    [InlineData("rabbitmq", "pubsub.yaml", "name: publisherConfirm", "name: publisherConfirms", "pubsub.yaml: pubsub.rabbitmq has no key publisherConfirms")]
    [InlineData("aws", "carts.yaml", "name: ttlAttributeName", "name: ttlAttribute", "carts.yaml: state.aws.dynamodb has no key ttlAttribute")]
    [InlineData("azure", "pubsub.yaml", "name: lockDurationInSec", "name: lockDuration", "pubsub.yaml: pubsub.azure.servicebus.topics has no key lockDuration")]
    [InlineData("gcp", "pubsub.yaml", "name: enableMessageOrdering", "name: messageOrdering", "pubsub.yaml: pubsub.gcp.pubsub has no key messageOrdering")]
    [InlineData("local", "pubsub.yaml", "metadata: []", "metadata: [{name: journal, value: folder}]", "pubsub.yaml: pubsub.in-memory has no key journal")]
    public void A_misspelt_key_is_found(string set, string file, string right, string wrong, string complaint) => Finds(set, file, right, wrong, complaint);

    [Theory]
    [InlineData("redis", "carts.yaml", "redisHost", "redisUsername", "carts.yaml: state.redis needs the key redisHost")]
    [InlineData("aws", "media.yaml", "name: bucket", "name: endpoint", "media.yaml: bindings.aws.s3 needs the key bucket")]
    [InlineData("azure", "carts.yaml", "name: collection", "name: contenttype", "carts.yaml: state.azure.cosmosdb needs the key collection")]
    [InlineData("local", "email.yaml", "name: emailFrom", "name: emailCC", "email.yaml: bindings.smtp needs the key emailFrom")]
    public void A_missing_key_is_found(string set, string file, string right, string wrong, string complaint) => Finds(set, file, right, wrong, complaint);

    [Theory]
    [InlineData("redis", "actors.yaml", "name: connectionString", "name: host", "actors.yaml: no way to sign in to state.postgresql is complete")]
    [InlineData("azure", "pubsub.yaml", "name: namespaceName", "name: consumerID", "pubsub.yaml: no way to sign in to pubsub.azure.servicebus.topics is complete")]
    [InlineData("gcp", "pubsub.yaml", "name: projectID", "name: clientID", "pubsub.yaml: no way to sign in to pubsub.gcp.pubsub is complete")]
    [InlineData("kafka", "pubsub.yaml", "value: \"none\"", "value: \"password\"", "pubsub.yaml: no way to sign in to pubsub.kafka is complete")]
    public void A_way_to_sign_in_that_lacks_something_is_found(string set, string file, string right, string wrong, string complaint) => Finds(set, file, right, wrong, complaint);

    [Theory]
    [InlineData("kafka", "pubsub.yaml", "value: \"oldest\"", "value: \"first\"", "pubsub.yaml: initialOffset may be newest, oldest, not first")]
    [InlineData("azure", "media.yaml", "value: \"none\"", "value: \"public\"", "media.yaml: publicAccessLevel may be none, blob, container, not public")]
    [InlineData("rabbitmq", "pubsub.yaml", "value: \"20\"", "value: \"many\"", "pubsub.yaml: prefetchCount is a number, not many")]
    [InlineData("redis", "actors.yaml", "value: \"20s\"", "value: \"20 seconds\"", "actors.yaml: timeout is a duration such as 5s, not 20 seconds")]
    [InlineData("rabbitmq", "pubsub.yaml", "value: \"true\"", "value: \"on\"", "pubsub.yaml: durable is true or false, not on")]
    public void A_value_that_the_key_does_not_take_is_found(string set, string file, string right, string wrong, string complaint) => Finds(set, file, right, wrong, complaint);

    [Theory]
    [InlineData("carts.yaml", "- cart", "- carts", "carts.yaml: scopes: there is no app carts")]
    [InlineData("resiliency-questions.yaml", "- search", "- seach", "resiliency-questions.yaml: scopes: there is no app seach")]
    public void A_scope_that_is_no_app_is_found(string file, string right, string wrong, string complaint) => Finds("redis", file, right, wrong, complaint);

    [Theory]
    [InlineData("kafka", "pubsub.yaml", "kafka-brokers", "kafka-broker", "pubsub.yaml: brokers: the launcher writes no secret kafka-broker")]
    [InlineData("rabbitmq", "pubsub.yaml", "rabbitmq-url", "kafka-brokers", "pubsub.yaml: connectionString: the launcher writes no secret kafka-brokers")]
    [InlineData("rabbitmq", "pubsub.yaml", "        key: rabbitmq-url", "        key: url", "pubsub.yaml: connectionString: every secret has one value, under its own name: not rabbitmq-url/url")]
    [InlineData("redis", "carts.yaml", "secretStore: secrets", "secretStore: vault", "carts.yaml: auth.secretStore must be secrets")]
    public void A_secret_that_nobody_keeps_is_found(string set, string file, string right, string wrong, string complaint) => Finds(set, file, right, wrong, complaint);

    [Fact]
    public void A_secret_that_stands_in_the_file_is_found() =>
        Finds("rabbitmq", "pubsub.yaml", "      secretKeyRef:\n        name: rabbitmq-url\n        key: rabbitmq-url", "      value: amqp://guest:guest@localhost", "pubsub.yaml: connectionString stands there for all to read; it belongs in the secret store");

    [Theory]
    [InlineData("carts.yaml", "state.redis", "state.reddis", "carts.yaml: spec.type: there is no state.reddis")]
    [InlineData("carts.yaml", "version: v1", "version: v3", "carts.yaml: spec.version: state.redis has no v3")]
    [InlineData("carts.yaml", "kind: Component", "kind: Components", "carts.yaml: there is no kind Components")]
    [InlineData("carts.yaml", "dapr.io/v1alpha1", "dapr.io/v1", "carts.yaml: apiVersion is dapr.io/v1")]
    [InlineData("email.yaml", "version: v1", "version: 1.0", "email.yaml: spec: version: 1.0 must be in quotes to be text")]
    [InlineData("email.yaml", "secretStore: secrets", "store: secrets", "email.yaml: auth: there is no field store")]
    [InlineData("resiliency.yaml", "maxRetries: 30", "maxRetries: some", "resiliency.yaml: spec: policies: retries: restart: maxRetries is not a whole number")]
    [InlineData("resiliency.yaml", "inbound:", "inbounds:", "resiliency.yaml: spec: targets: components: pubsub: there is no field inbounds")]
    public void What_the_resource_definitions_do_not_know_is_found(string file, string right, string wrong, string complaint) => Finds("redis", file, right, wrong, complaint);

    public void Dispose() => Directory.Delete(folder, recursive: true);

    private void Finds(string set, string file, string right, string wrong, string complaint)
    {
        foreach (var original in Directory.EnumerateFiles(Path.Combine(SourceTree.Find().Root, "components", set)))
            File.Copy(original, Path.Combine(folder, Path.GetFileName(original)));
        var text = File.ReadAllText(Path.Combine(folder, file));
        Assert.Contains(right, text, StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(folder, file), text.Replace(right, wrong, StringComparison.Ordinal));

        Assert.Contains(complaint, Check.Rules(set).Complaints(folder));
    }
}
