using Dapr;
using Dapr.Client;
using Grpc.Core;

namespace Marketplace.Media.Storage;

/// <summary>
/// Files behind the Dapr binding <c>media</c>: a folder here, a bucket in a cloud. Every component has its own name for a file's name and
/// ignores the others', so all are given. Bytes go as they are over gRPC; a component that says <c>decodeBase64</c> would spoil them.
/// </summary>
/// <remarks>
/// A binding promises little: a write may be seen half done and may be left half done by a crash. So names are made from the contents, what
/// is read is checked against its name, and a picture exists from the moment on that its manifest, written last, can be read.
/// </remarks>
public sealed class MediaStore(DaprClient dapr, TimeProvider time)
{
    /// <summary>Of one message between service and sidecar; a sidecar's own limit is <c>maxBodySize</c> in dapr.yaml.</summary>
    public const int LargestMessage = 16 * 1024 * 1024;

    private const string Binding = "media";

    // A store that stays silent would hold a worker's bench or an upload's place for ever.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    // What the folder, S3 and Google's buckets, and Azure's blobs say in their get. A bucket that may not be listed says "access denied" instead.
    private static readonly string[] NotThere = ["file not found", "object not found", "blob not found"];

    public Task PutAsync(string name, ReadOnlyMemory<byte> bytes, CancellationToken ct) => AskAsync(name, "create", bytes, ct);

    /// <summary>The file's bytes, or null when there is none of that name.</summary>
    public async Task<ReadOnlyMemory<byte>?> FindAsync(string name, CancellationToken ct)
    {
        try
        {
            return await AskAsync(name, "get", default, ct);
        }
        catch (MediaStoreException e) when (e.InnerException is DaprException { InnerException: RpcException { StatusCode: not StatusCode.Unavailable } why } && NotThere.Any(words => why.Status.Detail.Contains(words, StringComparison.OrdinalIgnoreCase)))
        {
            return null;
        }
    }

    private async Task<ReadOnlyMemory<byte>> AskAsync(string name, string operation, ReadOnlyMemory<byte> data, CancellationToken ct)
    {
        var request = new BindingRequest(Binding, operation) { Data = data };
        request.Metadata["fileName"] = name;
        request.Metadata["key"] = name;
        request.Metadata["blobName"] = name;

        using var patience = new CancellationTokenSource(Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, patience.Token);
        try
        {
            return (await dapr.InvokeBindingAsync(request, either.Token)).Data;
        }
        catch (Exception e) when (e is DaprException || (e is OperationCanceledException && !ct.IsCancellationRequested))
        {
            throw new MediaStoreException($"{name}: the store did not {operation} it.", e);
        }
    }
}

/// <summary>The store is away or holds something unusable; worth trying again.</summary>
public sealed class MediaStoreException(string message, Exception? why = null) : Exception(message, why);
