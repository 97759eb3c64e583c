using NetVips;

namespace Marketplace.Media;

/// <summary>What libvips may do in this process, settled once before the first picture.</summary>
public static class Vips
{
    // Readers of pictures alone: the others (SVG, PDF, ImageMagick, raw memory …) are much code for bytes from strangers.
    private static readonly string[] Readers = ["VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp", "VipsForeignLoadNsgif", "VipsForeignLoadHeif"];

    public static void Prepare()
    {
        Operation.Block("VipsForeignLoad", true);
        foreach (var reader in Readers)
            Operation.Block(reader, false);

        // Several pictures at a time keep the processors busy; threads inside each would only add memory. No picture is made twice, so
        // that remembered operations would only hold the pictures of the past.
        NetVips.NetVips.Concurrency = 1;
        Cache.Max = 0;

        // What it has to say of a damaged file, a line for each row, is none of our log's business: the file is refused.
        Log.SetLogHandler("VIPS", Enums.LogLevelFlags.Warning, static (_, _, _) => { });
    }
}
