using Marketplace.Contracts;

namespace Marketplace.Search.Engine;

/// <summary>
/// What a search engine must do, and no more: whatever shoppers notice (how a query is read, when it is relaxed, what is cached, what is
/// suggested besides titles) is decided outside, once for all engines. <c>Search:Engine</c> names the one that runs; every engine passes
/// the tests in Search.Tests.
/// </summary>
public interface ISearchEngine : IAsyncDisposable
{
    /// <summary>Goes up with every change that a search could show. The same number, the same answer.</summary>
    long Generation { get; }

    /// <summary>Throws with a message for the operator when the engine cannot be used here.</summary>
    Task OpenAsync(CancellationToken ct);

    /// <summary>
    /// Returns when the changes are durable and the next search sees them. Idempotent: of a listing the highest revision stays, of stock
    /// and rating the highest version, and an order counts once. Stock and sales of a variant are those of its listing, whichever is told first.
    /// </summary>
    /// <exception cref="SomeNotAppliedException">Of several; when it is all of them, why.</exception>
    Task ApplyAsync(IReadOnlyList<IndexChange> changes, CancellationToken ct);

    ValueTask<Found> FindAsync(Ask ask, CancellationToken ct);

    ValueTask<IReadOnlyList<Completion>> CompleteAsync(string typed, int most, CancellationToken ct);

    /// <summary>True until a first rebuild has come to its end: a new machine, a deleted folder, a process killed halfway.</summary>
    ValueTask<bool> NeedsFillingAsync(CancellationToken ct);

    /// <summary>Searches go on meanwhile, and changes that arrive count.</summary>
    Task<IIndexRebuild> BeginRebuildAsync(CancellationToken ct);
}

/// <summary>Some of the changes told together are not in the index; all others are, and searches see them.</summary>
/// <param name="which">By their number.</param>
public sealed class SomeNotAppliedException(IReadOnlySet<int> which, Exception why) : Exception(why.Message, why)
{
    public IReadOnlySet<int> Which { get; } = which;
}

/// <summary>One reading of the whole catalogue. Left without <see cref="CompleteAsync"/> it has harmed nothing.</summary>
public interface IIndexRebuild
{
    /// <summary>Writes the listings even where their revision is known, and the stock of what they are sold as and their ratings where those are newer.</summary>
    Task AddAsync(IReadOnlyList<IndexedListing> listings, IReadOnlyList<StockLevel> levels, IReadOnlyList<IndexChange.Rating> ratings, CancellationToken ct);

    /// <summary>The catalogue is read: what it did not show, and no event has touched since the beginning, is withdrawn. Answers how many.</summary>
    Task<int> CompleteAsync(CancellationToken ct);
}
