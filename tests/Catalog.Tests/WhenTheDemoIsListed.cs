extern alias local;

using local::Marketplace.Local.Seed;
using Marketplace.Catalog.Categories;
using Marketplace.Catalog.Listings;
using Marketplace.Catalog.Variants;
using Marketplace.Contracts;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace Marketplace.Catalog.Tests;

public sealed class WhenTheDemoIsListed(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    [Fact]
    public async Task Every_thing_of_it_says_what_its_category_allows()
    {
        var tree = await shop.Catalog.Services.GetRequiredService<CategoryStore>().TreeAsync(TestContext.Current.CancellationToken);

        var wrong = Demo.Products.SelectMany(product => ListingText.Of(
            new ListingRequest(
                product.Title, product.Detail.Shelf, Money.Gbp(product.PriceMinor), product.Description, product.Seller.Name, Sku: product.Slug, Attributes: product.Detail.Attributes,
                Variants: [.. product.Detail.Sizes.Select(size => new VariantRequest($"{product.Slug}-{size}", [new ListingAttribute("Size", size)]))]),
            tree, isNew: true).Errors.Select(error => $"{product.Title}: {error.Field}: {error.Message}")).ToList();

        Assert.Empty(wrong);
        Assert.All(Demo.Products, product => Assert.Equal(product.Category, tree.Find(product.Detail.Shelf)!.Path[0]));
    }
}
