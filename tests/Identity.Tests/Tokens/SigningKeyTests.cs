using System.Security.Cryptography;
using Marketplace.Identity.Tokens;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Xunit;

namespace Marketplace.Identity.Tests.Tokens;

public sealed class SigningKeyTests
{
    [Fact]
    public async Task Replicas_that_start_at_once_share_one_key()
    {
        var database = await TestDatabase.CreateAsync<Program>();
        var replicas = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ =>
            ServiceUnderTest<Program>.StartAsync("identity", settings: IdentityFixture.Settings, connectionString: database)));
        try
        {
            var published = await Task.WhenAll(replicas.Select(PublishedAsync));
            Assert.All(published, keys => Assert.Equal(published[0].Keys.Single().Kid, keys.Keys.Single().Kid));

            using var guest = await replicas[1].As(null).PostAsync("/api/v1/guests");
            await VerifyAsync((await guest.ReadAsync<Session>()).AccessToken, published[2]);
        }
        finally
        {
            foreach (var replica in replicas)
                await replica.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_restart_signs_with_the_key_of_before()
    {
        await using var before = await ServiceUnderTest<Program>.StartAsync("identity", settings: IdentityFixture.Settings);
        var keys = await PublishedAsync(before);
        await using var after = await ServiceUnderTest<Program>.StartAsync("identity", settings: IdentityFixture.Settings, connectionString: before.ConnectionString);
        using var guest = await after.As(null).PostAsync("/api/v1/guests");
        await VerifyAsync((await guest.ReadAsync<Session>()).AccessToken, keys);
    }

    [Fact]
    public async Task A_new_key_comes_in_time_and_the_old_one_is_published_as_long_as_its_tokens_live()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var identity = await ServiceUnderTest<Program>.StartAsync(
            "identity", settings: IdentityFixture.Settings, replace: services => services.AddSingleton<TimeProvider>(clock));
        var first = (await PublishedAsync(identity)).Keys.Single().Kid;

        clock.Advance(TimeSpan.FromDays(90.1));
        var during = await PublishedAsync(identity);
        Assert.Equal(2, during.Keys.Count);
        Assert.Contains(during.Keys, key => key.Kid == first);
        using var guest = await identity.As(null).PostAsync("/api/v1/guests");
        Assert.NotEqual(first, new JsonWebToken((await guest.ReadAsync<Session>()).AccessToken).Kid);

        clock.Advance(TimeSpan.FromDays(2));
        Assert.DoesNotContain((await PublishedAsync(identity)).Keys, key => key.Kid == first);
    }

    [Fact]
    public async Task With_a_wrapping_secret_the_table_alone_signs_nothing()
    {
        var settings = IdentityFixture.Settings;
        settings["SigningKeys:WrappingSecret"] = "signing-key-wrap";
        settings["Secrets:signing-key-wrap"] = "a long secret out of the secret store";
        await using var identity = await ServiceUnderTest<Program>.StartAsync("identity", settings: settings);
        var keys = await PublishedAsync(identity);

        var stored = await identity.ScalarAsync<byte[]>("SELECT private_key FROM signing_keys");
        using var key = ECDsa.Create();
        Assert.ThrowsAny<CryptographicException>(() => key.ImportPkcs8PrivateKey(stored, out _));

        await using var replica = await ServiceUnderTest<Program>.StartAsync("identity", settings: settings, connectionString: identity.ConnectionString);
        using var guest = await replica.As(null).PostAsync("/api/v1/guests");
        await VerifyAsync((await guest.ReadAsync<Session>()).AccessToken, keys);
    }

    [Fact]
    public void A_wrapped_key_opens_under_its_own_name_only()
    {
        var wrappingKey = RandomNumberGenerator.GetBytes(32);
        byte[] plain = [1, 2, 3];
        var wrapped = SigningKeys.Wrap(plain, wrappingKey, "one");
        Assert.Equal(plain, SigningKeys.Unwrap(wrapped, wrappingKey, "one"));
        Assert.ThrowsAny<CryptographicException>(() => SigningKeys.Unwrap(wrapped, wrappingKey, "two"));
    }

    [Fact]
    public async Task Discovery_says_where_the_keys_are_and_no_private_part_is_published()
    {
        var settings = IdentityFixture.Settings;
        settings["Discovery:PublicUrl"] = "https://shop.example/";
        await using var identity = await ServiceUnderTest<Program>.StartAsync("identity", settings: settings);
        using var response = await identity.As(null).FetchAsync("/.well-known/openid-configuration");
        var text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.Contains("\"jwks_uri\":\"https://shop.example/.well-known/jwks.json\"", text, StringComparison.Ordinal);
        Assert.Contains("\"issuer\":\"marketplace\"", text, StringComparison.Ordinal);

        using var keys = await identity.As(null).FetchAsync("/.well-known/jwks.json");
        Assert.DoesNotContain("\"d\"", await keys.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    private static async Task<PublicKeys> PublishedAsync(ServiceUnderTest<Program> identity)
    {
        using var response = await identity.As(null).FetchAsync("/.well-known/jwks.json");
        return await response.ReadAsync<PublicKeys>();
    }

    private static async Task VerifyAsync(string token, PublicKeys keys)
    {
        var jwks = System.Text.Json.JsonSerializer.Serialize(keys, System.Text.Json.JsonSerializerOptions.Web);
        var result = await new JsonWebTokenHandler().ValidateTokenAsync(token, new TokenValidationParameters
        {
            ValidIssuer = "marketplace",
            ValidAudience = "marketplace",
            IssuerSigningKeys = new JsonWebKeySet(jwks).GetSigningKeys(),
            ValidAlgorithms = ["ES256"],
        });
        Assert.True(result.IsValid, result.Exception?.Message);
    }
}
