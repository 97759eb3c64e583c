namespace Marketplace.Sidecar.Tests;

/// <summary>The tests of this class ask for what every sidecar does: they run against the local host, and against a real daprd where there is one.</summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class EverySidecarAttribute : Attribute;
