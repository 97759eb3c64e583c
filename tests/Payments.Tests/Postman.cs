using System.Collections.Concurrent;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Marketplace.Payments.Tests;

public sealed record Letter(string Body, string Signature);

/// <summary>Carries the provider's webhooks to the service, or keeps them for the test to deliver in its own order.</summary>
public sealed class Postman : IAsyncDisposable
{
    private readonly WebApplication server;
    private readonly ConcurrentQueue<Letter> letters = new();
    private volatile HttpClient? payments;

    private Postman(WebApplication server) => this.server = server;

    public Uri Address { get; private set; } = null!;

    /// <summary>Keeps letters instead of carrying them.</summary>
    public bool OnStrike { get; set; }

    public IReadOnlyList<Letter> Letters => [.. letters];

    public static async Task<Postman> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var server = builder.Build();
        var postman = new Postman(server);
        server.Run(postman.CarryAsync);
        await server.StartAsync();
        postman.Address = new Uri(server.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single() + "/webhooks/stripe");
        return postman;
    }

    public void DeliverTo(HttpClient service) => payments = service;

    public async Task<HttpResponseMessage> DeliverAsync(Letter letter, CancellationToken ct = default)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/webhooks/stripe") { Content = new StringContent(letter.Body, Encoding.UTF8, "application/json") };
        request.Headers.TryAddWithoutValidation("Stripe-Signature", letter.Signature);
        return await payments!.SendAsync(request, ct);
    }

    public async ValueTask DisposeAsync()
    {
        await server.StopAsync();
        await server.DisposeAsync();
    }

    private async Task CarryAsync(HttpContext http)
    {
        using var reader = new StreamReader(http.Request.Body);
        var letter = new Letter(await reader.ReadToEndAsync(), http.Request.Headers["Stripe-Signature"].ToString());
        letters.Enqueue(letter);
        if (OnStrike)
            return;
        using var reply = await DeliverAsync(letter, http.RequestAborted);
        http.Response.StatusCode = (int)reply.StatusCode;
    }
}
