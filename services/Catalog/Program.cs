using Marketplace.Catalog.Categories;
using Marketplace.Catalog.Clients;
using Marketplace.Catalog.Indexing;
using Marketplace.Catalog.Listings;
using Marketplace.Catalog.Prices;
using Marketplace.Catalog.ProductPages;
using Marketplace.Hosting;

var builder = WebApplication.CreateBuilder(args);
builder.AddMarketplaceDefaults(database: "catalog");
builder.Services.AddValidation();
builder.Services.AddNeighbour<IIdentityClient>("identity");
builder.Services.AddSingleton<CategoryStore>();
builder.Services.AddSingleton<ListingStore>();
builder.Services.AddSingleton<SellerNames>();
builder.Services.AddProductPages();

var app = builder.Build();
if (await app.MigratedAsync(args)) return;
app.UseMarketplaceDefaults();
app.MapListings();
app.MapOwners();
app.MapProductPages();
app.MapCategories();
app.MapPrices();
app.MapIndexPages();
app.Run();
