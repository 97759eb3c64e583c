using System.Text;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Google.Rpc;
using Grpc.Core;
using Microsoft.AspNetCore.WebUtilities;

namespace Marketplace.Local.Sidecar.Invocation;

/// <summary>What a gRPC caller sees of an HTTP app's refusal.</summary>
internal static class HttpToGrpc
{
    public static RpcException Error(int status, byte[] body)
    {
        var text = ReasonPhrases.GetReasonPhrase(status);
        var detail = new Google.Rpc.Status
        {
            Code = (int)Code(status),
            Message = text,
            Details =
            {
                Any.Pack(new ErrorInfo
                {
                    Reason = text,
                    Domain = "dapr.io",
                    Metadata = { ["http.code"] = $"{status}", ["http.error_message"] = Encoding.UTF8.GetString(body.AsSpan(0, Math.Min(63, body.Length))) },
                }),
            },
        };
        return new RpcException(
            new Grpc.Core.Status(Code(status), text),
            new Metadata { { "grpc-status-details-bin", detail.ToByteArray() } });
    }

    /// <summary>The app's headers and its status, as the caller finds them among the headers of the gRPC answer. Those that HTTP/2 forbids or gRPC uses itself get a prefix.</summary>
    public static Metadata Headers(HttpResponseMessage response)
    {
        var headers = new Metadata();
        foreach (var (name, values) in response.Headers.Concat(response.Content.Headers))
        {
            var key = (IsReserved(name) ? "dapr-" : "") + name.ToLowerInvariant();
            if (key.EndsWith(Metadata.BinaryHeaderSuffix, StringComparison.Ordinal)) continue;
            foreach (var value in values) headers.Add(key, value);
        }

        headers.Add("dapr-http-status", $"{(int)response.StatusCode}");
        return headers;
    }

    private static bool IsReserved(string name) => name.ToLowerInvariant() is "accept" or "accept-charset" or "accept-language" or "accept-ranges" or "connection" or "keep-alive" or "proxy-connection"
        or "transfer-encoding" or "upgrade" or "cache-control" or "content-type" or "content-length" or "cookie" or "date" or "expect" or "from" or "host" or "if-match" or "if-modified-since"
        or "if-none-match" or "if-schedule-tag-match" or "if-unmodified-since" or "max-forwards" or "origin" or "pragma" or "referer" or "via" or "warning";

    private static StatusCode Code(int status) => status switch
    {
        400 => StatusCode.Internal,
        401 => StatusCode.Unauthenticated,
        403 => StatusCode.PermissionDenied,
        404 => StatusCode.NotFound,
        408 => StatusCode.Cancelled,
        409 => StatusCode.AlreadyExists,
        429 => StatusCode.ResourceExhausted,
        501 => StatusCode.Unimplemented,
        503 => StatusCode.Unavailable,
        504 => StatusCode.DeadlineExceeded,
        _ => StatusCode.Unknown,
    };
}
