using System.Globalization;
using Marketplace.Local.Sidecar.State;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>
/// Keys of one app's workflows in the actor state store. Beside the log of each instance there are two marks, so that a start finds what is
/// unfinished, and what is to be removed some day, without reading the finished rest. Keys of actors start with the app id whatever
/// <c>keyPrefix</c> says.
/// </summary>
internal sealed class WorkflowKeys(string appId, string @namespace)
{
    private readonly string logs = $"{appId}||dapr.internal.{@namespace}.{appId}.workflow||";
    private readonly string active = $"{appId}||dapr.internal.{@namespace}.{appId}.workflow.active||";
    private readonly string retained = $"{appId}||dapr.internal.{@namespace}.{appId}.workflow.retained||";

    public string LogPrefix => logs;
    public string ActivePrefix => active;
    public string RetainedPrefix => retained;

    public string Entry(string instanceId, int index) => string.Concat(logs, instanceId, "||log-", index.ToString("D6", CultureInfo.InvariantCulture));

    public string Active(string instanceId) => active + instanceId;

    public string Retained(string instanceId) => retained + instanceId;

    /// <summary>The instance that a key belongs to when it is the first of its log.</summary>
    public string? FirstOf(string key) => key.EndsWith("||log-000000", StringComparison.Ordinal) ? key[logs.Length..^12] : null;

    public StateWrite[] Purge(string instanceId, int entries)
    {
        var writes = new StateWrite[entries + 2];
        for (var i = 0; i < entries; i++) writes[i] = new StateWrite(Entry(instanceId, i), Delete: true);
        writes[entries] = new StateWrite(Active(instanceId), Delete: true);
        writes[entries + 1] = new StateWrite(Retained(instanceId), Delete: true);
        return writes;
    }
}
