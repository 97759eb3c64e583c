namespace Marketplace.Hosting;

public static class PubSub
{
    /// <summary>The component's name, the same in every set under <c>components/</c>.</summary>
    public const string Name = "pubsub";
}
