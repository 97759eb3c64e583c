using Dapr.Workflow;
using Marketplace.OfficialWorker;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

// Works at the sidecar that DAPR_GRPC_ENDPOINT names until its standard input is closed.
var builder = Host.CreateApplicationBuilder();
builder.Services.AddDaprWorkflow(Basket.Register);
using var app = builder.Build();
await app.StartAsync();
await Console.In.ReadToEndAsync();
await app.StopAsync();
