namespace Marketplace.Contracts.Tests;

public sealed class SmokeTests
{
    [Xunit.Fact]
    public void Works() => Xunit.Assert.Equal(2, 1 + 1);
}
