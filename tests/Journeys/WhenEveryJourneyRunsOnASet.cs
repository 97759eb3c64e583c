using System.Diagnostics;
using Xunit;

namespace Marketplace.Journeys;

/// <summary>
/// All journeys once more on every set, in a process per set: a quarter of an hour, and only when asked for with MARKETPLACE_JOURNEYS=every-set.
/// One class by hand: MARKETPLACE_JOURNEYS_SET=redis dotnet test --project tests/Journeys -- --filter-class '*Name'.
/// </summary>
public sealed class WhenEveryJourneyRunsOnASet
{
    [Theory]
    [InlineData("redis")]
    [InlineData("rabbitmq")]
    [InlineData("postgres")]
    [InlineData("kafka")]
    public async Task All_of_them_end_well(string set)
    {
        Assert.SkipUnless(Environment.GetEnvironmentVariable("MARKETPLACE_JOURNEYS") == "every-set", "only with MARKETPLACE_JOURNEYS=every-set");
        Assert.SkipWhen(Market.WhyNot(set) is not null, Market.WhyNot(set) ?? "");

        string[] own = [typeof(WhenEveryJourneyRunsOnASet).FullName!, .. typeof(WhenAnotherSetIsChosen).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(WhenAnotherSetIsChosen))).Select(type => type.FullName!)];
        var start = new ProcessStartInfo("dotnet", [typeof(WhenEveryJourneyRunsOnASet).Assembly.Location, .. own.SelectMany(name => (string[])["-class-", name]), "-noLogo", "-noColor"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { [Market.Variable] = set },
        };
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        TestContext.Current.TestOutputHelper?.WriteLine(output);
        Assert.True(process.ExitCode == 0, $"{set}: the journeys ended with {process.ExitCode}:\n{output}{await errors}");
    }
}
