using Xunit;

namespace Marketplace.Sidecar.Tests.Daprd;

/// <summary>The programs of a real Dapr, from the folder that DAPRD_PATH names.</summary>
internal sealed record DaprdPrograms(string Daprd, string Placement, string Scheduler)
{
    public const string Variable = "DAPRD_PATH";

    /// <summary>Why there are none; null when there are.</summary>
    public static string? WhyNot() => In(Environment.GetEnvironmentVariable(Variable)) is null ? $"daprd: {Variable} names no folder with daprd" : null;

    public static DaprdPrograms Need()
    {
        Assert.SkipWhen(WhyNot() is not null, WhyNot() ?? "");
        return In(Environment.GetEnvironmentVariable(Variable))!;
    }

    /// <summary>Null unless the folder holds a daprd. Placement and scheduler lie beside it; tests of actors need them.</summary>
    public static DaprdPrograms? In(string? folder)
    {
        if (string.IsNullOrEmpty(folder)) return null;
        var suffix = OperatingSystem.IsWindows() ? ".exe" : "";
        string Program(string name) => Path.Combine(folder, name + suffix);
        return File.Exists(Program("daprd")) ? new DaprdPrograms(Program("daprd"), Program("placement"), Program("scheduler")) : null;
    }
}
