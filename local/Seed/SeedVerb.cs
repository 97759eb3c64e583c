using Marketplace.Local.Launcher;
using Marketplace.Local.Shop;
using Spectre.Console;

namespace Marketplace.Local.Seed;

/// <summary>The verb <c>seed</c>: fills the marketplace through its public API, as its sellers and shoppers would. A second run changes what differs and nothing else.</summary>
public static class SeedVerb
{
    private const string Usage = """
        usage: dotnet run --project local -- seed [options]

          A demo marketplace: six sellers, some three hundred products with pictures, some in sizes, stock in three warehouses, and shoppers
          with known passwords. Running it again restores prices and stock and adds nothing twice.

        """;

    public static Task<int> RunAsync(string[] args) => LauncherVerbs.GuardedAsync(args, Usage, async (options, rest, ct) =>
    {
        if (rest is [var unknown, ..])
            throw new UsageException($"Unknown option {unknown}.");
        var view = LaunchView.Create(options.Json);
        await using var host = await RunningOrStarted.AttachAsync(options, view, ct);
        using var shop = new ShopClient(new Uri(host.System.GatewayUrl));
        await view.Console.Progress().AutoClear(false).Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn()).StartAsync(async progress =>
        {
            var listing = progress.AddTask("products of six sellers", maxValue: Demo.Products.Count);
            var stocking = progress.AddTask("stock in three warehouses", maxValue: Demo.Products.Count);
            var people = progress.AddTask("shoppers", maxValue: Demo.Shoppers.Count);
            foreach (var seller in Demo.Sellers)
            {
                var session = await shop.BecomeSellerAsync(await shop.OpenAccountAsync(seller.Email, Demo.Password, seller.Name, ct), seller.Name, ct);
                var products = Demo.Products.Where(product => product.Seller == seller).ToList();
                await ListAsync(shop, session, products, host.System.PicturesUrl, ct);
                listing.Increment(products.Count);
                foreach (var some in (await StockOfAsync(shop, products, ct)).Chunk(500))
                    await shop.StockAsync(session, some, ct);
                stocking.Increment(products.Count);
            }

            foreach (var shopper in Demo.Shoppers)
            {
                await WelcomeAsync(shop, shopper, ct);
                people.Increment(1);
            }
        });

        var table = new Table { Border = TableBorder.Rounded, Title = new TableTitle($"password of all: {Demo.Password}") }.AddColumns("who", "signs in as", "");
        foreach (var shopper in Demo.Shoppers)
            table.AddRow(shopper.Name, shopper.Email, shopper.HasCard ? "has a saved card" : "");
        foreach (var seller in Demo.Sellers)
            table.AddRow(seller.Name, seller.Email, $"sells {string.Join(", ", seller.Categories)}");
        view.Console.Write(table);
        view.Console.MarkupLineInterpolated($"{Demo.Products.Count} products: {host.System.GatewayUrl}/api/v1/products");
        return 0;
    });

    private static async Task ListAsync(ShopClient shop, Session seller, IReadOnlyList<DemoProduct> products, string pictures, CancellationToken ct)
    {
        var missing = new List<DemoProduct>();
        foreach (var product in products)
        {
            if (!await shop.ExistsAsync($"api/v1/products/{product.ProductId}", ct))
                missing.Add(product);
        }

        foreach (var some in missing.Chunk(500))
        {
            await shop.ListAsync(seller, [.. some.Select(product => new NewListing(
                product.Title, product.Description, product.Seller.Name, product.Detail.Shelf, new Money(product.PriceMinor),
                pictures.Length == 0 ? null : $"{pictures}/{product.Category}/{product.Slug}.svg", product.ProductId, $"{product.Category}-{product.Slug}", product.Detail.Attributes,
                product.Detail.Sizes.Count == 0 ? null : ["Size"],
                product.Detail.Sizes.Count == 0 ? null : [.. product.Detail.Sizes.Select((size, place) => new NewVariant(
                    $"{product.Category}-{product.Slug}-{size.ToLowerInvariant()}", [new NewOption("Size", size)], new Money(product.PriceMinor + (place * 100))))]))], ct);
        }
    }

    /// <summary>Of a thing that comes in sizes each size is stocked, unevenly, under the id that the catalogue gave it.</summary>
    private static async Task<IReadOnlyList<StockLine>> StockOfAsync(ShopClient shop, IReadOnlyList<DemoProduct> products, CancellationToken ct)
    {
        var lines = new List<StockLine>();
        foreach (var product in products)
        {
            if (product.Detail.Sizes.Count == 0)
            {
                lines.AddRange([
                    new(product.ProductId, "north", product.North), new(product.ProductId, "midlands", product.Midlands), new(product.ProductId, "south", product.South)]);
                continue;
            }

            using var listing = await shop.GetAsync($"api/v1/products/{product.ProductId}", null, ct);
            var sizes = listing.RootElement.GetProperty("variants").EnumerateArray().Select(variant => variant.GetProperty("variantId").GetGuid());
            lines.AddRange(sizes.SelectMany((size, place) => new StockLine[]
            {
                new(size, "north", product.North / (place + 1)), new(size, "midlands", product.Midlands / (place + 1)), new(size, "south", product.South / (place + 2)),
            }));
        }

        return lines;
    }

    private static async Task WelcomeAsync(ShopClient shop, DemoShopper shopper, CancellationToken ct)
    {
        var session = await shop.OpenAccountAsync(shopper.Email, Demo.Password, shopper.Name, ct);
        if (await shop.CountAsync("api/v1/me/addresses", session, ct) == 0)
            await shop.AddAddressAsync(session, new Destination(shopper.Name, "1 High Street", null, shopper.City, shopper.PostalCode, "GB"), ct);
        if (shopper.HasCard && await shop.CountAsync("api/v1/payment-methods", session, ct) == 0)
            await shop.AddPaymentMethodAsync(session, "pm_card_visa", ct);
    }
}
