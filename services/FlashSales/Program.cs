using Marketplace.FlashSales.Claims;
using Marketplace.FlashSales.Sales;
using Marketplace.FlashSales.WaitingRoom;
using Marketplace.Hosting;

var builder = WebApplication.CreateBuilder(args);
builder.AddMarketplaceDefaults(database: "flashsales");
builder.Services.AddValidation();
builder.Services.AddSales();
builder.Services.AddWaitingRoom();
builder.Services.AddClaims(builder.Configuration);

var app = builder.Build();
if (await app.MigratedAsync(args)) return;
app.UseMarketplaceDefaults();
app.MapSales();
app.MapWaitingRoom();
app.MapClaims();
app.Run();

public partial class Program;
