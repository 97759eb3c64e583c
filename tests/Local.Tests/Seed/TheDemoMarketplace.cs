using System.Xml.Linq;
using Marketplace.Local.Launcher;
using Marketplace.Local.Pictures;
using Marketplace.Local.Seed;
using Xunit;

namespace Marketplace.Local.Tests.Seed;

public sealed class TheDemoMarketplace
{
    [Fact]
    public void Has_six_sellers_and_some_three_hundred_products_of_their_own()
    {
        Assert.Equal(6, Demo.Sellers.Count);
        Assert.InRange(Demo.Products.Count, 250, 450);
        Assert.Equal(Demo.Products.Count, Demo.Products.Select(product => product.ProductId).Distinct().Count());
        Assert.All(Demo.Products, product => Assert.InRange(product.PriceMinor, 1, 100_000_00));
        Assert.All(Demo.Products, product => Assert.True(product is { North: >= 0, Midlands: >= 0, South: >= 0 }));
        Assert.All(Demo.Sellers, seller => Assert.Contains(Demo.Products, product => product.Seller == seller));
    }

    [Fact]
    public void Uses_only_shelves_that_the_catalogue_has()
    {
        var migration = File.ReadAllText(Directory.GetFiles(Path.Combine(SourceTree.Find().Root, "services", "Catalog", "Migrations"), "0001*.sql").Single());
        Assert.All(Demo.Products.Select(product => product.Category).Distinct(), category => Assert.Contains($"('{category}',", migration));
        var tree = File.ReadAllText(Directory.GetFiles(Path.Combine(SourceTree.Find().Root, "services", "Catalog", "Migrations"), "0002*.sql").Single());
        Assert.All(
            Demo.Products.Select(product => (product.Category, product.Detail.Shelf)).Distinct().Where(each => each.Shelf != each.Category),
            each => Assert.Matches($"\\('{each.Shelf}', '[^)]*', '{each.Category}', ", tree));
        Assert.InRange(Demo.Products.Count(product => product.Detail.Sizes.Count > 0), 10, 40);
        Assert.Equal(Demo.Products.Count, Demo.Products.DistinctBy(product => (product.Seller, product.Category, product.Slug)).Count());
    }

    [Fact]
    public void Draws_every_product_the_same_way_each_time_and_no_two_alike()
    {
        var pictures = Demo.Products.DistinctBy(product => (product.Category, product.Slug)).Select(product => Picture.Svg(product.Category, product.Slug)).ToList();
        Assert.Equal(pictures.Count, pictures.Distinct().Count());
        Assert.Equal(pictures[0], Picture.Svg(Demo.Products[0].Category, Demo.Products[0].Slug));
        Assert.All(pictures, picture => Assert.Equal("svg", XDocument.Parse(picture).Root!.Name.LocalName));
    }

    [Fact]
    public void Draws_a_hostile_name_as_text() =>
        Assert.DoesNotContain("<script", Picture.Svg("gifts", "\"/><script>alert(1)</script>"));
}
