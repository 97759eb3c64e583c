using Google.Protobuf;
using Grpc.AspNetCore.Server.Model;
using Grpc.Core;

namespace Marketplace.Local.Sidecar;

/// <summary>
/// The methods of dapr.proto.runtime.v1.Dapr. The package Dapr.Protos has their messages and the client, not the server base class,
/// so each method is described here by its name and the parsers of its two messages.
/// </summary>
public sealed class DaprMethods
{
    private const string Service = "dapr.proto.runtime.v1.Dapr";
    private readonly List<Action<ServiceMethodProviderContext<DaprMethods>>> methods = [];

    public void Unary<TRequest, TResponse>(string name, Func<SidecarInstance, TRequest, ServerCallContext, Task<TResponse>> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        var method = Describe<TRequest, TResponse>(MethodType.Unary, name);
        methods.Add(context => context.AddUnaryMethod(method, [], async (_, request, call) =>
        {
            var sidecar = SidecarInstance.Of(call.GetHttpContext());
            if (sidecar.App.MaxBodyBytes is > 0 and var largest && request.CalculateSize() is var size && size > largest)
                throw new RpcException(new Status(StatusCode.ResourceExhausted, $"grpc: received message larger than max ({size} vs. {largest})"));   // the server's own limit is that of the most generous app
            try
            {
                return await handler(sidecar, request, call);
            }
            catch (DaprApiException e)
            {
                throw e.ToRpc();
            }
        }));
    }

    public void ServerStreaming<TRequest, TResponse>(string name, Func<SidecarInstance, TRequest, IServerStreamWriter<TResponse>, ServerCallContext, Task> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        var method = Describe<TRequest, TResponse>(MethodType.ServerStreaming, name);
        methods.Add(context => context.AddServerStreamingMethod(method, [], (_, request, answers, call) =>
            handler(SidecarInstance.Of(call.GetHttpContext()), request, answers, call)));
    }

    public void Duplex<TRequest, TResponse>(string name, Func<SidecarInstance, IAsyncStreamReader<TRequest>, IServerStreamWriter<TResponse>, ServerCallContext, Task> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        var method = Describe<TRequest, TResponse>(MethodType.DuplexStreaming, name);
        methods.Add(context => context.AddDuplexStreamingMethod(method, [], (_, requests, answers, call) =>
            handler(SidecarInstance.Of(call.GetHttpContext()), requests, answers, call)));
    }

    internal void AddTo(ServiceMethodProviderContext<DaprMethods> context)
    {
        foreach (var add in methods)
            add(context);
    }

    private static Method<TRequest, TResponse> Describe<TRequest, TResponse>(MethodType type, string name)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        new(type, Service, name, ProtoMarshaller<TRequest>.Instance, ProtoMarshaller<TResponse>.Instance);
}

internal sealed class DaprMethodProvider(DaprMethods methods) : IServiceMethodProvider<DaprMethods>
{
    public void OnServiceMethodDiscovery(ServiceMethodProviderContext<DaprMethods> context) => methods.AddTo(context);
}

/// <summary>Reads and writes messages in the buffers of the connection, without an array in between.</summary>
internal static class ProtoMarshaller<T> where T : class, IMessage<T>, new()
{
    private static readonly MessageParser<T> Parser = new(static () => new T());

    public static readonly Marshaller<T> Instance = new(
        static (message, context) =>
        {
            context.SetPayloadLength(message.CalculateSize());
            message.WriteTo(context.GetBufferWriter());
            context.Complete();
        },
        static context => Parser.ParseFrom(context.PayloadAsReadOnlySequence()));
}
