using System.Net;
using System.Net.Sockets;
using Dapr.Client;
using Marketplace.Contracts;
using Marketplace.Media.Renditions;
using Marketplace.Media.Storage;
using Marketplace.TestKit;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Marketplace.Media.Tests.Renditions;

/// <summary>A sidecar that takes connections and answers nothing.</summary>
public sealed class WhenTheStoreStaysSilent : IDisposable
{
    private const string ImageId = "00000000000000000000000000000000000000000000000000000000000000aa";
    private readonly FakeTimeProvider clock = new(DateTimeOffset.UtcNow);
    private readonly TcpListener silence = new(IPAddress.Loopback, 0);
    private readonly DaprClient dapr;

    public WhenTheStoreStaysSilent()
    {
        silence.Start();
        dapr = new DaprClientBuilder().UseGrpcEndpoint($"http://{silence.LocalEndpoint}").UseHttpEndpoint($"http://{silence.LocalEndpoint}").Build();
    }

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        dapr.Dispose();
        silence.Dispose();
    }

    [Fact]
    public async Task Nobody_waits_for_ever_and_the_next_one_asks_again()
    {
        var store = new MediaStore(dapr, clock);
        using var workshop = new Workshop(store, Options.Create(new RenditionOptions { AtOnce = 1 }), NullLogger<Workshop>.Instance);
        using var pictures = new ServedPictures(workshop, store, Options.Create(new RenditionOptions()));
        for (var turn = 0; turn < 2; turn++)
        {
            await GivenUpAsync<MediaStoreException>(workshop.MakeAsync(ImageId, Ct));
            await GivenUpAsync<MediaStoreException>(pictures.FindAsync(ImageId, 200, "webp", Ct));
            await GivenUpAsync<MediaStoreException>(store.PutAsync("originals/" + ImageId, new byte[10], Ct));
        }
    }

    [Fact]
    public async Task News_that_nobody_takes_are_given_back_to_whoever_caused_them() =>
        await GivenUpAsync<Exception>(new MediaNews(dapr, clock).TellAsync(new ImageRejected(Guid.NewGuid(), ImageId, "x"), ImageRejected.Topic, Guid.NewGuid(), Ct));

    private async Task GivenUpAsync<T>(Task asking)
        where T : Exception
    {
        await Eventually.Async(() => { clock.Advance(TimeSpan.FromSeconds(10)); return asking.IsCompleted; }, "it is given up");
        await Assert.ThrowsAnyAsync<T>(() => asking);
    }
}
