namespace Marketplace.Local.Sidecar.Resources;

/// <summary>A resource file says something that cannot be loaded; the message names file, line and field.</summary>
public sealed class ResourceException(string file, int line, string field, string problem)
    : Exception($"{file}:{line}: {(field.Length == 0 ? problem : $"{field}: {problem}")}")
{
    public string File { get; } = file;
    public int Line { get; } = line;
    public string Field { get; } = field;
}
