using Marketplace.Fulfilment.Parcels;
using Marketplace.Hosting;

var builder = WebApplication.CreateBuilder(args);
builder.AddMarketplaceDefaults(database: "fulfilment");
builder.Services.AddValidation();
builder.Services.AddSingleton<ShipmentStore>();

var app = builder.Build();
if (await app.MigratedAsync(args)) return;
app.UseMarketplaceDefaults();
app.MapShipments();
app.MapShipmentEvents();
app.Run();
