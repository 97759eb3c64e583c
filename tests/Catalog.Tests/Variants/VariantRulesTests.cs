using Marketplace.Catalog.Listings;
using Marketplace.Catalog.Variants;
using Marketplace.Contracts;
using Xunit;

namespace Marketplace.Catalog.Tests.Variants;

public sealed class VariantRulesTests
{
    [Fact]
    public void Values_come_in_the_order_of_the_listings_options_and_a_variant_without_a_price_has_the_listings()
    {
        var (names, variants) = Check([Variant("A", 1200, ("Colour", "red"), ("Size", "M")), Variant("B", null, ("size", " L "), ("colour", "red"))], optionNames: ["Size", "Colour"]);

        Assert.Equal(["Size", "Colour"], names);
        Assert.Equal([("A", "M red", 1200L), ("B", "L red", 1000L)], variants.Select(variant => (variant.Sku, string.Join(' ', variant.Values), variant.PriceMinor)));
    }

    public static TheoryData<string, VariantRequest?[], string[]?> Refused()
    {
        var same = Guid.CreateVersion7();
        return new()
        {
            { "variants[1].options", [Variant("A", 1, ("Size", "M")), Variant("B", 1, ("Size", "m"))], null },
            { "variants[1].sku", [Variant("A", 1, ("Size", "M")), Variant("A", 1, ("Size", "L"))], null },
            { "variants[0].sku", [Variant(" ", 1, ("Size", "M"))], null },
            { "variants[0].sku", [Variant("A\u0000", 1, ("Size", "M"))], null },
            { "variants[0].sku", [Variant("OF-THE-LISTING", 1, ("Size", "M"))], null },
            { "variants[1].variantId", [Variant("A", 1, ("Size", "M")) with { VariantId = same }, Variant("B", 1, ("Size", "L")) with { VariantId = same }], null },
            { "variants[1].options", [Variant("A", 1, ("Size", "M")), Variant("B", 1, ("Colour", "red"))], null },
            { "variants[1].options", [Variant("A", 1, ("Size", "M")), Variant("B", 1, ("Size", "L"), ("Colour", "red"))], null },
            { "variants[0].options", [Variant("A", 1, ("Size", ""))], null },
            { "variants[0].options", [Variant("A", 1, ("Size", new string('x', 51)))], null },
            { "variants[0].price.minor", [Variant("A", 0, ("Size", "M"))], null },
            { "variants[0].price.minor", [Variant("A", -5, ("Size", "M"))], null },
            { "variants[0].price.minor", [Variant("A", 100_000_001, ("Size", "M"))], null },
            { "variants[1]", [Variant("A", 1, ("Size", "M")), null], null },
            { "optionNames", [Variant("A", 1)], null },
            { "optionNames", [Variant("A", 1, ("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"))], null },
            { "optionNames", [Variant("A", 1, ("Size", "M"))], ["Size", "size"] },
            { "optionNames", [Variant("A", 1, ("Size", "M"))], [""] },
            { "variants", [.. Enumerable.Range(0, 101).Select(number => Variant($"A{number}", 1, ("Size", $"{number}")))], null },
        };
    }

    [Theory, MemberData(nameof(Refused))]
    public void What_does_not_fit_together_is_refused_by_field(string field, VariantRequest?[] variants, string[]? optionNames)
    {
        var errors = new List<(string Field, string Message)>();

        VariantRules.Check(Shirt(variants, optionNames), "", errors);

        Assert.Equal([field], errors.Select(error => error.Field).Distinct());
    }

    [Fact]
    public void A_variant_keeps_its_id_by_the_id_it_is_sent_with_or_by_its_sku()
    {
        var (small, large, removed) = (Guid.CreateVersion7(), Guid.CreateVersion7(), Guid.CreateVersion7());
        VariantSql.KnownVariant[] known = [new(small, "S", false), new(large, "L", false), new(removed, "XL", true), new(Guid.CreateVersion7(), "S", true)];
        var fresh = Guid.CreateVersion7();

        var (variants, refusal) = VariantSql.Identify([Wanted("S"), Wanted("LARGE", large), Wanted("XL"), Wanted("L"), Wanted("M")], known, () => fresh);

        Assert.Null(refusal);
        Assert.Equal([small, large, removed, fresh, fresh], variants.Select(variant => variant.Id));
        Assert.IsType<Refusal.UnknownVariants>(VariantSql.Identify([Wanted("S", Guid.CreateVersion7())], known, () => fresh).Refusal);

        static WantedVariant Wanted(string sku, Guid? id = null) => new(id, sku, [], 1);
    }

    private static (IReadOnlyList<string> OptionNames, IReadOnlyList<WantedVariant> Variants) Check(VariantRequest?[] variants, string[]? optionNames)
    {
        var errors = new List<(string Field, string Message)>();
        var result = VariantRules.Check(Shirt(variants, optionNames), "", errors);
        Assert.Empty(errors);
        return result;
    }

    private static ListingRequest Shirt(VariantRequest?[] variants, string[]? optionNames) =>
        new("Shirt", "clothing-shirts", Money.Gbp(1000), Sku: "OF-THE-LISTING", OptionNames: optionNames, Variants: variants);

    private static VariantRequest Variant(string sku, long? minor, params (string Name, string Value)[] options) =>
        new(sku, [.. options.Select(option => new ListingAttribute(option.Name, option.Value))], minor is { } price ? Money.Gbp(price) : null);
}
