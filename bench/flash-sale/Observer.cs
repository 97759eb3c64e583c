using System.Text.Json;
using Marketplace.Bench.FlashSale.Traffic;

namespace Marketplace.Bench.FlashSale;

/// <summary>How the sale stood, by the operator's own page, at a moment of the run.</summary>
internal sealed record Sample(TimeSpan At, long Joined, long Admitted, long Claimed, long WaitingList, long Paid, long Released, long Remaining);

/// <summary>Looks at the operator's progress twice a second, and ends processes when the sale has come far enough.</summary>
internal sealed class Observer(Shop shop, Guid saleId, int units, Storm storm, Figures figures)
{
    private readonly List<Sample> samples = [];
    private readonly List<(string What, TimeSpan At)> kills = [];

    public IReadOnlyList<Sample> Samples => samples;

    public IReadOnlyList<(string What, TimeSpan At)> Kills => kills;

    public Sample? Latest { get; private set; }

    /// <param name="killing">The parts that die: the first when a third of the units are claimed, the second when a tenth is paid for.</param>
    public async Task RunAsync(IReadOnlyList<string> killing, CancellationToken ct)
    {
        var token = await shop.OperatorTokenAsync();
        var signedInAt = figures.Now;
        var left = new Queue<string>(killing);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(250));
        try
        {
            for (var turn = 0; await timer.WaitForNextTickAsync(ct); turn++)
            {
                if (left.Count == 2 && storm.Placed * 3 >= units || left.Count == 1 && Latest?.Paid * 10 >= units) Kill(left.Dequeue());
                if (turn % 2 == 1) continue;
                if (figures.Now - signedInAt > TimeSpan.FromMinutes(4)) (token, signedInAt) = (await shop.OperatorTokenAsync(), figures.Now);
                await LookAsync(token);
            }
        }
        catch (OperationCanceledException)
        {
            // It is over.
        }
    }

    private async Task LookAsync(string token)
    {
        try
        {
            var at = figures.Now;
            var progress = await shop.CallAsync(HttpMethod.Get, $"/api/v1/operations/flash-sales/{saleId}/progress", token);
            Latest = new Sample(at, Number("joined"), Number("admitted"), Number("claimed"), Number("waitingList"), Number("paid"), Number("released"), Number("remaining"));
            samples.Add(Latest);

            long Number(string name) => progress.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetInt64() : 0;
        }
        catch (Exception away) when (away is HttpRequestException or InvalidOperationException or TaskCanceledException)
        {
            figures.Note("Operator's progress: no answer");
        }
    }

    private void Kill(string part)
    {
        if (shop.Kill(part)) kills.Add((part, figures.Now));
        else figures.Note($"{part} was not running when it was to be killed");
    }
}
