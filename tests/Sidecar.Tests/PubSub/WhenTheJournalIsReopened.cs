using System.Text;
using Marketplace.Local.Sidecar.PubSub;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>The journal is never closed before it is reopened: what a process killed at that moment would find.</summary>
public sealed class WhenTheJournalIsReopened : IDisposable
{
    private readonly string folder = Path.Combine(Path.GetTempPath(), "journal-" + Guid.NewGuid().ToString("N"));
    private readonly List<Message> written = [];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task A_message_without_a_listener_is_kept_for_nobody()
    {
        var journal = Open();
        await journal.AppendAsync("order.created", Event("one"));

        Assert.Empty(written);
        Assert.Empty(Open().TakeRestored());
    }

    [Fact]
    public async Task An_acknowledged_publish_comes_back_until_its_group_is_done()
    {
        var journal = Open();
        var search = await journal.JoinAsync("product.upserted", "search");
        await journal.AppendAsync("product.upserted", Event("one", key: "lamp"));
        await journal.AppendAsync("product.upserted", Event("two", key: "lamp"));

        var reopened = Open();
        var restored = reopened.TakeRestored();
        Assert.Equal(["one", "two"], restored.Select(message => Text(reopened, message)));
        Assert.All(restored, message => Assert.Equal("lamp", message.Key));
        Assert.Equal(search, Assert.Single(reopened.Groups));

        reopened.Done(restored[0], search.Id);
        await FlushAsync(reopened);
        Assert.Equal(["two"], Texts(Open()));
    }

    [Fact]
    public async Task Each_group_finishes_for_itself()
    {
        var journal = Open();
        var search = await journal.JoinAsync("product.upserted", "search");
        var cart = await journal.JoinAsync("product.upserted", "cart");
        await journal.AppendAsync("product.upserted", Event("one"));
        journal.Done(Assert.Single(written), search.Id);
        await FlushAsync(journal);

        var message = Assert.Single(Open().TakeRestored());
        Assert.DoesNotContain(search.Id, message.Groups);
        Assert.Contains(cart.Id, message.Groups);
    }

    [Fact]
    public async Task A_torn_last_write_loses_only_what_was_never_acknowledged()
    {
        var journal = Open();
        await journal.JoinAsync("order.created", "payments");
        await journal.AppendAsync("order.created", Event("whole"));
        await journal.DisposeAsync();
        var file = Directory.GetFiles(folder).Single();
        await File.AppendAllBytesAsync(file, [200, 0, 0, 0, 1, 2, 3, 4, 4, 9, 9], TestContext.Current.CancellationToken);

        var reopened = Open();
        Assert.Equal(["whole"], Texts(reopened));
        await reopened.AppendAsync("order.created", Event("next"));
        Assert.Equal(["whole", "next"], Texts(Open()));
    }

    [Fact]
    public async Task A_group_that_left_leaves_nothing_waiting()
    {
        var journal = Open();
        var search = await journal.JoinAsync("product.upserted", "search");
        await journal.AppendAsync("product.upserted", Event("one"));
        journal.Leave(search);
        await FlushAsync(journal, "other");

        var reopened = Open();
        Assert.Empty(reopened.TakeRestored());
        Assert.DoesNotContain(search, reopened.Groups);
    }

    [Fact]
    public async Task Finished_segments_are_deleted()
    {
        var journal = Open(new JournalLimits(SegmentBytes: 4096));
        var search = await journal.JoinAsync("product.upserted", "search");
        for (var i = 0; i < 100; i++)
        {
            await journal.AppendAsync("product.upserted", Event(new string('x', 500)));
            journal.Done(written[^1], search.Id);
        }

        await FlushAsync(journal);
        Assert.True(journal.SizeOnDisk < 10_000, $"{journal.SizeOnDisk} bytes are left");
        Assert.Empty(Open().TakeRestored());
    }

    [Fact]
    public async Task An_old_message_that_nobody_takes_does_not_hold_all_later_segments()
    {
        var limits = new JournalLimits(SegmentBytes: 4096, CompactFromBytes: 16_000);
        var journal = Open(limits);
        var search = await journal.JoinAsync("product.upserted", "search");
        await journal.AppendAsync("product.upserted", Event("stuck", key: "lamp"));
        for (var i = 0; i < 500; i++)
        {
            await journal.AppendAsync("product.upserted", Event(new string('x', 500)));
            journal.Done(written[^1], search.Id);
        }

        await FlushAsync(journal);
        Assert.True(journal.SizeOnDisk < 30_000, $"{journal.SizeOnDisk} bytes are left");
        Assert.Equal("stuck", Text(journal, written[0]));
        Assert.Equal(501, written.Count);

        var reopened = Open(limits);
        var restored = Assert.Single(reopened.TakeRestored());
        Assert.Equal(("stuck", "lamp"), (Text(reopened, restored), restored.Key));
    }

    [Fact]
    public async Task Bodies_beyond_the_memory_limit_are_read_back_from_disk()
    {
        var journal = Open(new JournalLimits(ResidentBytes: 2000));
        var search = await journal.JoinAsync("product.upserted", "search");
        for (var i = 0; i < 10; i++) await journal.AppendAsync("product.upserted", Event($"{i}" + new string('x', 500)));

        Assert.Equal(3, written.Count(message => message.Body is not null));
        Assert.Equal("9" + new string('x', 500), Text(journal, written[9]));
        foreach (var message in written) journal.Done(message, search.Id);
        await FlushAsync(journal);
        Assert.Empty(Open().TakeRestored());
    }

    [Fact]
    public async Task Concurrent_publishes_come_back_complete_and_each_publisher_in_order()
    {
        var journal = Open();
        await journal.JoinAsync("order.created", "payments");
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async publisher =>
        {
            for (var i = 0; i < 200; i++) await journal.AppendAsync("order.created", Event($"{i}", key: $"{publisher}"));
        }));

        var reopened = Open();
        var byKey = reopened.TakeRestored().GroupBy(message => message.Key).ToList();
        Assert.Equal(8, byKey.Count);
        Assert.All(byKey, lane => Assert.Equal(Enumerable.Range(0, 200).Select(i => $"{i}"), lane.Select(message => Text(reopened, message))));
    }

    [Fact]
    public async Task A_disk_that_fails_refuses_what_is_published_and_is_forgiven()
    {
        var journal = Open(new JournalLimits(SegmentBytes: 1));   // every write opens a file
        await journal.JoinAsync("order.created", "payments");
        await journal.AppendAsync("order.created", Event("before"));
        Directory.Move(folder, folder + "-away");
        await Assert.ThrowsAsync<IOException>(() => journal.AppendAsync("order.created", Event("refused")));

        Directory.Move(folder + "-away", folder);
        await journal.AppendAsync("order.created", Event("after"));
        Assert.Equal(["before", "after"], written.Select(message => Text(journal, message)));
        Assert.Equal(["before", "after"], Texts(Open()));
    }

    private Journal Open(JournalLimits? limits = null) => new(folder, NullLogger.Instance, limits) { Written = written.Add };

    private static Sealed Event(string text, string? key = null) => new(Encoding.UTF8.GetBytes(text), key, Raw: false, Expires: null);

    private static string Text(Journal journal, Message message) => Encoding.UTF8.GetString(journal.Load(message));

    private static IEnumerable<string> Texts(Journal journal) => journal.TakeRestored().Select(message => Text(journal, message));

    /// <summary>Acknowledgements are not waited for; a later write comes after them.</summary>
    private static Task FlushAsync(Journal journal, string topic = "flush") => journal.JoinAsync(topic, "flush");
}
