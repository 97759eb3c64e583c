using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;

namespace Marketplace.Local.Pictures;

/// <summary>Draws a product: always the same for the same name, told apart at a glance from the next one.</summary>
public static class Picture
{
    /// <param name="category">Chooses the shape, so that a shelf looks like a shelf.</param>
    /// <param name="name">Chooses the colours and is written below.</param>
    public static string Svg(string category, string name)
    {
        var seed = SHA256.HashData(Encoding.UTF8.GetBytes($"{category}/{name}"));
        var hue = seed[0] * 360 / 256;
        string Colour(int shift, int saturation, int lightness) => $"hsl({(hue + shift) % 360},{saturation}%,{lightness}%)";
        var (light, main, dark) = (Colour(0, 45, 92), Colour(0, 55, 58), Colour(35, 50, 32));
        var turn = (seed[1] % 5 - 2) * 4;
        var label = string.Join(' ', name.Split('-', StringSplitOptions.RemoveEmptyEntries));
        return string.Create(CultureInfo.InvariantCulture, $"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" role="img" aria-label="{WebUtility.HtmlEncode(label)}">
            <rect width="400" height="400" fill="{light}"/>
            <circle cx="{60 + seed[2] % 280}" cy="{50 + seed[3] % 120}" r="{40 + seed[4] % 50}" fill="{Colour(180, 40, 86)}"/>
            <ellipse cx="200" cy="318" rx="120" ry="14" fill="{Colour(0, 25, 80)}"/>
            <g transform="rotate({turn} 200 200)" fill="{main}" stroke="{dark}" stroke-width="7" stroke-linejoin="round" stroke-linecap="round">{Shape(category, seed, dark, Colour(60, 60, 70))}</g>
            <text x="200" y="372" font-family="Georgia, serif" font-size="{(label.Length > 30 ? 17 : 22)}" text-anchor="middle" fill="{dark}">{WebUtility.HtmlEncode(label)}</text>
            </svg>
            """);
    }

    private static string Shape(string category, byte[] seed, string dark, string accent) => (category, seed[5] % 2) switch
    {
        ("kitchen", 0) => $"""<path d="M110 150h160v90a60 60 0 0 1-60 60h-40a60 60 0 0 1-60-60z"/><path d="M270 170h25a30 30 0 0 1 0 70h-25" fill="none"/><path d="M150 120q-10-20 0-40M200 120q-10-20 0-40" fill="none"/>""",
        ("kitchen", _) => $"""<path d="M90 190h220l-20 100a20 20 0 0 1-20 15H130a20 20 0 0 1-20-15z"/><path d="M70 190h260" /><circle cx="200" cy="150" r="14" fill="{accent}"/>""",
        ("lighting", _) => $"""<path d="M140 90h120l50 110H90z"/><path d="M200 200v80M150 300h100" fill="none"/><circle cx="200" cy="215" r="16" fill="{accent}"/>""",
        ("furniture", _) => $"""<path d="M120 90h160v110H120z"/><path d="M100 200h200v40H100z" fill="{accent}"/><path d="M120 240v65M280 240v65" fill="none"/>""",
        ("garden", _) => $"""<path d="M130 220h140l-20 85H150z" fill="{accent}"/><path d="M200 220v-90M200 160q-60 0-60-60 60 0 60 60M200 140q50-5 55-55-55 0-55 55"/>""",
        ("toys", _) => $"""<circle cx="200" cy="170" r="62"/><circle cx="148" cy="112" r="24"/><circle cx="252" cy="112" r="24"/><circle cx="178" cy="160" r="7" fill="{dark}"/><circle cx="222" cy="160" r="7" fill="{dark}"/><path d="M180 195q20 18 40 0" fill="none"/><path d="M150 232h100v65H150z" fill="{accent}"/>""",
        ("stationery", _) => $"""<path d="M120 90h130l30 30v185H120z"/><path d="M250 90v30h30M150 160h100M150 200h100M150 240h60" fill="none"/>""",
        ("books", _) => $"""<path d="M110 90h80q10 0 10 12v203q0-12-12-12h-78zM290 90h-80q-10 0-10 12v203q0-12 12-12h78z"/><path d="M130 140h45M130 170h45M225 140h45" fill="none"/>""",
        ("electronics", _) => $"""<rect x="95" y="110" width="210" height="140" rx="14"/><rect x="120" y="135" width="160" height="90" rx="4" fill="{accent}"/><path d="M150 300h100M200 250v50" fill="none"/>""",
        ("clothing", _) => $"""<path d="M150 90l-75 45 25 50 35-18v135h130V167l35 18 25-50-75-45q-50 40-100 0z"/>""",
        ("jewellery", _) => $"""<circle cx="200" cy="220" r="78" fill="none"/><path d="M165 90h70l25 32-60 60-60-60z" fill="{accent}"/>""",
        ("beauty", _) => $"""<rect x="140" y="160" width="120" height="145" rx="18"/><rect x="170" y="105" width="60" height="55" fill="{accent}"/><path d="M165 230h70" fill="none"/>""",
        ("sports", _) => $"""<circle cx="200" cy="195" r="100"/><path d="M100 195h200M200 95v200M130 125q70 70 140 140M270 125q-70 70-140 140" fill="none"/>""",
        ("pets", _) => $"""<ellipse cx="200" cy="235" rx="62" ry="52"/><circle cx="130" cy="180" r="26"/><circle cx="172" cy="135" r="28"/><circle cx="228" cy="135" r="28"/><circle cx="270" cy="180" r="26"/>""",
        ("seasonal", _) => $"""<path d="M200 75l75 105h-40l60 90H105l60-90h-40z"/><path d="M185 270h30v35h-30z" fill="{accent}"/>""",
        ("homeware", 0) => $"""<path d="M150 110q50 30 100 0l20 150q-70 80-140 0z"/><path d="M150 110q50-30 100 0" fill="{accent}"/>""",
        ("homeware", _) => $"""<rect x="100" y="120" width="200" height="170" rx="22"/><path d="M120 140q80 60 160 0M120 270q80-60 160 0" fill="none"/>""",
        _ => $"""<rect x="110" y="150" width="180" height="150" rx="8"/><path d="M110 150h180v45H110z" fill="{accent}"/><path d="M200 150v150M200 150q-70-10-45-55 35-20 45 55M200 150q70-10 45-55-35-20-45 55"/>""",
    };
}
