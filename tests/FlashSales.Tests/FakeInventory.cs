using System.Collections.Concurrent;
using System.Globalization;
using Marketplace.FlashSales.Clients;
using Marketplace.TestKit;

namespace Marketplace.FlashSales.Tests;

/// <summary>Inventory as far as sales see it: free stock, allotments and the rule that a late question changes nothing. Replicas share it.</summary>
public sealed class FakeInventory
{
    private readonly Lock gate = new();
    private readonly Dictionary<Guid, int> free = [];
    private readonly Dictionary<Guid, (Guid ProductId, int Units, long Version)> allotments = [];
    private readonly Dictionary<Guid, (int Taken, int Committed)> orders = [];
    private readonly ConcurrentQueue<(Guid SaleId, AllotmentRequest Question)> questions = new();

    /// <summary>Null: as usual. Otherwise decides about each question, before or after it was carried out.</summary>
    public Func<Func<FakeReply>, Task<FakeReply>>? Trouble { get; set; }

    public IReadOnlyList<(Guid SaleId, AllotmentRequest Question)> Questions => [.. questions];

    public void Answers(params FlashSalesFixture[] replicas)
    {
        foreach (var replica in replicas)
        {
            replica.Neighbour("inventory").On(HttpMethod.Put, "/internal/allotments/*", async call =>
            {
                var saleId = Guid.Parse(call.Path[(call.Path.LastIndexOf('/') + 1)..], CultureInfo.InvariantCulture);
                var question = call.Read<AllotmentRequest>();
                return Trouble is { } trouble ? await trouble(() => FakeReply.Ok(Set(saleId, question))) : FakeReply.Ok(Set(saleId, question));
            });
            replica.Neighbour("inventory").On(HttpMethod.Get, "/internal/allotments/*", call =>
            {
                var saleId = Guid.Parse(call.Path[(call.Path.LastIndexOf('/') + 1)..], CultureInfo.InvariantCulture);
                lock (gate)
                {
                    var (_, units, version) = allotments.GetValueOrDefault(saleId);
                    var (taken, committed) = orders.GetValueOrDefault(saleId);
                    return FakeReply.Ok(new AllotmentFigures(units, taken, committed, version));
                }
            });
        }
    }

    public void Has(Guid productId, int units)
    {
        lock (gate) free[productId] = units;
    }

    public int Free(Guid productId)
    {
        lock (gate) return free.GetValueOrDefault(productId);
    }

    public int Allotted(Guid saleId)
    {
        lock (gate) return allotments.GetValueOrDefault(saleId).Units;
    }

    public long VersionOf(Guid saleId)
    {
        lock (gate) return allotments.GetValueOrDefault(saleId).Version;
    }

    /// <summary>Orders hold so many units of the sale, and so many of them left the house.</summary>
    public void Taken(Guid saleId, int taken, int committed = 0)
    {
        lock (gate) orders[saleId] = (taken, committed);
    }

    public AllotmentReply Set(Guid saleId, AllotmentRequest question)
    {
        lock (gate)
        {
            questions.Enqueue((saleId, question));
            var (taken, _) = orders.GetValueOrDefault(saleId);
            if (!allotments.TryGetValue(saleId, out var known)) known = (question.ProductId, 0, 0);
            if (question.Version < known.Version)
                return new(null, known.Units, taken, free.GetValueOrDefault(question.ProductId), known.Version);
            if (!free.TryGetValue(question.ProductId, out var there) && question.Units > 0)
                return new("unknown_product", known.Units, taken, 0, known.Version);
            if (question.Units - known.Units > there)
                return new("out_of_stock", known.Units, taken, there, known.Version);

            var units = Math.Max(question.Units, taken);
            if (free.ContainsKey(question.ProductId)) free[question.ProductId] = there - (units - known.Units);
            allotments[saleId] = (question.ProductId, units, question.Version);
            return new(units > question.Units ? "below_taken" : null, units, taken, free.GetValueOrDefault(question.ProductId), question.Version);
        }
    }
}
