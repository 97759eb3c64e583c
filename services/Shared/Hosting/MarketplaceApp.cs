using System.Reflection;

namespace Marketplace.Hosting;

/// <summary>Which app this process is. The assembly holds its migrations.</summary>
public sealed record MarketplaceApp(string AppId, string? Database, Assembly Assembly)
{
    /// <summary>Where events go that this app could not handle.</summary>
    public string DeadLetterTopic => $"{AppId}.dead";
}
