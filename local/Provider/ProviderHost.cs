using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Marketplace.Local.Provider;

/// <summary>The double as a running server; in-process for tests, or by its verb.</summary>
public sealed class ProviderHost : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly Ledger ledger;
    private readonly Webhooks webhooks;

    private ProviderHost(WebApplication app, Ledger ledger, Webhooks webhooks) => (this.app, this.ledger, this.webhooks) = (app, ledger, webhooks);

    /// <summary>The address for Stripe.net's ApiBase.</summary>
    public Uri Address => new(app.Urls.Single());

    public static async Task<ProviderHost> StartAsync(ProviderOptions options, CancellationToken ct)
    {
        // Empty: no configuration of whatever folder it is started in, no logging of every call.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "Local" });
        builder.Logging.AddSimpleConsole(console => console.SingleLine = true).SetMinimumLevel(LogLevel.Warning);
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 1 << 20;
            kestrel.Listen(IPAddress.Loopback, options.Port, listen => listen.Protocols = HttpProtocols.Http1);
        });
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(2));

        var app = builder.Build();
        var time = TimeProvider.System;
        var ledger = new Ledger(options.Folder, time);
        var weather = new Weather();
        var shapes = new Shapes(ledger);
        var webhooks = new Webhooks(ledger, weather, options, time, app.Services.GetRequiredService<ILogger<Webhooks>>());
        var desk = new FrontDesk(ledger, shapes, new Api(ledger, shapes, options.Events, time), weather, webhooks, time, app.Lifetime.ApplicationStopping);
        var control = new Control(ledger, weather, webhooks);

        app.Run(http => http.Request.Path.StartsWithSegments("/_control", StringComparison.Ordinal) ? control.AnswerAsync(http)
            : http.Request.Path.StartsWithSegments("/v1", StringComparison.Ordinal) ? desk.AnswerAsync(http)
            : OtherAsync(http));
        await app.StartAsync(ct);
        webhooks.Start();
        return new ProviderHost(app, ledger, webhooks);
    }

    public async ValueTask DisposeAsync()
    {
        await app.StopAsync();
        await webhooks.DisposeAsync();
        await app.DisposeAsync();
        ledger.Dispose();
    }

    private static Task OtherAsync(HttpContext http)
    {
        http.Response.StatusCode = http.Request.Path == "/livez" ? StatusCodes.Status200OK : StatusCodes.Status404NotFound;
        return Task.CompletedTask;
    }
}

/// <summary>Takes calls over HTTP: the key to the account, trouble on purpose, and answers kept under their idempotency key.</summary>
internal sealed class FrontDesk(Ledger ledger, Shapes shapes, Api api, Weather weather, Webhooks webhooks, TimeProvider time, CancellationToken stopping)
{
    private readonly HashSet<string> underWay = new(StringComparer.Ordinal);

    public async Task AnswerAsync(HttpContext http)
    {
        weather.Called();
        switch (weather.Outage)
        {
            case "503":
                await SendAsync(http, 503, """{"error":{"message":"The service is temporarily unavailable.","type":"api_error"}}""", null, null);
                return;
            case "hang":
                await HangAsync(http);
                return;
            case "reset":
                http.Abort();
                return;
        }

        var requestId = "req_" + RandomNumberGenerator.GetString("0123456789abcdefghijklmnopqrstuvwxyz", 14);
        var key = HttpMethods.IsPost(http.Request.Method) && http.Request.Headers["Idempotency-Key"].ToString() is { Length: > 0 } given ? given : null;
        Reply reply;
        var confirming = false;
        try
        {
            Authorise(http);
            if (key?.Length > 255)
                throw ApiError.Invalid("The idempotency key you provided is too long. Keys can be up to 255 characters.");
            var call = await ReadAsync(http, requestId, key);
            confirming = call is { Verb: "POST", Segments: ["payment_intents", _, "confirm"] } || call is { Verb: "POST", Segments: ["payment_intents"] } && call.Form["confirm"] is "true";
            reply = key is null ? await ActAsync(call, confirming) : await OnceAsync(call, key, confirming);
        }
        catch (ApiError error)
        {
            reply = Refusal(error);
        }
        catch (Microsoft.AspNetCore.Http.BadHttpRequestException tooLarge)
        {
            reply = Refusal(new ApiError(tooLarge.StatusCode, "invalid_request_error", tooLarge.Message));
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested || http.RequestAborted.IsCancellationRequested)
        {
            http.Abort();
            return;
        }

        if (confirming && reply is { Status: < 500, ReplayOf: null } && weather.TakeChargeThenTimeout())
            await HangAsync(http);
        else
            await SendAsync(http, reply.Status, reply.Body, requestId, key, reply.ReplayOf);
    }

    private async Task<Reply> OnceAsync(Call call, string key, bool confirming)
    {
        lock (ledger.Gate)
        {
            if (ledger.AnswerFor(key) is { } answer)
                return Replay(call, answer);
            if (!underWay.Add(key))
                throw new ApiError(409, "idempotency_error", $"There is currently another in-progress request using this Stripe-idempotency key (that probably means you submitted twice, and the other request is still going through): {key}. Please try again later.") { Code = "idempotency_key_in_use" };
        }

        try
        {
            return await ActAsync(call, confirming);
        }
        finally
        {
            lock (ledger.Gate)
                underWay.Remove(key);
        }
    }

    private static Reply Replay(Call call, Answered answer)
    {
        if (answer.Path != call.Path)
            throw new ApiError(400, "idempotency_error", $"Keys for idempotent requests can only be used for the same endpoint they were first used for ('{call.Path}' vs '{answer.Path}'). Try using a key other than '{answer.Key}' if you meant to execute a different request.");
        if (answer.Fingerprint != call.Form.Fingerprint)
            throw new ApiError(400, "idempotency_error", $"Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '{answer.Key}' if you meant to execute a different request.");
        return new Reply(answer.Status, answer.Body) { ReplayOf = answer.RequestId };
    }

    private async Task<Reply> ActAsync(Call call, bool confirming)
    {
        // Looked at again and again: who shortens the latency lets go what waits.
        var arrived = time.GetTimestamp();
        while (time.GetElapsedTime(arrived).TotalMilliseconds < weather.LatencyMs)
            await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(10, weather.LatencyMs)), time, stopping);

        var change = new Change();
        Reply reply;
        lock (ledger.Gate)
        {
            var keep = true;
            try
            {
                if (confirming && weather.TakeErrorBefore())
                    throw ApiError.Fault();
                reply = new Reply(200, api.Answer(call, change));
                if (confirming && weather.TakeErrorAfter())
                    reply = Refusal(ApiError.Fault());
            }
            catch (ApiError error)
            {
                reply = Refusal(error);
                keep = !error.Unkept;
            }

            if (!keep)
                return reply;
            if (call.Key is { } key)
                change.Answer = new Answered(key, call.Path, call.Form.Fingerprint, reply.Status, reply.Body, call.RequestId, time.GetUtcNow().ToUnixTimeSeconds());
            if (call.Verb == "POST" || change.Methods is not null)
                ledger.Commit(change);
        }

        if (change.Events is { } events)
            webhooks.Add(events);
        return reply;
    }

    private Reply Refusal(ApiError error)
    {
        lock (ledger.Gate)
        {
            return new Reply(error.Status, Shapes.Text(json =>
            {
                json.WriteStartObject();
                json.WritePropertyName("error");
                shapes.WriteError(json, error);
                json.WriteEndObject();
            }));
        }
    }

    private static void Authorise(HttpContext http)
    {
        var header = http.Request.Headers.Authorization.ToString();
        var key = header.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? header["Bearer ".Length..].Trim() : "";
        if (key.Length == 0)
            throw new ApiError(401, "invalid_request_error", "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth.");
        if (!key.StartsWith("sk_test_", StringComparison.Ordinal) && !key.StartsWith("rk_test_", StringComparison.Ordinal))
            throw new ApiError(401, "invalid_request_error", "Invalid API Key provided: the double takes keys of the form sk_test_….");
    }

    private static async Task<Call> ReadAsync(HttpContext http, string requestId, string? key)
    {
        var request = http.Request;
        string text;
        if (HttpMethods.IsPost(request.Method))
        {
            using var reader = new StreamReader(request.Body, Encoding.UTF8);
            text = await reader.ReadToEndAsync(http.RequestAborted);
        }
        else
        {
            text = request.QueryString.Value ?? "";
        }

        var path = request.Path.Value!;
        return new Call(request.Method, path, path["/v1/".Length..].Split('/'), Form.Parse(text), request.Headers["Stripe-Version"].ToString(), requestId, key);
    }

    private async Task HangAsync(HttpContext http)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, stopping);
        await Task.Delay(Timeout.InfiniteTimeSpan, time, either.Token).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        http.Abort();
    }

    private static Task SendAsync(HttpContext http, int status, string body, string? requestId, string? key, string? replayOf = null)
    {
        var response = http.Response;
        response.StatusCode = status;
        response.ContentType = "application/json";
        if (requestId is not null)
            response.Headers["Request-Id"] = requestId;
        if (key is not null)
            response.Headers["Idempotency-Key"] = key;
        if (replayOf is not null)
        {
            response.Headers["Idempotent-Replayed"] = "true";
            response.Headers["Original-Request"] = replayOf;
        }

        var bytes = Encoding.UTF8.GetBytes(body);
        response.ContentLength = bytes.Length;
        return response.Body.WriteAsync(bytes, 0, bytes.Length);
    }
}
