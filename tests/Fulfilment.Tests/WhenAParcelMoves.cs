using System.Net;
using System.Net.Http.Json;
using Marketplace.Contracts;
using Marketplace.Fulfilment.Parcels;
using Marketplace.TestKit;

namespace Marketplace.Fulfilment.Tests;

public sealed class WhenAParcelMoves
{
    [Fact]
    public async Task It_goes_from_the_warehouse_to_the_door_and_tells_of_each_stage_once()
    {
        await using var fulfilment = await ServiceUnderTest<Program>.StartAsync("fulfilment");
        var parcel = await PlanAsync(fulfilment, A.Bruno);
        using var bruno = fulfilment.As(TestTokens.Seller(Guid.CreateVersion7(), A.Bruno));

        var shipped = await AdvanceAsync(bruno, parcel, "created");
        var repeat = await PostAsync(bruno, parcel, "created");
        var out4Delivery = await AdvanceAsync(bruno, parcel, "shipped");
        var delivered = await AdvanceAsync(bruno, parcel);
        var beyond = await PostAsync(bruno, parcel);

        Assert.Equal(("shipped", "out_for_delivery", "delivered"), (shipped.Status, out4Delivery.Status, delivered.Status));
        Assert.Equal((HttpStatusCode.Conflict, HttpStatusCode.Conflict), (repeat.StatusCode, beyond.StatusCode));
        Assert.NotNull(shipped.TrackingNumber);
        Assert.Equal(shipped.TrackingNumber, delivered.TrackingNumber);
        Assert.Equal("Ada", shipped.ShipTo!.Name);
        var news = Assert.Single(await fulfilment.EventsAsync<ShipmentShipped>());
        Assert.Equal((parcel, shipped.TrackingNumber, 3), (news.ShipmentId, news.TrackingNumber, news.ShipmentsOfOrder));
        Assert.Single(await fulfilment.EventsAsync<ShipmentOutForDelivery>());
        Assert.Single(await fulfilment.EventsAsync<ShipmentDelivered>());
    }

    [Fact]
    public async Task Twenty_clicks_at_once_with_the_stage_named_move_it_once()
    {
        await using var fulfilment = await ServiceUnderTest<Program>.StartAsync("fulfilment");
        var parcel = await PlanAsync(fulfilment, A.Bruno);
        using var bruno = fulfilment.As(TestTokens.Seller(Guid.CreateVersion7(), A.Bruno));

        var replies = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => PostAsync(bruno, parcel, "created")));

        Assert.Single(replies, reply => reply.StatusCode == HttpStatusCode.OK);
        Assert.All(replies, reply => Assert.True(reply.StatusCode is HttpStatusCode.OK or HttpStatusCode.Conflict));
        Assert.Single(await fulfilment.EventsAsync<ShipmentShipped>());
    }

    [Fact]
    public async Task Trap_3_somebody_elses_parcel_is_not_there()
    {
        await using var fulfilment = await ServiceUnderTest<Program>.StartAsync("fulfilment");
        var brunos = await PlanAsync(fulfilment, A.Bruno);
        using var clara = fulfilment.As(TestTokens.Seller(Guid.CreateVersion7(), A.Clara));
        using var stranger = fulfilment.As(TestTokens.Buyer(Guid.CreateVersion7()));
        using var nobody = fulfilment.As(null);

        Assert.Equal(HttpStatusCode.NotFound, (await PostAsync(clara, brunos)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await PostAsync(clara, Guid.CreateVersion7())).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await PostAsync(stranger, brunos)).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await PostAsync(nobody, brunos)).StatusCode);
        using var asOperator = await clara.PostAsync(new Uri($"/api/v1/operations/shipments/{brunos}/advance", UriKind.Relative), null, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Forbidden, asOperator.StatusCode);

        Assert.Equal([A.Clara], (await PageAsync(clara, "/api/v1/seller/shipments")).Items.Select(item => item.SellerId).Distinct());
        Assert.Empty((await PageAsync(stranger, "/api/v1/shipments")).Items);
        Assert.Empty(await fulfilment.EventsAsync<ShipmentShipped>());
    }

    [Fact]
    public async Task A_seller_pages_through_what_is_to_be_sent()
    {
        await using var fulfilment = await ServiceUnderTest<Program>.StartAsync("fulfilment");
        for (var i = 0; i < 3; i++)
            using (await fulfilment.DeliverAsync(A.Order())) { }
        using var bruno = fulfilment.As(TestTokens.Seller(Guid.CreateVersion7(), A.Bruno));

        var seen = new List<Guid>();
        string? cursor = null;
        do
        {
            var page = await PageAsync(bruno, $"/api/v1/seller/shipments?status=created&limit=4{(cursor is null ? "" : $"&cursor={cursor}")}");
            seen.AddRange(page.Items.Select(item => item.ShipmentId));
            cursor = page.Next;
        }
        while (cursor is not null);

        Assert.Equal((6, 6), (seen.Count, seen.Distinct().Count()));
        foreach (var wrong in (string[])["limit=0", "limit=101", "cursor=nonsense", "status=lost"])
            using (var reply = await bruno.GetAsync(new Uri($"/api/v1/seller/shipments?{wrong}", UriKind.Relative), TestContext.Current.CancellationToken))
                Assert.Equal(HttpStatusCode.UnprocessableEntity, reply.StatusCode);
    }

    private static async Task<Guid> PlanAsync(ServiceUnderTest<Program> fulfilment, Guid seller)
    {
        using (await fulfilment.DeliverAsync(A.Order())) { }
        return (await fulfilment.EventsAsync<ShipmentCreated>()).First(parcel => parcel.SellerId == seller).ShipmentId;
    }

    private static Task<HttpResponseMessage> PostAsync(HttpClient client, Guid parcel, string? from = null) =>
        client.PostAsync(new Uri($"/api/v1/seller/shipments/{parcel}/advance", UriKind.Relative), from is null ? null : JsonContent.Create(new AdvanceRequest(from)), TestContext.Current.CancellationToken);

    private static async Task<ShipmentView> AdvanceAsync(HttpClient client, Guid parcel, string? from = null)
    {
        using var reply = await PostAsync(client, parcel, from);
        Assert.Equal(HttpStatusCode.OK, reply.StatusCode);
        return (await reply.Content.ReadFromJsonAsync<ShipmentView>(TestContext.Current.CancellationToken))!;
    }

    private static async Task<ShipmentPage> PageAsync(HttpClient client, string path) => (await client.GetFromJsonAsync<ShipmentPage>(path, TestContext.Current.CancellationToken))!;
}
