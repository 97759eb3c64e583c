using System.Security.Cryptography;
using System.Text;

namespace Marketplace.Local.Seed;

public sealed record DemoSeller(string Name, string Email, string[] Categories);

/// <param name="Category">The root of the shelf it stands on: what its shop trades in.</param>
public sealed record DemoProduct(
    Guid ProductId, DemoSeller Seller, string Category, string Title, string Description, long PriceMinor, string Slug, int North, int Midlands, int South, DemoDetail Detail);

public sealed record DemoShopper(string Email, string Name, string City, string PostalCode, bool HasCard);

/// <summary>A marketplace to look at: six shops, some three hundred things, five people. The same on every machine.</summary>
public static class Demo
{
    public const string Password = "correct-horse-1";

    public static readonly IReadOnlyList<DemoShopper> Shoppers =
    [
        new("ada@example.com", "Ada Marsh", "London", "N1 1AA", true),
        new("bruno@example.com", "Bruno Keller", "Leeds", "LS1 4AP", true),
        new("chiara@example.com", "Chiara Rossi", "Bristol", "BS1 5TR", true),
        new("dev@example.com", "Dev Patel", "Leicester", "LE1 3PL", false),
        new("elin@example.com", "Elin Berg", "Cardiff", "CF10 1EP", false),
    ];

    public static readonly IReadOnlyList<DemoSeller> Sellers =
    [
        new("Hearth & Home", "hearth@example.com", ["homeware", "kitchen", "lighting"]),
        new("Green Fingers", "green@example.com", ["garden", "pets", "furniture"]),
        new("Paper Moon", "paper@example.com", ["stationery", "books", "gifts"]),
        new("Volt & Byte", "volt@example.com", ["electronics", "lighting"]),
        new("Little Wonders", "wonders@example.com", ["toys", "seasonal", "gifts"]),
        new("Thread & Trim", "thread@example.com", ["clothing", "jewellery", "beauty", "sports"]),
    ];

    private static readonly Dictionary<string, (string[] Things, int Cheapest, int Dearest)> Shelves = new()
    {
        ["homeware"] = (["Wool Throw", "Ceramic Vase", "Linen Cushion", "Woven Basket", "Wall Clock", "Scented Candle"], 899, 6900),
        ["kitchen"] = (["Enamel Mug", "Mixing Bowl", "Chopping Board", "Teapot", "Pepper Mill", "Baking Tin"], 650, 5400),
        ["lighting"] = (["Table Lamp", "Lantern", "String Lights", "Desk Light", "Pendant Shade"], 1200, 12900),
        ["garden"] = (["Plant Pot", "Watering Can", "Bird Feeder", "Herb Planter", "Garden Trowel", "Seed Box"], 450, 4900),
        ["pets"] = (["Dog Bed", "Cat Tunnel", "Feeding Bowl", "Rope Toy"], 599, 5900),
        ["furniture"] = (["Side Table", "Reading Chair", "Shoe Bench", "Bookshelf", "Stool"], 3900, 39900),
        ["stationery"] = (["Notebook", "Fountain Pen", "Desk Planner", "Sticker Set", "Writing Paper"], 299, 3900),
        ["books"] = (["Cookbook", "Atlas", "Field Guide", "Book of Puzzles", "Picture Book"], 699, 3200),
        ["gifts"] = (["Gift Box", "Greeting Card Set", "Photo Frame", "Music Box", "Keepsake Tin"], 350, 3600),
        ["electronics"] = (["Headphones", "Portable Speaker", "Charging Dock", "Digital Radio", "Webcam", "Keyboard"], 1900, 24900),
        ["toys"] = (["Wooden Train", "Teddy Bear", "Building Blocks", "Marble Run", "Kite", "Puzzle"], 799, 5600),
        ["seasonal"] = (["Paper Garland", "Tree Bauble", "Party Hats", "Snow Globe"], 250, 2900),
        ["clothing"] = (["Cotton Shirt", "Lambswool Jumper", "Rain Jacket", "Scarf", "Socks"], 900, 13900),
        ["jewellery"] = (["Silver Ring", "Pearl Earrings", "Leather Watch", "Bracelet"], 1900, 28900),
        ["beauty"] = (["Hand Cream", "Bath Salts", "Shaving Kit", "Face Oil"], 550, 4200),
        ["sports"] = (["Yoga Mat", "Skipping Rope", "Water Bottle", "Tennis Balls", "Running Belt"], 499, 4900),
    };

    private static readonly string[] Styles = ["Classic", "Midnight Blue", "Forest Green", "Sunrise", "Stone Grey", "Terracotta", "Heritage", "Nordic"];

    public static IReadOnlyList<DemoProduct> Products { get; } = [.. Make()];

    private static IEnumerable<DemoProduct> Make()
    {
        foreach (var seller in Sellers)
        {
            foreach (var category in seller.Categories)
            {
                var (things, cheapest, dearest) = Shelves[category];
                foreach (var thing in things)
                {
                    // Neither a shop nor a shelf carries every style of everything.
                    for (var style = 0; style < Styles.Length; style++)
                    {
                        var dice = SHA256.HashData(Encoding.UTF8.GetBytes($"{seller.Name}|{category}|{thing}|{Styles[style]}"));
                        if (dice[0] % 8 > 3)
                            continue;
                        var title = $"{Styles[style]} {thing}";
                        // Most things cost little: the square of a fair die leans to the left.
                        var price = cheapest + (dearest - cheapest) * dice[1] / 255 * dice[1] / 255;
                        price = price / 100 * 100 + (dice[2] % 2 == 0 ? 99 : 50);
                        dice[6] = (byte)(dice[6] & 0x0f | 0x80);
                        dice[8] = (byte)(dice[8] & 0x3f | 0x80);
                        yield return new DemoProduct(
                            new Guid(dice.AsSpan(0, 16), bigEndian: true), seller, category, title,
                            $"{title} from {seller.Name}. {Sentence(dice[3])} {Sentence(dice[3] + 1 + dice[4] % 5)}", price, title.ToLowerInvariant().Replace(' ', '-'),
                            // Some are nearly gone and a few are: an empty shelf is part of a shop.
                            dice[20] % 40, dice[21] % 25, dice[22] % 12 == 0 ? 0 : dice[22] % 60, DemoDetail.Of(category, thing, Styles[style]));
                    }
                }
            }
        }
    }

    private static string Sentence(int dice) => (dice % 6) switch
    {
        0 => "Made in small batches and checked by hand.",
        1 => "A favourite that returning customers ask for by name.",
        2 => "Packed without plastic.",
        3 => "Comes in a box that is a pleasure to open.",
        4 => "Easy to care for, made to last.",
        _ => "Designed to be used every day.",
    };
}
