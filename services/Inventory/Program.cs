using Marketplace.Hosting;
using Marketplace.Inventory;
using Marketplace.Inventory.Allotments;
using Marketplace.Inventory.Clients;
using Marketplace.Inventory.Reservations;
using Marketplace.Inventory.Stock;

var builder = WebApplication.CreateBuilder(args);
builder.AddMarketplaceDefaults(database: "inventory");
builder.Services.AddValidation();
builder.Services.AddOptions<ReservationOptions>().BindConfiguration("Reservations").ValidateDataAnnotations().ValidateOnStart();
builder.Services.AddOptions<StockOptions>().BindConfiguration("Stock").ValidateDataAnnotations().ValidateOnStart();
builder.Services.AddNeighbour<ICatalogClient>("catalog");
builder.Services.AddNeighbour<IOrderingClient>("ordering");
builder.Services.AddSingleton<InventoryMeter>();
builder.Services.AddSingleton<StockStore>();
builder.Services.AddSingleton<ReservationStore>();
builder.Services.AddSingleton<AllotmentStore>();
builder.Services.AddSingleton<LevelAnnouncer>().AddHostedService(services => services.GetRequiredService<LevelAnnouncer>());
builder.Services.AddSingleton<ExpirySweep>().AddHostedService(services => services.GetRequiredService<ExpirySweep>());

var app = builder.Build();
if (await app.MigratedAsync(args)) return;
app.UseMarketplaceDefaults();
app.MapStock();
app.MapLevels();
app.MapReservations();
app.MapAllotments();
app.Run();

public partial class Program;
