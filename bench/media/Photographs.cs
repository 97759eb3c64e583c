using NetVips;

namespace Marketplace.Bench.Media;

/// <summary>Pictures with the shapes, shades and grain of a photograph, the same ones in every run.</summary>
internal static class Photographs
{
    public static byte[] Jpeg(int width, int height, int seed, bool progressive = false) => Draw(width, height, seed).JpegsaveBuffer(q: 90, interlace: progressive);

    public static byte[] Png(int width, int height, int seed) => Draw(width, height, seed).PngsaveBuffer(compression: 3);

    private static Image Draw(int width, int height, int seed)
    {
        using var place = Image.Xyz(width, height);
        using var waves = ((place[0] / (31 + (seed % 7))).Sin() * 50) + ((place[1] / (47 + (seed % 5))).Cos() * 45);
        using var shapes = ((place[0] + (place[1] * 2)) / (230 + seed)).Floor() % 4 * 22;
        using var grain = Image.Gaussnoise(width, height, sigma: 22, mean: 118, seed: seed).Gaussblur(1.1);
        using var light = waves + shapes + grain;
        return light.Bandjoin((light * 0.8) + 20, (light * 0.6) + 50).Cast(Enums.BandFormat.Uchar).Copy(interpretation: Enums.Interpretation.Srgb).CopyMemory();
    }
}
