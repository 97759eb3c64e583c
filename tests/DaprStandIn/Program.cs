using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;

// Plays daprd, placement, scheduler, or an app beside them, for tests of how they are started: writes down its arguments and environment,
// answers where the real one would be asked for its health, and notes when it starts, is ready and ends. It does nothing of what Dapr does.
//   dotnet DaprStandIn.dll <role> [arguments of the real program]        STANDIN_FOLDER: where it writes

var role = args[0];
var arguments = args[1..];
var folder = Environment.GetEnvironmentVariable("STANDIN_FOLDER") ?? throw new InvalidOperationException("STANDIN_FOLDER is not set.");
var who = role switch { "daprd" => $"daprd {Value("--app-id")}", "app" => $"app {Environment.GetEnvironmentVariable("APP_ID")}", _ => role };
var environment = Environment.GetEnvironmentVariables().Cast<System.Collections.DictionaryEntry>().ToDictionary(pair => (string)pair.Key, pair => (string?)pair.Value);
var draft = Path.Combine(folder, $"{role}-{Environment.ProcessId}.draft");
await File.WriteAllTextAsync(draft, JsonSerializer.Serialize(new { who, arguments, environment, folder = Directory.GetCurrentDirectory() }));
File.Move(draft, Path.ChangeExtension(draft, ".json"));   // whole or not at all: it may be ended at any moment
Note("starts");

if (Environment.GetEnvironmentVariable("STANDIN_CRASH") == who)
{
    Console.Error.WriteLine($"{who}: the sky is falling");
    return 7;
}

var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
builder.Services.AddRoutingCore();
builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, Port()));
var app = builder.Build();
app.UseRouting();
var sick = Environment.GetEnvironmentVariable("STANDIN_SICK") == who;
switch (role)
{
    case "daprd":
        app.MapGet("/v1.0/healthz/outbound", () => sick ? Results.StatusCode(500) : Results.NoContent());
        app.MapGet("/v1.0/healthz", () => AcceptsAsync(int.Parse(Value("--app-port")!, null)));
        app.MapGet("/v1.0/metadata", () => Results.Json(new { id = Value("--app-id"), subscriptions = new[] { new { pubsubname = "pubsub", topic = "order.created" } } }));
        break;
    case "app":
        app.MapGet("/readyz", () => sick ? Results.StatusCode(503) : Results.Ok());
        app.MapGet("/livez", () => sick ? Results.StatusCode(503) : Results.Ok());
        app.MapGet("/dapr/subscribe", () => Results.Json(new[] { new { pubsubname = "pubsub", topic = "order.created", route = "/events" } }));
        break;
    default:
        app.MapGet("/healthz", () => Results.Ok());
        break;
}

var ended = new TaskCompletionSource();
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
{
    signal.Cancel = true;
    ended.TrySetResult();
});
await app.StartAsync();   // after that it may be told to end
Note("listens");
await ended.Task;
Note("ends");
return 0;

int Port() => int.Parse(role switch
{
    "daprd" => Value("--dapr-http-port"),
    "app" => Environment.GetEnvironmentVariable("APP_PORT"),
    _ => Value("--healthz-port"),
} ?? throw new InvalidOperationException($"{role} was told no port: {string.Join(' ', arguments)}"), null);

string? Value(string flag) => Array.IndexOf(arguments, flag) is var at and >= 0 ? arguments[at + 1] : null;

void Note(string what)
{
    while (true)
    {
        try
        {
            // Alone with the file: the end is looked up and written to in two steps, and the others end at the same moment.
            using var log = new FileStream(Path.Combine(folder, "events.log"), FileMode.Append, FileAccess.Write, FileShare.None);
            log.Write(System.Text.Encoding.UTF8.GetBytes($"{who} {what}\n"));
            return;
        }
        catch (IOException)
        {
            Thread.Yield();
        }
    }
}

static async Task<IResult> AcceptsAsync(int port)
{
    using var socket = new TcpClient();
    try
    {
        await socket.ConnectAsync(IPAddress.Loopback, port);
        return Results.NoContent();
    }
    catch (SocketException)
    {
        return Results.StatusCode(500);
    }
}
