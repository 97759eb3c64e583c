using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Search.Querying;
using Marketplace.TestKit;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests;

public sealed class WhenWordsMeanMoreWithLucene() : WhenWordsMeanMore(SearchFixture.Lucene);

/// <summary>Synonyms and common misspellings, from a file that people edit while the service runs.</summary>
public abstract class WhenWordsMeanMore(string engine) : IAsyncLifetime
{
    private readonly SearchFixture search = new(engine);
    private ServiceUnderTest<Program> service = null!;

    private string SynonymsPath => Path.Combine(search.Folder, "words.txt");

    public async ValueTask InitializeAsync()
    {
        await search.InitializeAsync();
        await search.DeliverAsync(Listed("Velvet sofa"), Listed("Leather couch"), Listed("Tealight holder"), Listed("Jewellery tray"), Listed("Kitchen knife"), Listed("Corner shelves"), Listed("Light bulb"));
        await search.Search.DisposeAsync();
        await WriteAsync("""
            # furniture
            sofa, couch, settee
            tea light, tealight
            jewelry, jewellry => jewellery
            """);
        service = await search.StartAsync(("Search:SynonymsFile", SynonymsPath), ("Search:SynonymsLookedAtEvery", "00:00:00"));
    }

    public async ValueTask DisposeAsync()
    {
        await service.DisposeAsync();
        await search.DisposeAsync();
    }

    [Theory]
    [InlineData("settee", "Leather couch, Velvet sofa"), InlineData("SOFAS", "Leather couch, Velvet sofa"), InlineData("leather sofa", "Leather couch"), InlineData("jewelry", "Jewellery tray"),
     InlineData("tea light holder", "Tealight holder"), InlineData("tea lights", "Tealight holder"), InlineData("knives", "Kitchen knife"), InlineData("shelf", "Corner shelves")]
    public async Task Another_word_for_it_finds_it(string typed, string titles) =>
        Assert.Equal(titles, string.Join(", ", (await TitlesAsync(typed)).Order()));

    [Fact]
    public async Task The_word_as_typed_comes_first()
    {
        Assert.Equal("Leather couch", (await TitlesAsync("couch"))[0]);
        Assert.Equal("Velvet sofa", (await TitlesAsync("sofa"))[0]);
    }

    [Fact]
    public async Task An_edited_file_counts_without_a_restart_and_broken_lines_are_named_and_left_out()
    {
        Assert.Empty(await TitlesAsync("chesterfield"));

        await WriteAsync("sofa, chesterfield\n=> nothing\nalone\na => b => c\n");
        await Eventually.Async(async () => (await TitlesAsync("chesterfield")).SequenceEqual(["Velvet sofa"]), "the file is read again");

        using var operations = service.As(TestTokens.Operator());
        var status = await (await operations.PostAsync("/api/v1/operations/search/synonyms/reload", null)).Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal(1, status.GetProperty("lines").GetInt32());
        Assert.Equal(["line 2", "line 3", "line 4"], status.GetProperty("faults").EnumerateArray().Select(fault => fault.GetString()!.Split(':')[0]));
    }

    [Fact]
    public async Task Only_operators_reload() =>
        Assert.Equal(403, (int)(await service.As(TestTokens.Buyer(Guid.NewGuid())).PostAsync("/api/v1/operations/search/synonyms/reload", null)).StatusCode);

    [Fact]
    public void The_file_that_is_shipped_has_no_fault()
    {
        var synonyms = Synonyms.Parse(File.ReadLines(Path.Combine(AppContext.BaseDirectory, "synonyms.txt")));

        Assert.Empty(synonyms.Faults);
        Assert.InRange(synonyms.Lines, 50, 1_000);
    }

    private async Task<List<string>> TitlesAsync(string typed) =>
        [.. (await service.As(null).GetFromJsonAsync<FoundPage>($"/api/v1/search?q={Uri.EscapeDataString(typed)}"))!.Items.Select(product => product.Title)];

    private Task WriteAsync(string lines) => File.WriteAllTextAsync(SynonymsPath, lines);
}
