using Marketplace.Search.Engine;

namespace Marketplace.Search.Querying;

/// <summary>What a shopper may be about to type.</summary>
public sealed class Suggestions(ISearchEngine engine)
{
    private const int Most = 10;

    public async Task<IReadOnlyList<Completion>> OfAsync(string typed, CancellationToken ct) => await engine.CompleteAsync(typed, Most, ct);
}
