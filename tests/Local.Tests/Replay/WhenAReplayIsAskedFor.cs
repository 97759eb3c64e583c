using Marketplace.Local.Launcher;
using Marketplace.Local.Replay;
using Xunit;

namespace Marketplace.Local.Tests.Replay;

public sealed class WhenAReplayIsAskedFor
{
    private static readonly string File = Path.Combine(SourceTree.Find().Root, "dapr.yaml");   // any file that is there

    [Fact]
    public void One_day_from_the_first_of_december_at_full_speed_is_what_nothing_else_means() =>
        Assert.Equal(new ReplayOptions(File, new DateOnly(2010, 12, 1), 1, null, 24), ReplayOptions.Parse([File]));

    [Fact]
    public void Days_start_and_speed_can_be_chosen() =>
        Assert.Equal(new ReplayOptions(File, new DateOnly(2011, 1, 4), 5, 60, 8), ReplayOptions.Parse(["--from", "2011-01-04", File, "--days", "5", "--speed", "60", "--concurrency", "8"]));

    [Theory]
    [InlineData("--days", "0")]
    [InlineData("--days", "many")]
    [InlineData("--from", "01.12.2010")]
    [InlineData("--speed", "fast")]
    [InlineData("--concurrency", "0")]
    public void A_value_that_makes_no_sense_is_named(string option, string value) =>
        Assert.Contains(value, Assert.Throws<UsageException>(() => ReplayOptions.Parse([File, option, value])).Message);

    [Fact]
    public void No_file_two_files_or_a_missing_one_are_refused()
    {
        Assert.Throws<UsageException>(() => ReplayOptions.Parse([]));
        Assert.Throws<UsageException>(() => ReplayOptions.Parse([File, File]));
        Assert.Contains("nowhere.csv", Assert.Throws<UsageException>(() => ReplayOptions.Parse(["nowhere.csv"])).Message);
    }
}
