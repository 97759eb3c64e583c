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
public sealed class MediaStore(DaprClient dapr)
{
    /// <summary>Of one message between service and sidecar; a sidecar's own limit is <c>maxBodySize</c> in dapr.yaml.</summary>
    public const int LargestMessage = 16 * 1024 * 1024;

    private const string Binding = "media";

    // What the folder, S3 and Google's buckets, and Azure's blobs say in their get. A bucket that may not be listed says "access denied" instead.
    private static readonly string[] NotThere = ["file not found", "object not found", "blob not found"];

    public async Task PutAsync(string name, ReadOnlyMemory<byte> bytes, CancellationToken ct)
    {
        try
        {
            await dapr.InvokeBindingAsync(Request(name, "create", bytes), ct);
        }
        catch (DaprException e)
        {
            throw new MediaStoreException($"{name} could not be written.", e);
        }
    }

    /// <summary>The file's bytes, or null when there is none of that name.</summary>
    public async Task<ReadOnlyMemory<byte>?> FindAsync(string name, CancellationToken ct)
    {
        try
        {
            return (await dapr.InvokeBindingAsync(Request(name, "get", default), ct)).Data;
        }
        catch (DaprException e) when (e.InnerException is RpcException { StatusCode: not StatusCode.Unavailable } why && NotThere.Any(words => why.Status.Detail.Contains(words, StringComparison.OrdinalIgnoreCase)))
        {
            return null;
        }
        catch (DaprException e)
        {
            throw new MediaStoreException($"{name} could not be read.", e);
        }
    }

    private static BindingRequest Request(string name, string operation, ReadOnlyMemory<byte> data)
    {
        var request = new BindingRequest(Binding, operation) { Data = data };
        request.Metadata["fileName"] = name;
        request.Metadata["key"] = name;
        request.Metadata["blobName"] = name;
        return request;
    }
}

/// <summary>The store is away or holds something unusable; worth trying again.</summary>
public sealed class MediaStoreException(string message, Exception? why = null) : Exception(message, why);
