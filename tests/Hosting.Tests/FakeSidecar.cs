using System.Collections.Concurrent;
using System.Globalization;
using Dapr.Client.Autogen.Grpc.v1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.AspNetCore.Server.Model;
using Grpc.Core;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Marketplace.Hosting.Tests;

/// <summary>The two calls of a sidecar that Hosting makes over gRPC.</summary>
public sealed class FakeSidecar : IAsyncDisposable
{
    private readonly WebApplication server;
    private readonly Calls calls;
    private readonly int port;

    private FakeSidecar(WebApplication server, Calls calls, int port) => (this.server, this.calls, this.port) = (server, calls, port);

    public ConcurrentQueue<PublishEventRequest> Published => calls.Published;

    public int Refused => calls.Refused;

    public static async Task<FakeSidecar> StartAsync()
    {
        var port = Ports.Free();
        var calls = new Calls();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenLocalhost(port, listen => listen.Protocols = HttpProtocols.Http2));
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(calls);
        builder.Services.AddSingleton<IServiceMethodProvider<Calls>>(calls);
        var server = builder.Build();
        server.MapGrpcService<Calls>();
        await server.StartAsync();
        return new FakeSidecar(server, calls, port);
    }

    public Dictionary<string, string?> Settings(params (string Key, string? Value)[] more) => new(more.Select(setting => KeyValuePair.Create(setting.Key, setting.Value)))
    {
        ["DAPR_GRPC_PORT"] = port.ToString(CultureInfo.InvariantCulture),
        ["DAPR_GRPC_ENDPOINT"] = $"http://localhost:{port}",
        ["Outbox:Publish"] = "true",
    };

    public void Fail(StatusCode? status) => calls.Failure = status;

    public void Keep(string key, string value) => calls.Secrets[key] = value;

    public ValueTask DisposeAsync() => server.DisposeAsync();

    internal sealed class Calls : IServiceMethodProvider<Calls>    // the package has the messages, not the server's base class
    {
        private int refused;

        public ConcurrentQueue<PublishEventRequest> Published { get; } = new();

        public ConcurrentDictionary<string, string> Secrets { get; } = new();

        public StatusCode? Failure { get; set; }

        public int Refused => Volatile.Read(ref refused);

        public void OnServiceMethodDiscovery(ServiceMethodProviderContext<Calls> context)
        {
            context.AddUnaryMethod(Describe<PublishEventRequest, Empty>("PublishEvent"), [], (calls, request, _) => calls.PublishEvent(request));
            context.AddUnaryMethod(Describe<GetSecretRequest, GetSecretResponse>("GetSecret"), [], (calls, request, _) => calls.GetSecret(request));
        }

        private static Method<TRequest, TReply> Describe<TRequest, TReply>(string name)
            where TRequest : class, IMessage<TRequest>, new()
            where TReply : class, IMessage<TReply>, new() =>
            new(MethodType.Unary, "dapr.proto.runtime.v1.Dapr", name, Marshal<TRequest>(), Marshal<TReply>());

        private static Marshaller<T> Marshal<T>()
            where T : class, IMessage<T>, new()
        {
            var parser = new MessageParser<T>(() => new T());
            return Marshallers.Create(message => message.ToByteArray(), parser.ParseFrom);
        }

        private Task<Empty> PublishEvent(PublishEventRequest request)
        {
            if (Failure is { } status)
            {
                Interlocked.Increment(ref refused);
                throw new RpcException(new Status(status, "as the test wishes"));
            }

            Published.Enqueue(request);
            return Task.FromResult(new Empty());
        }

        private Task<GetSecretResponse> GetSecret(GetSecretRequest request)
        {
            if (!Secrets.TryGetValue(request.Key, out var value))
            {
                Interlocked.Increment(ref refused);
                throw new RpcException(new Status(StatusCode.Internal, $"failed getting secret with key {request.Key} from secret store {request.StoreName}"));
            }

            return Task.FromResult(new GetSecretResponse { Data = { [request.Key] = value } });
        }
    }
}
