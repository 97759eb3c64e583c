namespace Marketplace.Local.Sidecar.PubSub;

internal sealed class PubSubBlock(SidecarHost host) : BuildingBlock(host)
{
}
