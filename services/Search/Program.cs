using Marketplace.Hosting;
using Marketplace.Search;
using Marketplace.Search.Clients;
using Marketplace.Search.Engine;
using Marketplace.Search.Indexing;
using Marketplace.Search.Querying;

var builder = WebApplication.CreateBuilder(args);
builder.AddMarketplaceDefaults(database: null);                 // the index is a replica of the catalogue, on disk; see Indexing
builder.Services.AddValidation();
builder.Services.AddNeighbour<ICatalogClient>("catalog");
builder.Services.AddNeighbour<IInventoryClient>("inventory");
builder.Services.AddSingleton<ISharedCache, StateStoreCache>();
builder.Services.AddProductSearch();
builder.Services.AddHostedService<PopularQueriesKeeper>();
builder.Services.AddSingleton<IndexFeed>();
builder.Services.AddSingleton<Rebuild>();
builder.Services.AddHostedService(services => services.GetRequiredService<Rebuild>());

var app = builder.Build();
if (await app.MigratedAsync(args)) return;
await app.Services.GetRequiredService<ISearchEngine>().OpenAsync(app.Lifetime.ApplicationStopping);   // refuses a second replica before anything listens
app.UseMarketplaceDefaults();
app.MapSearch();
app.MapIndexEvents();
app.MapRebuild();
app.Run();
