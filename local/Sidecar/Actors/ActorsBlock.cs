namespace Marketplace.Local.Sidecar.Actors;

internal sealed class ActorsBlock(SidecarHost host) : BuildingBlock(host)
{
}
