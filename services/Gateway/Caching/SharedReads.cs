using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using Marketplace.Gateway.Routes;
using Marketplace.Hosting;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;

namespace Marketplace.Gateway.Caching;

/// <summary>
/// Reads that are the same for everybody. Fresh for a second, then one request asks the service whether it still holds while the others
/// wait for that answer; served stale when the service fails. Only answers that say <c>public</c> are kept or shared.
/// </summary>
public sealed partial class SharedReads(Sidecar sidecar, Degradation degradation, IOptions<CacheOptions> options, TimeProvider time, ILogger<SharedReads> log)
{
    private const int LongestKey = 2_048;
    private const int LargestPassed = 16 * 1024 * 1024;

    private readonly CacheOptions options = options.Value;
    private readonly AnswerCache cache = new(options.Value.Memory);
    private readonly ConcurrentDictionary<CacheKey, Flight> flights = new();

    public RequestDelegate Of(PublicRoute route)
    {
        var prefix = sidecar.PrefixOf(route.App);
        return http =>
        {
            var request = http.Request;
            var query = route.IgnoresQuery ? "" : Queries.InOrder(request.QueryString.Value ?? "");
            var key = new CacheKey(request.Path.Value!, query, Language(request.Headers.AcceptLanguage.ToString()));
            if (cache.Find(key) is not { } entry)
                return AskAsync(http, route, prefix, key, null);

            var now = time.GetUtcNow();
            if (now - entry.CheckedAt < entry.Answer.Fresh)
                return GiveAsync(http, entry, "HIT", now);
            if (!entry.HasFailed || !MayStandIn(entry, now))
                return AskAsync(http, route, prefix, key, entry);

            // It failed when it was last asked: it is asked again now and then, and nobody waits for one that may stay silent.
            if (!entry.FailedWithin(options.PauseAfterFailure, now))
                Board(route, prefix, key, entry);
            return GiveAsync(http, entry, "STALE", now);
        };
    }

    private bool MayStandIn(CacheEntry entry, DateTimeOffset now) => entry.Answer.MayBeStale && now - entry.CheckedAt < options.StaleIfError;

    private async Task AskAsync(HttpContext http, PublicRoute route, string prefix, CacheKey key, CacheEntry? known)
    {
        if (key.Path.Length + key.Query.Length > LongestKey)
        {
            await GiveAsync(http, route, await FetchAsync(route, prefix, key, null), "BYPASS");
            return;
        }

        var (flight, isFirst) = Board(route, prefix, key, known);
        var answer = await flight.Landing.WaitAsync(http.RequestAborted);
        if (answer is Private && !isFirst)
            answer = await FetchAsync(route, prefix, key, null);           // not ours to share: everybody asks for themselves
        await GiveAsync(http, route, answer, known is null ? "MISS" : "REVALIDATED");
    }

    /// <summary>The flight lasts as long as the service needs, not as long as the first one who asked stays.</summary>
    private (Flight Flight, bool IsFirst) Board(PublicRoute route, string prefix, CacheKey key, CacheEntry? known)
    {
        var own = new Flight();
        var flight = flights.GetOrAdd(key, own);
        var isFirst = ReferenceEquals(flight, own);
        if (isFirst)
            own.Start(() => FlyAsync(route, prefix, key, known, own));
        return (flight, isFirst);
    }

    private async Task<Answer> FlyAsync(PublicRoute route, string prefix, CacheKey key, CacheEntry? known, Flight flight)
    {
        try
        {
            var answer = await FetchAsync(route, prefix, key, known);
            switch (answer)
            {
                case Kept kept when kept.Entry.Answer.Body.Length <= options.LargestKept:
                    cache.Put(key, kept.Entry);
                    break;
                case Failed failed when known is not null:
                    known.Failed(time.GetUtcNow(), failed.Missing);
                    if (MayStandIn(known, time.GetUtcNow()))
                        return new Stale(known);
                    break;
                case Kept or Private or Refused:
                    cache.Remove(key);
                    break;
            }
            return answer;
        }
        finally
        {
            flights.TryRemove(new(key, flight));
        }
    }

    private async Task<Answer> FetchAsync(PublicRoute route, string prefix, CacheKey key, CacheEntry? known)
    {
        // Yarp's address maker escapes the decoded path again; the query was never decoded.
        using var request = new HttpRequestMessage(
            HttpMethod.Get, Yarp.ReverseProxy.Forwarder.RequestUtilities.MakeDestinationAddress(prefix, key.Path, new QueryString(key.Query)))
        { Version = HttpVersion.Version11 };
        request.Headers.TryAddWithoutValidation(HeaderNames.Accept, "application/json");
        if (key.Language.Length > 0)
            request.Headers.TryAddWithoutValidation(HeaderNames.AcceptLanguage, key.Language);
        if (known?.Answer.ETag is { } seen)
            request.Headers.TryAddWithoutValidation(HeaderNames.IfNoneMatch, seen);
        if (sidecar.ApiToken is { } apiToken)
            request.Headers.TryAddWithoutValidation("dapr-api-token", apiToken);

        // As old as the question: a service that took its time may have looked long ago.
        var asked = time.GetUtcNow();
        using var patience = new CancellationTokenSource(options.Timeout, time);
        try
        {
            using var response = await sidecar.Http.SendAsync(request, patience.Token);
            if (response.StatusCode == HttpStatusCode.NotModified && known is not null)
                return new Kept(new(StillThat(known.Answer, response), asked));
            if (Answers.Replaced(response) is { } status)
                return status >= 500 ? new Failed(status, Missing(response) ?? route.App) : new Refused(status, null, null);

            var body = await ReadAsync(response.Content, patience.Token);
            var contentType = response.Content.Headers.ContentType?.ToString();
            if ((int)response.StatusCode >= 500)
                return new Failed((int)response.StatusCode, Missing(response) ?? route.App);
            if ((int)response.StatusCode >= 400)
                return new Refused((int)response.StatusCode, contentType, body);

            var kept = new KeptAnswer(
                body,
                contentType,
                response.Headers.ETag?.ToString(),
                response.Content.Headers.LastModified?.ToString("R", CultureInfo.InvariantCulture),
                response.Headers.CacheControl?.ToString() ?? SecurityHeaders.NotKept,
                Header(response, HeaderNames.Link),
                Header(response, HeaderNames.Vary),
                Missing(response),
                Fresh(response.Headers.CacheControl),
                response.Headers.CacheControl is not { MustRevalidate: true } and not { ProxyRevalidate: true });
            return response.StatusCode == HttpStatusCode.OK && MayBeShared(response)
                ? new Kept(new(kept, asked))
                : new Private((int)response.StatusCode, kept);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            LogUnreachable(route.App, e.Message);
            return new Failed(StatusCodes.Status503ServiceUnavailable, route.App);
        }
        catch (OperationCanceledException)
        {
            LogSilent(route.App, options.Timeout);
            return new Failed(StatusCodes.Status504GatewayTimeout, route.App);
        }
    }

    private static async Task<byte[]> ReadAsync(HttpContent content, CancellationToken ct)
    {
        await content.LoadIntoBufferAsync(LargestPassed, ct);
        return await content.ReadAsByteArrayAsync(ct);
    }

    private static bool MayBeShared(HttpResponseMessage response) =>
        response.Headers.CacheControl is { Public: true, NoStore: false, NoCache: false, Private: false }
        && !response.Headers.Contains(HeaderNames.SetCookie)
        && response.Content.Headers.ContentEncoding.Count == 0      // nobody was asked for one, and it is not part of the key
        && response.Headers.Vary.All(name => name.Equals(HeaderNames.AcceptLanguage, StringComparison.OrdinalIgnoreCase)
            || name.Equals(HeaderNames.AcceptEncoding, StringComparison.OrdinalIgnoreCase));

    private TimeSpan Fresh(System.Net.Http.Headers.CacheControlHeaderValue? said) =>
        (said?.SharedMaxAge ?? said?.MaxAge) is { } allowed && allowed < options.Fresh ? allowed : options.Fresh;

    private static string? Missing(HttpResponseMessage response) => Header(response, Degradation.Header);

    private static string? Header(HttpResponseMessage response, string name) => response.Headers.NonValidated.TryGetValues(name, out var values) ? values.ToString() : null;

    /// <summary>The same page, perhaps by other means than last time.</summary>
    private static KeptAnswer StillThat(KeptAnswer answer, HttpResponseMessage response) =>
        Missing(response) is var missing && missing == answer.Degraded ? answer : answer with { Degraded = missing };

    private Task GiveAsync(HttpContext http, PublicRoute route, Answer answer, string how)
    {
        switch (answer)
        {
            case Kept kept:
                return GiveAsync(http, kept.Entry, how, time.GetUtcNow());
            case Stale stale:
                return GiveAsync(http, stale.Entry, "STALE", time.GetUtcNow());
            case Private own:
                http.Response.StatusCode = own.Status;
                http.Response.Headers["X-Cache"] = "BYPASS";
                if (own.Answer.Degraded is { } without)
                    http.Response.Headers[Degradation.Header] = without;
                return WriteAsync(http, own.Answer.Body, own.Answer.ContentType, own.Answer.ETag, SecurityHeaders.NotKept);
            case Refused refused:
                http.Response.StatusCode = refused.Status;
                return refused.Body is { Length: > 0 } body ? WriteAsync(http, body, refused.ContentType, null, SecurityHeaders.NotKept) : Task.CompletedTask;
            case Failed failed:
                http.Response.StatusCode = failed.Status;
                http.Response.Headers[Degradation.Header] = failed.Missing;
                degradation.Count(failed.Missing);
                if (failed.Status == StatusCodes.Status503ServiceUnavailable)
                    http.Response.Headers.RetryAfter = "1";
                if (route.InsteadOf?.Invoke(http.Request.Query) is { } elsewhere)
                    http.Response.Headers.Link = $"<{elsewhere}>; rel=\"alternate\"";
                return Task.CompletedTask;
            default:
                throw new System.Diagnostics.UnreachableException($"{answer}");
        }
    }

    private Task GiveAsync(HttpContext http, CacheEntry entry, string how, DateTimeOffset now)
    {
        var answer = entry.Answer;
        var headers = http.Response.Headers;
        headers["X-Cache"] = how;
        headers.Age = Age(now - entry.CheckedAt);
        if (answer.LastModified is { } modified)
            headers.LastModified = modified;
        if (answer.Link is { } link)
            headers.Link = link;
        if (answer.Vary is { } vary)
            headers.Append(HeaderNames.Vary, vary);             // that of another origin's browser is there already
        if (how == "STALE")
        {
            headers[Degradation.Header] = entry.Missing;
            degradation.Count(entry.Missing);
        }
        else if (answer.Degraded is { } missing)
        {
            headers[Degradation.Header] = missing;
        }

        if (answer.ETag is { } etag && Holds(http.Request.Headers.IfNoneMatch.ToString(), etag))
        {
            headers.ETag = etag;
            headers.CacheControl = answer.CacheControl;
            http.Response.StatusCode = StatusCodes.Status304NotModified;
            return Task.CompletedTask;
        }
        return WriteAsync(http, answer.Body, answer.ContentType, answer.ETag, answer.CacheControl);
    }

    private static string Age(TimeSpan age) => age < TimeSpan.FromSeconds(1) ? "0" : ((long)age.TotalSeconds).ToString(CultureInfo.InvariantCulture);

    private static Task WriteAsync(HttpContext http, byte[] body, string? contentType, string? etag, string cacheControl)
    {
        var headers = http.Response.Headers;
        if (contentType is not null)
            headers.ContentType = contentType;
        if (etag is not null)
            headers.ETag = etag;
        headers.CacheControl = cacheControl;
        headers.ContentLength = body.Length;
        if (HttpMethods.IsHead(http.Request.Method))
            return Task.CompletedTask;
        var writing = http.Response.BodyWriter.WriteAsync(body, http.RequestAborted);
        return writing.IsCompletedSuccessfully ? Task.CompletedTask : writing.AsTask();
    }

    /// <summary>The weak comparison of RFC 9110, 13.1.2.</summary>
    private static bool Holds(ReadOnlySpan<char> ifNoneMatch, ReadOnlySpan<char> etag)
    {
        if (ifNoneMatch.IsEmpty)
            return false;
        if (ifNoneMatch is "*")
            return true;
        foreach (var part in ifNoneMatch.Split(','))
        {
            if (Opaque(ifNoneMatch[part].Trim()).SequenceEqual(Opaque(etag)))
                return true;
        }
        return false;
    }

    private static ReadOnlySpan<char> Opaque(ReadOnlySpan<char> tag) => tag.StartsWith("W/", StringComparison.Ordinal) ? tag[2..] : tag;

    /// <summary>The first language asked for, without its region: what is passed on is exactly what the key says.</summary>
    private static string Language(string acceptLanguage)
    {
        var end = acceptLanguage.AsSpan().IndexOfAny(",;-");
        var first = (end < 0 ? acceptLanguage : acceptLanguage.AsSpan(0, end)).Trim();
        if (first.Length is < 2 or > 3)
            return "";
        foreach (var letter in first)
        {
            if (!char.IsAsciiLetter(letter))
                return "";
        }
        return first is "en" ? "en" : first.ToString().ToLowerInvariant();
    }

    [LoggerMessage(LogLevel.Warning, "{App} could not be reached: {Reason}")]
    private partial void LogUnreachable(string app, string reason);

    [LoggerMessage(LogLevel.Warning, "{App} gave no answer within {Patience}")]
    private partial void LogSilent(string app, TimeSpan patience);

    private sealed class Flight
    {
        private readonly TaskCompletionSource<Answer> landing = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<Answer> Landing => landing.Task;

        public void Start(Func<Task<Answer>> fly) => _ = LandAsync(fly);

        private async Task LandAsync(Func<Task<Answer>> fly)
        {
            try
            {
                landing.SetResult(await fly());
            }
            catch (Exception e)
            {
                landing.SetException(e);
            }
        }
    }

    private abstract record Answer;

    private sealed record Kept(CacheEntry Entry) : Answer;

    private sealed record Stale(CacheEntry Entry) : Answer;

    private sealed record Private(int Status, KeptAnswer Answer) : Answer;

    private sealed record Refused(int Status, string? ContentType, byte[]? Body) : Answer;

    /// <param name="Missing">What was away: what the service says, else the service.</param>
    private sealed record Failed(int Status, string Missing) : Answer;
}
