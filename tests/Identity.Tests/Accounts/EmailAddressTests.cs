using Marketplace.Identity.Accounts;
using Xunit;

namespace Marketplace.Identity.Tests.Accounts;

public sealed class EmailAddressTests
{
    [Theory]
    [InlineData("ada@example.com", "ada@example.com")]
    [InlineData("  Ada@Example.COM ", "ada@example.com")]
    [InlineData("ada+shop@mail.example.co.uk", "ada+shop@mail.example.co.uk")]
    [InlineData("ÄDA@example.com", "äda@example.com")]
    public void Is_the_same_however_it_is_typed(string typed, string kept)
    {
        Assert.True(EmailAddress.TryParse(typed, out var email));
        Assert.Equal(kept, email.Value);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("ada")]
    [InlineData("@example.com")]
    [InlineData("ada@")]
    [InlineData("ada@@example.com")]
    [InlineData("a b@example.com")]
    [InlineData("ada@example..com")]
    [InlineData("ada@.example.com")]
    [InlineData("ada@example.com\0")]
    [InlineData("ada@example.com\r\nBcc:x@example.com")]
    [InlineData("<ada@example.com>")]
    public void Refuses_what_no_mail_would_reach(string? typed) => Assert.False(EmailAddress.TryParse(typed, out _));

    [Fact]
    public void Refuses_what_is_longer_than_mail_allows() => Assert.False(EmailAddress.TryParse($"ada@{new string('x', 250)}.com", out _));
}
