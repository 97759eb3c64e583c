using Marketplace.Cart.Carts;
using Marketplace.Cart.Clients;
using Marketplace.Hosting;

var builder = WebApplication.CreateBuilder(args);
builder.AddMarketplaceDefaults(database: null);
builder.Services.AddValidation();
builder.Services.AddOptions<CartOptions>().BindConfiguration("Cart").ValidateDataAnnotations().ValidateOnStart();
builder.Services.AddSingleton<CartStore>();
builder.Services.AddSingleton<CartMerge>();
builder.Services.AddSingleton<Announcements>();
builder.Services.AddHostedService(services => services.GetRequiredService<Announcements>());
builder.Services.AddNeighbour<ICatalogClient>("catalog");

var app = builder.Build();
if (await app.MigratedAsync(args)) return;
app.UseMarketplaceDefaults();
app.MapCarts();
app.MapCartEvents();
app.Run();
