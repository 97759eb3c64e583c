using System.Diagnostics;
using System.Reflection;
using Marketplace.Sidecar.Tests.Daprd;
using Xunit;

namespace Marketplace.Sidecar.Tests;

/// <summary>
/// Every class marked <see cref="EverySidecarAttribute"/> once more, in a process of its own whose sidecars are real daprds. A row of its own says
/// so when there is no daprd. To run one class by hand: SIDECAR=daprd DAPRD_PATH=… dotnet test --project tests/Sidecar.Tests -- --filter-class '*Name'.
/// </summary>
public sealed class OnDaprd
{
    private const string Prefix = "Marketplace.Sidecar.Tests.";

    public static TheoryData<string> Classes =>
        [.. typeof(OnDaprd).Assembly.GetTypes().Where(type => type.GetCustomAttribute<EverySidecarAttribute>() is not null).Select(type => type.FullName![Prefix.Length..]).Order(StringComparer.Ordinal)];

    [Theory, MemberData(nameof(Classes))]
    public async Task The_tests_of_a_class_hold(string name)
    {
        Assert.SkipWhen(SidecarsUnderTest.Kind == SidecarKind.Daprd, "daprd: this process is the one that runs on it");
        Assert.SkipWhen(DaprdPrograms.WhyNot() is not null, DaprdPrograms.WhyNot() ?? "");

        var (code, output) = await RunAsync(name, Environment.GetEnvironmentVariable(DaprdPrograms.Variable)!, TestContext.Current.CancellationToken);

        Assert.True(code == 0, $"{name} ended with {code}:\n{output}");
        TestContext.Current.TestOutputHelper?.WriteLine(output);
    }

    internal static async Task<(int Code, string Output)> RunAsync(string name, string programs, CancellationToken ct)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(OnDaprd).Assembly.Location, "-class", Prefix + name, "-noLogo", "-noColor"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["SIDECAR"] = "daprd", [DaprdPrograms.Variable] = programs },
        };
        using var process = Process.Start(start)!;
        try
        {
            var errors = process.StandardError.ReadToEndAsync(ct);
            var output = await process.StandardOutput.ReadToEndAsync(ct);
            await process.WaitForExitAsync(ct);
            return (process.ExitCode, output + await errors);
        }
        finally
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
        }
    }
}
