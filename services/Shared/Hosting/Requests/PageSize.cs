using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Hosting;

/// <summary>How many entries of a list somebody asks for (<c>limit</c>). One rule for every list: what a page cannot have is refused and not bent.</summary>
public static class PageSize
{
    /// <returns>What is wrong with it; null when it can be had, and when none was given.</returns>
    public static ProblemHttpResult? Wrong(int? limit, int most) => IsWrong(limit, most, out var why) ? Problems.Validation(("limit", why)) : null;

    /// <summary>For who gathers all that is wrong.</summary>
    public static bool IsWrong(int? limit, int most, out string why)
    {
        why = $"A page has 1 to {most} entries.";
        return limit < 1 || limit > most;
    }
}
