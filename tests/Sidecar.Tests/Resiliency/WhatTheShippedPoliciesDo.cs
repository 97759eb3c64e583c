using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using Marketplace.Local.Launcher;
using Marketplace.Local.Sidecar.Resiliency;
using Marketplace.Local.Sidecar.Resources;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Sidecar.Tests.Resiliency;

/// <summary>The policies of the component sets: by their numbers for every app, and through a sidecar for what must never trip anything.</summary>
public sealed class WhatTheShippedPoliciesDo
{
    private static readonly CancellationToken Ct = TestContext.Current.CancellationToken;
    private static readonly string Sets = Path.Combine(SourceTree.Find().Root, "components");
    private static readonly string[] Asked = ["catalog", "cart", "ordering", "identity"];
    private static readonly string[] Components = ["pubsub", "email", "media", "carts", "cache", "documents", "payment-status", "order-feed", "actors", "secrets"];

    public static TheoryData<string> Listeners => ["identity", "catalog", "search", "cart", "inventory", "ordering", "payments", "fulfilment", "notifications", "media", "order-feed"];

    [Theory, MemberData(nameof(Listeners))]
    public async Task A_message_is_tried_for_more_than_three_quarters_of_a_minute_before_it_is_a_dead_letter(string app)
    {
        foreach (var set in Directory.EnumerateDirectories(Sets))
        {
            var time = new ImpatientTime();
            var policy = Of(set, app).ComponentInbound("pubsub", "Pubsub");
            var tries = 0;
            await (policy! with { Timeout = null }).RunAsync(time, _ => Task.FromResult(++tries), static _ => true, null, Ct);
            Assert.True(time.Elapsed >= TimeSpan.FromSeconds(45), $"{set}: {time.Elapsed}");
            Assert.True(tries > 10, $"{set}: {tries} tries");   // often: what is back after a second is not waited for longer

            // A broker that takes a silent reader for dead waits longer than that.
            Assert.True(policy.Timeout >= TimeSpan.FromSeconds(10) && policy.Timeout <= TimeSpan.FromSeconds(60), $"{set}: {policy.Timeout}");
        }
    }

    [Fact]
    public void Nothing_has_a_breaker_and_only_questions_are_repeated()
    {
        foreach (var set in Directory.EnumerateDirectories(Sets))
        {
            foreach (var policies in Listeners.Select(app => Of(set, app)).Append(Of(set, "gateway")))
            {
                Assert.All(Components, component => Assert.Null((policies.ComponentInbound(component, "Statestore") ?? policies.ComponentOutbound(component, "Statestore"))?.Breaker));
                Assert.All(Components, component => Assert.Null(policies.ComponentOutbound(component, "Statestore")?.Retry));
                Assert.All(Listeners, app => Assert.Null(policies.App(app, "/")?.Breaker));
                Assert.All(["payments", "inventory", "fulfilment", "notifications", "media", "search"], app => Assert.Null(policies.App(app, "/")?.Retry));
            }

            Assert.All(Asked, app => Assert.Null(Of(set, "gateway").App(app, "/")));
        }
    }

    [Theory]
    [InlineData(404)]
    [InlineData(409)]
    [InlineData(422)]
    [InlineData(500)]
    public async Task An_answer_that_is_no_hiccup_reaches_the_caller_at_once_however_often_it_comes(int status)
    {
        var calls = new ConcurrentDictionary<string, int>();
        var answer = status;
        await using var catalog = await TestApp.StartAsync(web => web.Map("/{**path}", (HttpContext http) =>
        {
            calls.AddOrUpdate(http.Request.Path, 1, static (_, seen) => seen + 1);
            return Results.Text("the catalogue's own words", statusCode: answer);
        }));
        await using var sidecars = await SidecarsUnderTest.StartAsync(Shipped(), new AppUnderTest("search"), new AppUnderTest("catalog", catalog.Port));
        await sidecars.ReadyAsync();
        using var http = sidecars.Http();
        for (var time = 0; time < 50; time++)
        {
            using var reply = await http.PostAsJsonAsync("/v1.0/invoke/catalog/method/internal/prices", new { productIds = Array.Empty<Guid>() }, Ct);
            Assert.Equal((status, "the catalogue's own words"), ((int)reply.StatusCode, await reply.Content.ReadAsStringAsync(Ct)));
        }

        Assert.Equal(50, calls["/internal/prices"]);
        answer = 200;
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/v1.0/invoke/catalog/method/internal/prices", Ct)).StatusCode);
    }

    [Theory]
    [InlineData("search", 502, 4)]
    [InlineData("search", 503, 4)]
    [InlineData("search", 504, 4)]
    [InlineData("search", 500, 1)]
    [InlineData("gateway", 503, 1)]
    public async Task A_question_is_repeated_while_the_other_side_restarts_and_the_call_of_a_shopper_is_not(string caller, int status, int expected)
    {
        var calls = 0;
        await using var catalog = await TestApp.StartAsync(web => web.Map("/internal/prices", () =>
        {
            Interlocked.Increment(ref calls);
            return Results.StatusCode(status);
        }));
        await using var sidecars = await SidecarsUnderTest.StartAsync(Shipped(), new AppUnderTest(caller), new AppUnderTest("catalog", catalog.Port));
        await sidecars.ReadyAsync();
        using var http = sidecars.Http();
        using var reply = await http.GetAsync("/v1.0/invoke/catalog/method/internal/prices", Ct);
        Assert.Equal((status, expected), ((int)reply.StatusCode, calls));
    }

    [Fact]
    public async Task Fifty_lost_races_for_a_cart_do_not_close_the_carts()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync(Shipped(), new AppUnderTest("cart"));
        await sidecars.ReadyAsync();
        using var http = sidecars.Http();
        Assert.Equal(HttpStatusCode.NoContent, (await SaveAsync(null)).StatusCode);
        for (var time = 0; time < 50; time++)
            Assert.Equal(HttpStatusCode.Conflict, (await SaveAsync("9999")).StatusCode);

        using var read = await http.GetAsync("/v1.0/state/carts/ada", Ct);
        Assert.Equal(HttpStatusCode.NoContent, (await SaveAsync(read.Headers.NonValidated["ETag"].ToString())).StatusCode);

        Task<HttpResponseMessage> SaveAsync(string? etag) =>
            http.PostAsJsonAsync("/v1.0/state/carts", new[] { new { key = "ada", value = "tea", etag, options = new { concurrency = "first-write" } } }, Ct);
    }

    /// <summary>The documents as they are in every set, around a store in memory.</summary>
    private static string Shipped() => string.Join("\n---\n",
    [
        File.ReadAllText(Path.Combine(Sets, "local", "resiliency.yaml")),
        File.ReadAllText(Path.Combine(Sets, "local", "resiliency-questions.yaml")),
        """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: carts}
        spec: {type: state.in-memory, version: v1}
        scopes: [cart]
        """,
    ]);

    private static ResiliencyPolicies Of(string set, string app) =>
        new([.. ResourceFolder.Read(set).Resiliency.Where(document => document.Scopes.Count == 0 || document.Scopes.Contains(app))]);
}
