namespace Marketplace.Local.Replay;

/// <summary>The sales file names countries in its own words; an address needs their code.</summary>
public static class Countries
{
    private static readonly Dictionary<string, string> Codes = new(StringComparer.OrdinalIgnoreCase)
    {
        ["United Kingdom"] = "GB",
        ["France"] = "FR",
        ["Australia"] = "AU",
        ["Netherlands"] = "NL",
        ["Germany"] = "DE",
        ["Norway"] = "NO",
        ["EIRE"] = "IE",
        ["Switzerland"] = "CH",
        ["Spain"] = "ES",
        ["Poland"] = "PL",
        ["Portugal"] = "PT",
        ["Italy"] = "IT",
        ["Belgium"] = "BE",
        ["Lithuania"] = "LT",
        ["Japan"] = "JP",
        ["Iceland"] = "IS",
        ["Channel Islands"] = "JE",
        ["Denmark"] = "DK",
        ["Cyprus"] = "CY",
        ["Sweden"] = "SE",
        ["Austria"] = "AT",
        ["Israel"] = "IL",
        ["Finland"] = "FI",
        ["Bahrain"] = "BH",
        ["Greece"] = "GR",
        ["Hong Kong"] = "HK",
        ["Singapore"] = "SG",
        ["Lebanon"] = "LB",
        ["United Arab Emirates"] = "AE",
        ["Saudi Arabia"] = "SA",
        ["Czech Republic"] = "CZ",
        ["Canada"] = "CA",
        ["Brazil"] = "BR",
        ["USA"] = "US",
        ["RSA"] = "ZA",
        ["Malta"] = "MT",
        ["European Community"] = "BE",
    };

    /// <summary>The shop's own country where the file says "Unspecified" or something new.</summary>
    public static string CodeOf(string country) => Codes.GetValueOrDefault(country, "GB");
}
