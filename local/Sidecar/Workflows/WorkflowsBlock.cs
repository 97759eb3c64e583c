namespace Marketplace.Local.Sidecar.Workflows;

internal sealed class WorkflowsBlock(SidecarHost host) : BuildingBlock(host)
{
}
