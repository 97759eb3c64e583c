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
            new Metadata { { "dapr-http-status", $"{status}" }, { "grpc-status-details-bin", detail.ToByteArray() } });
    }

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
