using System.Globalization;
using System.Text.Json;

namespace Marketplace.Local.Seed;

/// <summary>What a thing of the demo is beside its name.</summary>
/// <param name="Shelf">The category it stands in, below the one its shop trades in.</param>
/// <param name="Attributes">As that category defines them.</param>
/// <param name="Sizes">It comes in these; none for most things.</param>
public sealed record DemoDetail(string Shelf, IReadOnlyDictionary<string, JsonElement> Attributes, IReadOnlyList<string> Sizes)
{
    // thing | category | what is said of it | sizes
    private const string Table = """
        Wool Throw | homeware-textiles | material=wool width=130 height=180
        Ceramic Vase | homeware-decoration | material=ceramic height=24
        Linen Cushion | homeware-textiles | material=linen width=45 height=45
        Woven Basket | homeware-storage | material=wicker width=35
        Wall Clock | homeware-decoration | material=wood width=30
        Scented Candle | homeware-candles | material=wax burning-time=40
        Enamel Mug | kitchen-tableware | material=enamel capacity=0.35 dishwasher-safe=false
        Mixing Bowl | kitchen-cookware | material=ceramic capacity=2.5 dishwasher-safe=true
        Chopping Board | kitchen-utensils | material=wood dishwasher-safe=false
        Teapot | kitchen-tableware | material=ceramic capacity=1.2 dishwasher-safe=true
        Pepper Mill | kitchen-utensils | material=wood dishwasher-safe=false
        Baking Tin | kitchen-cookware | material=steel dishwasher-safe=true
        Table Lamp | lighting-lamps | material=brass power-source=mains dimmable=true
        Lantern | lighting-decorative | material=metal power-source=candle
        String Lights | lighting-decorative | material=plastic power-source=battery dimmable=false
        Desk Light | lighting-lamps | material=aluminium power-source=USB dimmable=true
        Pendant Shade | lighting-pendants | material=linen power-source=mains
        Plant Pot | garden-pots | material=ceramic diameter=22 weatherproof=true
        Watering Can | garden-tools | material=metal weatherproof=true
        Bird Feeder | garden-wildlife | material=wood weatherproof=true
        Herb Planter | garden-pots | material=wood diameter=30 weatherproof=true
        Garden Trowel | garden-tools | material=steel
        Seed Box | garden-tools | material=wood weatherproof=false
        Dog Bed | pets-dogs | material=cotton | small medium large
        Cat Tunnel | pets-cats | material=polyester pet-size=small
        Feeding Bowl | pets | material=ceramic pet-size=medium
        Rope Toy | pets-dogs | material=cotton pet-size=medium
        Side Table | furniture-tables | material=wood width=40 height=50 assembly=true
        Reading Chair | furniture-seating | material=cotton width=75 height=100 assembly=false
        Shoe Bench | furniture-storage | material=wood width=90 height=45 assembly=true
        Bookshelf | furniture-storage | material=wood width=80 height=180 assembly=true
        Stool | furniture-seating | material=wood height=45 assembly=false
        Notebook | stationery-paper | material=paper ruling=lined pages=192
        Fountain Pen | stationery-writing | material=metal
        Desk Planner | stationery-paper | material=paper ruling=squared pages=60
        Sticker Set | stationery-craft | material=paper
        Writing Paper | stationery-paper | material=paper ruling=plain pages=50
        Cookbook | books-nonfiction | format=hardback pages=256 language=English
        Atlas | books-nonfiction | format=hardback pages=320 language=English
        Field Guide | books-nonfiction | format=paperback pages=208 language=English
        Book of Puzzles | books-nonfiction | format=spiral-bound pages=160 language=English
        Picture Book | books-children | format=hardback pages=32 language=English age-from=3
        Gift Box | gifts-cards | material=paper personalised=false
        Greeting Card Set | gifts-cards | material=paper personalised=true
        Photo Frame | gifts-keepsakes | material=wood personalised=true
        Music Box | gifts-keepsakes | material=wood personalised=false
        Keepsake Tin | gifts-keepsakes | material=metal personalised=true
        Headphones | electronics-audio | material=plastic wireless=true battery-life=30
        Portable Speaker | electronics-audio | material=plastic wireless=true battery-life=12
        Charging Dock | electronics-cables | material=aluminium wireless=false length=1
        Digital Radio | electronics-audio | material=wood wireless=false
        Webcam | electronics-computers | material=plastic wireless=false interface=USB-A
        Keyboard | electronics-computers | material=aluminium wireless=true interface=Bluetooth
        Wooden Train | toys-construction | material=wood age-from=3
        Teddy Bear | toys-soft | material=cotton age-from=0
        Building Blocks | toys-construction | material=wood age-from=2
        Marble Run | toys-construction | material=wood age-from=5
        Kite | toys-outdoor | material=polyester age-from=6
        Puzzle | toys-games | material=paper age-from=4 players=1
        Paper Garland | seasonal-party | material=paper pieces=1
        Tree Bauble | seasonal-christmas | material=glass pieces=6
        Party Hats | seasonal-party | material=paper pieces=8
        Snow Globe | seasonal-christmas | material=glass pieces=1
        Cotton Shirt | clothing-shirts | material=cotton fit=regular sleeve=long washable=true | S M L XL
        Lambswool Jumper | clothing-knitwear | material=wool fit=relaxed washable=false | S M L
        Rain Jacket | clothing-outerwear | material=polyester fit=regular waterproof=true washable=true | S M L XL
        Scarf | clothing-accessories | material=wool size=one-size washable=false
        Socks | clothing-shoes | material=cotton washable=true
        Silver Ring | jewellery-rings | material=silver
        Pearl Earrings | jewellery-earrings | material=silver stone=pearl
        Leather Watch | jewellery-watches | material=leather water-resistance=50
        Bracelet | jewellery-rings | material=silver
        Hand Cream | beauty-skin | volume=75 vegan=true scent=lavender
        Bath Salts | beauty-bath | vegan=true scent=rose
        Shaving Kit | beauty-bath | vegan=false scent=cedar
        Face Oil | beauty-skin | volume=30 vegan=true
        Yoga Mat | sports-fitness | material=rubber weight=1.2
        Skipping Rope | sports-fitness | material=cotton weight=0.3
        Water Bottle | sports-fitness | material=steel weight=0.25
        Tennis Balls | sports-games | material=rubber
        Running Belt | sports-fitness | material=polyester weight=0.1
        """;

    // Styles that are no colour leave it unsaid.
    private static readonly Dictionary<string, string> Colours = new()
    {
        ["Midnight Blue"] = "blue",
        ["Forest Green"] = "green",
        ["Sunrise"] = "yellow",
        ["Stone Grey"] = "grey",
        ["Terracotta"] = "orange",
    };

    private static readonly Dictionary<string, DemoDetail> Things = Table.Split('\n', StringSplitOptions.RemoveEmptyEntries)
        .Select(line => line.Split('|', StringSplitOptions.TrimEntries))
        .ToDictionary(cells => cells[0], cells => new DemoDetail(
            cells[1],
            cells[2].Split(' ').Select(said => said.Split('=')).ToDictionary(said => said[0], said => ValueOf(said[1])),
            cells.Length > 3 ? cells[3].Split(' ') : []));

    public static DemoDetail Of(string category, string thing, string style)
    {
        var detail = Things[thing];
        return category != "books" && Colours.TryGetValue(style, out var colour)
            ? detail with { Attributes = new Dictionary<string, JsonElement>(detail.Attributes) { ["colour"] = JsonSerializer.SerializeToElement(colour) } }
            : detail;
    }

    private static JsonElement ValueOf(string text) => text switch
    {
        "true" or "false" => JsonSerializer.SerializeToElement(text == "true"),
        "one-size" => JsonSerializer.SerializeToElement("one size"),
        _ when decimal.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) => JsonSerializer.SerializeToElement(number),
        _ => JsonSerializer.SerializeToElement(text),
    };
}
