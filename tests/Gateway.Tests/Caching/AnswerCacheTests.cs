using System.Globalization;
using Marketplace.Gateway.Caching;
using Xunit;

namespace Marketplace.Gateway.Tests.Caching;

public sealed class AnswerCacheTests
{
    private static CacheKey Key(int number) => new("/api/v1/products", number.ToString(CultureInfo.InvariantCulture), "");

    private static CacheEntry Entry(int size = 1_000) =>
        new(new(new byte[size], "application/json", null, null, "public", null), DateTimeOffset.UtcNow);

    [Fact]
    public void Memory_stays_within_its_bound_and_empty_again_when_all_is_removed()
    {
        var cache = new AnswerCache(100_000);
        for (var i = 0; i < 10_000; i++)
            cache.Put(Key(i), Entry());
        Assert.InRange(cache.Bytes, 50_000, 100_000);
        Assert.InRange(cache.Count, 30, 100);
        for (var i = 0; i < 10_000; i++)
            cache.Remove(Key(i));
        Assert.Equal((0, 0), (cache.Bytes, cache.Count));
    }

    [Fact]
    public void What_shoppers_look_at_outlives_the_pass_of_a_crawler()
    {
        var cache = new AnswerCache(100_000);
        cache.Put(Key(-1), Entry());
        for (var i = 0; i < 10_000; i++)
        {
            Assert.NotNull(cache.Find(Key(-1)));
            cache.Put(Key(i), Entry());
        }
        Assert.NotNull(cache.Find(Key(-1)));
        Assert.Null(cache.Find(Key(0)));
    }

    [Fact]
    public void A_newer_answer_takes_the_place_of_the_older_and_its_bytes()
    {
        var cache = new AnswerCache(100_000);
        cache.Put(Key(1), Entry(1_000));
        var before = cache.Bytes;
        cache.Put(Key(1), Entry(3_000));
        Assert.Equal(before + 2_000, cache.Bytes);
        Assert.Equal(1, cache.Count);
    }

    [Fact]
    public void Many_threads_leave_the_count_right()
    {
        var cache = new AnswerCache(50_000);
        Parallel.For(0, 20_000, i =>
        {
            cache.Put(Key(i % 300), Entry(i % 700));
            if (i % 3 == 0) cache.Remove(Key(i % 300));
            cache.Find(Key(i % 300));
        });
        for (var i = 0; i < 300; i++)
            cache.Remove(Key(i));
        Assert.Equal((0, 0), (cache.Bytes, cache.Count));
    }
}
