using Marketplace.Search.Engine.Lucene;
using Xunit;

namespace Marketplace.Search.Tests;

public sealed class WhenACatalogueHasManyScripts
{
    private readonly Vocabulary vocabulary = new();

    [Fact]
    public void What_somebody_may_have_meant_is_a_few_hundred_beginnings_all_the_same()
    {
        vocabulary.Add(Enumerable.Range(0x4e00, 8_000).Select(sign => $"{(char)sign}"));
        vocabulary.Add(["lamp"]);

        var meant = vocabulary.Meant("lxmp").ToList();

        Assert.Contains("lamp", meant);
        Assert.InRange(meant.Count, 1, 1_000);
    }

    [Fact]
    public void Letters_of_the_catalogue_are_put_in_too()
    {
        vocabulary.Add(["чайник"]);

        Assert.Contains("чайник", vocabulary.Meant("чайнк"));
    }
}
