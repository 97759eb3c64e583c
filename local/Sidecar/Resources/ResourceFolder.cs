using Marketplace.Local.Sidecar.Resiliency;

namespace Marketplace.Local.Sidecar.Resources;

/// <summary>Everything one resources folder declares, for all apps: the YAML files directly in it, in the order of their names.</summary>
public sealed record ResourceFolder(
    IReadOnlyList<ComponentManifest> Components,
    IReadOnlyList<SubscriptionManifest> Subscriptions,
    IReadOnlyList<ResiliencyManifest> Resiliency)
{
    private static readonly string[] Loaded = ["Component", "Subscription", "Resiliency"];
    private static readonly string[] Passed = ["Configuration", "HTTPEndpoint"];

    public static ResourceFolder Read(string folder)
    {
        if (!Directory.Exists(folder)) throw new ResourceException(folder, 0, "", "there is no such folder.");

        var components = new List<ComponentManifest>();
        var subscriptions = new List<SubscriptionManifest>();
        var resiliency = new List<ResiliencyManifest>();
        var files = Directory.EnumerateFiles(folder).Where(file => Path.GetExtension(file) is ".yaml" or ".yml").Order(StringComparer.Ordinal);
        foreach (var (document, first) in files.SelectMany(file => YamlView.Documents(file).Select((document, place) => (document, place == 0))))
        {
            var kind = document.Get("kind");
            var version = document.Get("apiVersion");
            switch (kind.Text(), version.Text())
            {
                case ("Component", "dapr.io/v1alpha1"):
                    components.Add(ComponentManifest.Of(document));
                    break;
                case ("Subscription", "dapr.io/v1alpha1" or "dapr.io/v2alpha1"):
                    subscriptions.Add(SubscriptionManifest.Of(document, second: version.Text().EndsWith("v2alpha1", StringComparison.Ordinal)));
                    break;
                case ("Resiliency", "dapr.io/v1alpha1") when !first:
                    throw document.Error("a Resiliency behind the first document of a file is passed over by daprd: give it a file of its own.");
                case ("Resiliency", "dapr.io/v1alpha1"):
                    resiliency.Add(ResiliencyManifest.Of(document));
                    break;
                case ("Component" or "Subscription" or "Resiliency", var other):
                    throw version.Error($"is not known for a {kind.Text()}: {other}.");
                // daprd passes over a kind that it does not know, and the apps miss what was meant.
                case (var other, _) when !Passed.Contains(other) && Nearest.To(other, [.. Loaded, .. Passed]) is { } meant:
                    throw kind.Error($"there is no kind {other} (did you mean {meant}?).");
                default:
                    // Configuration and HTTPEndpoint may lie here too; daprd's loaders look only for their own kinds.
                    break;
            }
        }

        return new ResourceFolder(components, subscriptions, resiliency);
    }
}
