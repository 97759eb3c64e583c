using Marketplace.FlashSales.Sales;
using Marketplace.Hosting;

var builder = WebApplication.CreateBuilder(args);
builder.AddMarketplaceDefaults(database: "flashsales");
builder.Services.AddValidation();
builder.Services.AddSales();

var app = builder.Build();
if (await app.MigratedAsync(args)) return;
app.UseMarketplaceDefaults();
app.Run();

public partial class Program;
