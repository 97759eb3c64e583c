using Marketplace.Local.Sidecar.RunFile;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Marketplace.Local.Launcher;

/// <summary>
/// What to type after `infra`. The Dapr CLI has no option for another component set, so that for one that dapr.yaml does not name a
/// copy of it in the data folder does.
/// </summary>
internal static class RunFileCopy
{
    /// <param name="set">The folder of component files to run with.</param>
    /// <returns>The command, with the environment that apps and sidecars need.</returns>
    public static string Command(SystemPlan plan, DataFolder data, KeyRing keys, string set)
    {
        var apps = plan.RunFile.Apps;
        var asItIs = apps.All(app => app.HasOwnResources || app.ResourcesPaths is [var only] && Path.TrimEndingDirectorySeparator(only) == set);
        var file = asItIs ? "." : Write(plan, data, set);
        List<string> environment = [$"APP_API_TOKEN={keys.AppToken}"];
        if (Directory.EnumerateFiles(set).Any(one => File.ReadAllText(one).Contains("MARKETPLACE_SECRETS", StringComparison.Ordinal)))
            environment.Add($"MARKETPLACE_SECRETS={Quoted(data.Secrets)}");
        if (data.Root != Path.Combine(plan.Tree.Root, ".local"))
            environment.Add($"MARKETPLACE_DATA={Quoted(data.Root)}");
        environment.AddRange(plan.Services.Where(service => service.App.OptIn).Select(service => $"{service.Switch}=on"));
        return $"{string.Join(' ', environment)} dapr run -f {Quoted(file)}";
    }

    private static string Write(SystemPlan plan, DataFolder data, string set)
    {
        var stream = new YamlStream();
        using (var text = new StreamReader(plan.RunFile.File))
            stream.Load(text);
        var root = (YamlMappingNode)stream.Documents[0].RootNode;
        if (!root.Children.TryGetValue("common", out var given) || given is not YamlMappingNode common)
            root.Children["common"] = common = [];
        common.Children.Remove("resourcesPath");
        common.Children["resourcesPaths"] = new YamlSequenceNode(Text(set));
        foreach (var key in new[] { "configFilePath", "runtimePath" })
            MakeAbsolute(common, key, plan.Tree.Root);
        foreach (var app in ((YamlSequenceNode)root.Children["apps"]).Children.OfType<YamlMappingNode>())
            MakeAbsolute(app, "appDirPath", plan.Tree.Root);   // its other paths start from there

        var file = Path.Combine(data.Root, "dapr.yaml");
        using (var text = new StreamWriter(file))
        {
            text.Write($"# Made by `infra` from {plan.RunFile.File} for the set {plan.Set.Name}: change that one.\n");
            stream.Save(text, assignAnchors: false);
        }

        RunPlan.Read(file);   // what we wrote must read like the original
        return file;
    }

    private static void MakeAbsolute(YamlMappingNode part, string key, string folder)
    {
        if (part.Children.TryGetValue(key, out var value) && value is YamlScalarNode { Value: { Length: > 0 } path } && !path.StartsWith('~'))
            part.Children[key] = Text(Path.GetFullPath(path, folder));
    }

    private static YamlScalarNode Text(string text) => new(text) { Style = ScalarStyle.DoubleQuoted };

    private static string Quoted(string path) => path.All(letter => char.IsLetterOrDigit(letter) || "/._-".Contains(letter, StringComparison.Ordinal)) ? path : $"'{path.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
