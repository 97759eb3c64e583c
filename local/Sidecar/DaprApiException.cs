using System.Text.Json;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Google.Rpc;
using Grpc.Core;

namespace Marketplace.Local.Sidecar;

/// <summary>
/// A refusal of the Dapr API in both its shapes: <c>{"errorCode","message"}</c> with a status over HTTP, a status code over gRPC.
/// The newer errors of daprd also carry details, an ErrorInfo with <paramref name="reason"/> last.
/// </summary>
public sealed class DaprApiException(int httpStatus, StatusCode grpcStatus, string errorCode, string message, string? reason = null) : Exception(message)
{
    public int HttpStatus { get; } = httpStatus;
    public string ErrorCode { get; } = errorCode;

    /// <summary>What the ErrorInfo tells beside its reason.</summary>
    public IReadOnlyDictionary<string, string> Info { get; init; } = new Dictionary<string, string>();

    /// <summary>The component that refuses, such as ("state", "carts").</summary>
    public (string Type, string Name)? Resource { get; init; }

    /// <summary>The field of the request that is wrong.</summary>
    public (string Name, string Problem)? Field { get; init; }

    /// <summary>Over gRPC the error code itself is the reason of an ErrorInfo; over HTTP there are no details.</summary>
    public bool IsCodedOverGrpc { get; init; }

    public Task WriteAsync(HttpContext http)
    {
        http.Response.StatusCode = HttpStatus;
        return WriteBodyAsync(http, ErrorCode, Message, reason is null ? null : this);
    }

    public static Task WriteAsync(HttpContext http, int status, string errorCode, string message)
    {
        http.Response.StatusCode = status;
        return WriteBodyAsync(http, errorCode, message, rich: null);
    }

    public RpcException ToRpc()
    {
        if ((reason ?? (IsCodedOverGrpc ? ErrorCode : null)) is not { } why) return new RpcException(new Grpc.Core.Status(grpcStatus, Message));

        var status = new Google.Rpc.Status { Code = (int)grpcStatus, Message = Message };
        if (Field is { } field) status.Details.Add(Any.Pack(new BadRequest { FieldViolations = { new BadRequest.Types.FieldViolation { Field = field.Name, Description = field.Problem } } }));
        if (Resource is { } resource) status.Details.Add(Any.Pack(new ResourceInfo { ResourceType = resource.Type, ResourceName = resource.Name }));
        status.Details.Add(Any.Pack(new ErrorInfo { Reason = why, Domain = "dapr.io", Metadata = { Info.ToDictionary() } }));
        return new RpcException(new Grpc.Core.Status(grpcStatus, Message), new Metadata { { "grpc-status-details-bin", status.ToByteArray() } });
    }

    private static async Task WriteBodyAsync(HttpContext http, string errorCode, string message, DaprApiException? rich)
    {
        http.Response.ContentType = "application/json";
        var json = new Utf8JsonWriter(http.Response.BodyWriter);
        await using (json.ConfigureAwait(false))
        {
            json.WriteStartObject();
            json.WriteString("errorCode", errorCode);
            json.WriteString("message", message);
            rich?.WriteDetails(json);
            json.WriteEndObject();
        }
    }

    private void WriteDetails(Utf8JsonWriter json)
    {
        json.WriteStartArray("details");
        if (Field is { } field)
        {
            Begin("BadRequest");
            json.WriteStartArray("field_violations");
            json.WriteStartObject();
            json.WriteString("field", field.Name);
            json.WriteString("description", field.Problem);
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteEndObject();
        }

        if (Resource is { } resource)
        {
            Begin("ResourceInfo");
            json.WriteString("resource_type", resource.Type);
            json.WriteString("resource_name", resource.Name);
            json.WriteString("owner", "");
            json.WriteString("description", "");
            json.WriteEndObject();
        }

        Begin("ErrorInfo");
        json.WriteString("reason", reason);
        json.WriteString("domain", "dapr.io");
        if (Info.Count == 0)
        {
            json.WriteNull("metadata");
        }
        else
        {
            json.WriteStartObject("metadata");
            foreach (var (key, value) in Info) json.WriteString(key, value);
            json.WriteEndObject();
        }

        json.WriteEndObject();
        json.WriteEndArray();

        void Begin(string type)
        {
            json.WriteStartObject();
            json.WriteString("@type", "type.googleapis.com/google.rpc." + type);
        }
    }
}
