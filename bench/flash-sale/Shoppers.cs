using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Marketplace.Bench.FlashSale.Traffic;

namespace Marketplace.Bench.FlashSale;

/// <summary>
/// Ordinary shoppers, who know nothing of the sale: product pages at a steady rate, and now and then a cart and a checkout. On threads and
/// connections of their own, so that the crowd's generator, busy as it is, does not delay them.
/// </summary>
internal sealed class Shoppers : IDisposable
{
    private const int Readers = 6;
    private static readonly TimeSpan BetweenReads = TimeSpan.FromMilliseconds(120);      // of each reader: 50 a second in all
    private static readonly TimeSpan BetweenCheckouts = TimeSpan.FromSeconds(1);

    private readonly Uri url;
    private readonly ManualResetEventSlim ended = new();
    private readonly List<Thread> threads = [];
    private Watched watched = new();

    public Shoppers(Uri url, IReadOnlyList<Guid> products, IReadOnlyList<Account> buyers, long price)
    {
        this.url = url;
        for (var number = 0; number < Readers; number++)
        {
            var random = new Random(number);
            var offset = BetweenReads * number / Readers;
            Start(() => Every(BetweenReads, offset, (line, _) =>
            {
                line.Ask(request => request.Begin("GET "u8, RequestWriter.Utf8($"/api/v1/products/{products[random.Next(products.Count)]}")).End());
                return line.Status == 200;
            }, now => now.Reads));
        }

        var at = 0;
        Start(() => Every(BetweenCheckouts, TimeSpan.Zero, (line, done) =>
        {
            var buyer = buyers[at++ % buyers.Count];
            var product = products[at % products.Count];
            line.Ask(request => request.Begin("PUT "u8, "/api/v1/cart"u8).Field("\r\nAuthorization: Bearer "u8, buyer.Token)
                .End(RequestWriter.Utf8($$"""{"lines":[{"productId":"{{product}}","quantity":1}]}""")));
            if (line.Status != 200) return false;
            line.Ask(request => request.Begin("POST "u8, "/api/v1/checkout"u8).Field("\r\nAuthorization: Bearer "u8, buyer.Token)
                .Field("\r\nIdempotency-Key: "u8, RequestWriter.Utf8(Guid.NewGuid().ToString("N")))
                .End(RequestWriter.Utf8($$"""
                    {"expectedTotal":{"minor":{{price}},"currency":"GBP"},"shipTo":{"name":"Ada Buyer","line1":"1 Market Street","city":"London","postalCode":"N1 9GU","country":"GB"},"contact":{"email":"{{buyer.Email}}","name":"Ada Buyer"},"paymentMethod":"pm_card_visa"}
                    """)));
            return line.Status == 202;
        }, now => now.Checkouts));
    }

    /// <summary>What was seen since the last call.</summary>
    public Watched Turn() => Interlocked.Exchange(ref watched, new Watched());

    public void Dispose()
    {
        ended.Set();
        foreach (var thread in threads) thread.Join();
        ended.Dispose();
    }

    private void Start(Action work)
    {
        var thread = new Thread(() => work()) { IsBackground = true };
        threads.Add(thread);
        thread.Start();
    }

    /// <summary>On schedule, whatever the answers do; each answer's time counts from its moment of the schedule.</summary>
    private void Every(TimeSpan interval, TimeSpan offset, Func<Line, Watched, bool> ask, Func<Watched, Histogram> times)
    {
        var line = new Line(url);
        var due = Stopwatch.GetTimestamp() + Generator.Ticks(offset);
        while (true)
        {
            var wait = Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due);
            if (wait > TimeSpan.Zero && ended.Wait(wait) || ended.IsSet) break;
            var now = Volatile.Read(ref watched);
            try
            {
                if (!ask(line, now)) now.Fail();
            }
            catch (Exception broken) when (broken is SocketException or InvalidDataException or IOException)
            {
                now.Fail();
                line.Dispose();
                line = new Line(url);
            }

            times(now).Record(Stopwatch.GetElapsedTime(due));
            due += Generator.Ticks(interval);
        }

        line.Dispose();
    }

    internal sealed class Watched
    {
        private int failures;

        public Histogram Reads { get; } = new();

        public Histogram Checkouts { get; } = new();

        public int Failures => Volatile.Read(ref failures);

        public void Fail() => Interlocked.Increment(ref failures);
    }

    /// <summary>One kept connection, used by one thread that waits.</summary>
    private sealed class Line(Uri url) : IDisposable
    {
        private readonly RequestWriter request = new(RequestWriter.Utf8(url.Authority));
        private readonly ResponseReader response = new();
        private Socket? socket;

        public int Status => response.Status;

        public void Ask(Action<RequestWriter> write)
        {
            if (socket is null)
            {
                socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = 15_000 };
                socket.Connect(new IPEndPoint(IPAddress.Parse(url.Host), url.Port));
            }

            write(request);
            socket.Send(request.Bytes);
            response.Reset();
            while (!response.Read())
            {
                var got = socket.Receive(response.Free().Span);
                if (got == 0) throw new IOException("The connection was closed.");
                response.Filled(got);
            }
        }

        public void Dispose() => socket?.Dispose();
    }
}
