using Dapr.Workflow;
using Marketplace.Hosting;
using Marketplace.Ordering.Checkout;
using Marketplace.Ordering.Checkout.Activities;
using Marketplace.Ordering.Clients;
using Marketplace.Ordering.FlashOrders;
using Marketplace.Ordering.Orders;
using Microsoft.Extensions.Options;

var builder = WebApplication.CreateBuilder(args);
builder.AddMarketplaceDefaults(database: "ordering");
builder.Services.AddValidation();
builder.Services.AddOptions<CheckoutOptions>().BindConfiguration("Checkout").ValidateDataAnnotations().ValidateOnStart();
builder.Services.AddSingleton(services => services.GetRequiredService<IOptions<CheckoutOptions>>().Value);
builder.Services.AddOptions<FlashOrderOptions>().BindConfiguration("FlashOrders").ValidateDataAnnotations().ValidateOnStart();

builder.Services.AddNeighbour<ICartClient>("cart");
builder.Services.AddNeighbour<ICatalogClient>("catalog");
builder.Services.AddNeighbour<IInventoryClient>("inventory");
builder.Services.AddNeighbour<IPaymentsClient>("payments");

builder.Services.AddSingleton<OrderStore>();
builder.Services.AddSingleton<CheckoutStore>();
builder.Services.AddSingleton<SagaStore>();
builder.Services.AddSingleton<ISagaRuntime, DaprSagaRuntime>();
builder.Services.AddSingleton<SagaStarter>();
builder.Services.AddSingleton<FlashOrderMeter>();
builder.Services.AddSingleton<FlashOrderStore>();
builder.Services.AddSingleton<FlashLane>().AddHostedService(services => services.GetRequiredService<FlashLane>());
builder.Services.AddSingleton<StepLog>().AddHostedService(services => services.GetRequiredService<StepLog>());
builder.Services.AddSingleton<SagaWatch>().AddHostedService(services => services.GetRequiredService<SagaWatch>());
builder.Services.AddOutboxLane(StartSaga.Lane, (services, message, ct) =>
    services.GetRequiredService<SagaStarter>().StartAsync(message.Read<StartSaga>(), ct));
builder.Services.AddOutboxLane(FlashOrderStore.Lane, (services, message, ct) =>
    services.GetRequiredService<FlashLane>().StartAsync(message.Read<StartSaga>(), ct));
builder.Services.AddDaprWorkflow(workflows =>
{
    workflows.RegisterWorkflow<CheckoutWorkflow>();
    workflows.RegisterWorkflow<CancellationWorkflow>();
    workflows.RegisterActivity<ReserveStock>();
    workflows.RegisterActivity<ReleaseStock>();
    workflows.RegisterActivity<CapturePayment>();
    workflows.RegisterActivity<RefundPayment>();
    workflows.RegisterActivity<ConfirmOrder>();
    workflows.RegisterActivity<CommitStock>();
    workflows.RegisterActivity<RefuseOrder>();
});

var app = builder.Build();
if (await app.MigratedAsync(args)) return;
app.UseMarketplaceDefaults();
app.MapCheckout();
app.MapOrders();
app.MapOrderOperations();
app.MapOrderEvents();
app.MapFlashOrders();
app.MapFlashOrderEvents();
app.Run();

public partial class Program;
