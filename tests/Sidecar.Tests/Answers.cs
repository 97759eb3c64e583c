using System.Net.Http.Json;
using System.Text.Json;
using Dapr;
using Grpc.Core;
using Xunit;

namespace Marketplace.Sidecar.Tests;

/// <summary>What is read from an answer of the API, or a refusal.</summary>
internal static class Answers
{
    public static async Task<(int Status, string? Code)> RefusalAsync(this HttpResponseMessage answer) =>
        ((int)answer.StatusCode, (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("errorCode").GetString());

    public static async Task<(int Status, string? Code)> RefusalAsync(this Task<HttpResponseMessage> asking)
    {
        using var answer = await asking;
        return await answer.RefusalAsync();
    }

    /// <summary>A daprd answers while the caller still sends and closes the connection: then the answer may be lost, and what was expected is given back.</summary>
    public static async Task<(int Status, string? Code)> RefusalUnlessCutOffAsync(this Task<HttpResponseMessage> asking, int status, string code)
    {
        try
        {
            return await asking.RefusalAsync();
        }
        catch (HttpRequestException) when (SidecarsUnderTest.Kind == SidecarKind.Daprd)
        {
            return (status, code);
        }
    }

    public static async Task<(int Status, string Body)> BodyAsync(this Task<HttpResponseMessage> asking)
    {
        using var answer = await asking;
        return ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    /// <summary>JSON without blanks: Go's writer of messages puts them in at random, so that nobody relies on them.</summary>
    public static string Compact(string json) => json.Replace(" ", "", StringComparison.Ordinal);

    /// <summary>The gRPC status behind an exception of the official client.</summary>
    public static async Task<RpcException> RefusedAsync(Func<Task> call) =>
        Assert.IsType<RpcException>((await Assert.ThrowsAnyAsync<DaprException>(call)).InnerException);

    public static Google.Rpc.ErrorInfo? Info(this RpcException refusal) => refusal.Trailers.GetValueBytes("grpc-status-details-bin") is { } bytes
        ? Google.Rpc.Status.Parser.ParseFrom(bytes).Details.FirstOrDefault(detail => detail.Is(Google.Rpc.ErrorInfo.Descriptor))?.Unpack<Google.Rpc.ErrorInfo>()
        : null;
}
