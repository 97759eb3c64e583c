using System.Text.Json;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Google.Rpc;
using Grpc.Core;

namespace Marketplace.Local.Sidecar;

/// <summary>
/// A refusal of the Dapr API in both its shapes: <c>{"errorCode","message"}</c> with a status over HTTP, a status code over gRPC.
/// The newer errors of daprd also carry an ErrorInfo with <paramref name="reason"/>.
/// </summary>
public sealed class DaprApiException(int httpStatus, StatusCode grpcStatus, string errorCode, string message, string? reason = null) : Exception(message)
{
    public int HttpStatus { get; } = httpStatus;
    public string ErrorCode { get; } = errorCode;

    public Task WriteAsync(HttpContext http)
    {
        http.Response.StatusCode = HttpStatus;
        return WriteBodyAsync(http, ErrorCode, Message, reason);
    }

    public static Task WriteAsync(HttpContext http, int status, string errorCode, string message)
    {
        http.Response.StatusCode = status;
        return WriteBodyAsync(http, errorCode, message, reason: null);
    }

    public RpcException ToRpc()
    {
        if (reason is null) return new RpcException(new Grpc.Core.Status(grpcStatus, Message));

        var status = new Google.Rpc.Status
        {
            Code = (int)grpcStatus,
            Message = Message,
            Details = { Any.Pack(new ErrorInfo { Reason = reason, Domain = "dapr.io" }) },
        };
        return new RpcException(new Grpc.Core.Status(grpcStatus, Message), new Metadata { { "grpc-status-details-bin", status.ToByteArray() } });
    }

    private static async Task WriteBodyAsync(HttpContext http, string errorCode, string message, string? reason)
    {
        http.Response.ContentType = "application/json";
        var json = new Utf8JsonWriter(http.Response.BodyWriter);
        await using (json.ConfigureAwait(false))
        {
            json.WriteStartObject();
            json.WriteString("errorCode", errorCode);
            json.WriteString("message", message);
            if (reason is not null)
            {
                json.WriteStartArray("details");
                json.WriteStartObject();
                json.WriteString("@type", "type.googleapis.com/google.rpc.ErrorInfo");
                json.WriteString("reason", reason);
                json.WriteString("domain", "dapr.io");
                json.WriteEndObject();
                json.WriteEndArray();
            }

            json.WriteEndObject();
        }
    }
}
