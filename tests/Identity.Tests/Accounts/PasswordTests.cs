using Marketplace.Identity.Accounts;
using Microsoft.Extensions.Options;
using Xunit;

namespace Marketplace.Identity.Tests.Accounts;

public sealed class PasswordTests
{
    private static readonly CancellationToken Ct = TestContext.Current.CancellationToken;

    [Fact]
    public void The_default_is_what_OWASP_asks_of_PBKDF2_with_SHA_256() => Assert.Equal(600_000, new PasswordOptions().Iterations);

    [Fact]
    public async Task The_right_password_is_right_and_another_is_not()
    {
        using var passwords = With(1_000);
        var stored = await passwords.HashAsync("correct horse", Ct);
        Assert.Equal(PasswordVerdict.Right, await passwords.CheckAsync("correct horse", stored, Ct));
        Assert.Equal(PasswordVerdict.Wrong, await passwords.CheckAsync("Correct horse", stored, Ct));
        Assert.DoesNotContain("horse", stored, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_people_with_one_password_have_different_hashes()
    {
        using var passwords = With(1_000);
        Assert.NotEqual(await passwords.HashAsync("correct horse", Ct), await passwords.HashAsync("correct horse", Ct));
    }

    [Fact]
    public async Task A_hash_of_weaker_days_still_opens_and_says_that_it_is_weak()
    {
        using var before = With(1_000);
        using var now = With(2_000);
        Assert.Equal(PasswordVerdict.RightButWeak, await now.CheckAsync("correct horse", await before.HashAsync("correct horse", Ct), Ct));
    }

    [Fact]
    public async Task Nobody_s_password_is_never_right()
    {
        using var passwords = With(1_000);
        Assert.Equal(PasswordVerdict.Wrong, await passwords.CheckAsync("", null, Ct));
    }

    private static Passwords With(int iterations) => new(Options.Create(new PasswordOptions { Iterations = iterations }));
}
