namespace Marketplace.Local.Sidecar.Resources;

/// <summary>
/// The keys of a document, part by part. daprd ignores a key it does not know, so that a misspelt one silently does nothing;
/// here it is refused. A part that is not listed may hold anything; items of a list have the path of their list and [].
/// </summary>
internal sealed class Shape
{
    public static readonly Shape Component = new("""
        : apiVersion kind metadata spec auth scopes
        auth: secretStore
        spec: type version ignoreErrors initTimeout metadata
        spec.metadata[]: name value secretKeyRef envRef
        spec.metadata[].secretKeyRef: name key
        """);

    public static readonly Shape Subscription = new("""
        : apiVersion kind metadata spec scopes
        spec: pubsubname topic route deadLetterTopic metadata bulkSubscribe
        spec.bulkSubscribe: enabled maxMessagesCount maxAwaitDurationMs
        """);

    public static readonly Shape SubscriptionWithRules = new("""
        : apiVersion kind metadata spec scopes
        spec: pubsubname topic routes deadLetterTopic metadata bulkSubscribe
        spec.routes: rules default
        spec.routes.rules[]: match path
        spec.bulkSubscribe: enabled maxMessagesCount maxAwaitDurationMs
        """);

    public static readonly Shape Configuration = new("""
        : apiVersion kind metadata spec
        spec: accessControl api appHttpPipeline components features httpPipeline logging metric metrics mtls nameResolution secrets tracing wasm workflow
        spec.accessControl: defaultAction policies trustDomain
        spec.accessControl.policies[]: appId defaultAction namespace operations trustDomain
        spec.accessControl.policies[].operations[]: action httpVerb name
        spec.api: allowed denied
        spec.api.allowed[]: name protocol version
        spec.api.denied[]: name protocol version
        spec.appHttpPipeline: handlers
        spec.appHttpPipeline.handlers[]: name selector type version
        spec.components: deny
        spec.features[]: enabled name
        spec.httpPipeline: handlers
        spec.httpPipeline.handlers[]: name selector type version
        spec.logging: apiLogging
        spec.logging.apiLogging: enabled obfuscateURLs omitHealthChecks
        spec.metric: enabled http latencyDistributionBuckets recordErrorCodes rules workflow
        spec.metric.http: excludeVerbs increasedCardinality pathMatching
        spec.metrics: enabled http latencyDistributionBuckets recordErrorCodes rules workflow
        spec.metrics.http: excludeVerbs increasedCardinality pathMatching
        spec.mtls: allowedClockSkew controlPlaneTrustDomain enabled sentryAddress tokenValidators workloadCertTTL
        spec.nameResolution: component configuration version
        spec.secrets: scopes
        spec.secrets.scopes[]: allowedSecrets defaultAccess deniedSecrets storeName
        spec.tracing: otel samplingRate stdout zipkin
        spec.tracing.otel: endpointAddress headers isSecure protocol timeout
        spec.tracing.zipkin: endpointAddress
        spec.wasm: strictSandbox
        spec.workflow: activityConcurrencyLimits globalMaxConcurrentActivityInvocations globalMaxConcurrentWorkflowInvocations maxConcurrentActivityInvocations maxConcurrentWorkflowInvocations stateRetentionPolicy workflowConcurrencyLimits
        spec.workflow.activityConcurrencyLimits[]: maxConcurrent name
        spec.workflow.stateRetentionPolicy: anyTerminal completed failed terminated
        spec.workflow.workflowConcurrencyLimits[]: maxConcurrent name
        """);

    private readonly Dictionary<string, string[]> parts;

    private Shape(string parts) => this.parts = parts.Split('\n').Select(line => line.Split(':')).ToDictionary(
        line => line[0],
        line => line[1].Split(' ', StringSplitOptions.RemoveEmptyEntries));

    /// <exception cref="ResourceException">Some part has a key that does not belong there.</exception>
    public void Check(YamlView document) => Check(document, "");

    private void Check(YamlView view, string path)
    {
        if (view.IsList)
        {
            foreach (var item in view.Items()) Check(item, path + "[]");
        }
        else if (view.IsMapping)
        {
            if (parts.TryGetValue(path, out var keys)) view.Only(keys);
            foreach (var (key, value) in view.Entries()) Check(value, path.Length == 0 ? key : $"{path}.{key}");
        }
    }
}
