using Marketplace.Gateway;
using Marketplace.Gateway.Caching;
using Marketplace.Gateway.Documents;
using Marketplace.Gateway.FlashSales;
using Marketplace.Gateway.Limits;
using Marketplace.Gateway.Routes;
using Marketplace.Hosting;
using Microsoft.Extensions.Options;

var builder = WebApplication.CreateBuilder(args);
builder.AddMarketplaceDefaults(database: null);
builder.Services.AddOptions<ForwardingOptions>().BindConfiguration("Forwarding").ValidateDataAnnotations().ValidateOnStart();
builder.Services.AddOptions<CacheOptions>().BindConfiguration("Cache").ValidateDataAnnotations().ValidateOnStart();
builder.Services.AddOptions<DocumentOptions>().BindConfiguration("Documents");
builder.Services.AddOptions<LimitOptions>().BindConfiguration("Limits").ValidateOnStart();
builder.Services.AddSingleton<IValidateOptions<LimitOptions>, LimitOptionsValidator>();
builder.Services.AddHttpForwarder();
builder.Services.AddSingleton<Sidecar>();
builder.Services.AddSingleton<Forwarding>();
builder.Services.AddSingleton<SharedReads>();
builder.Services.AddSingleton<MergedOpenApi>();
builder.Services.AddFlashSales();
builder.Services.AddDoorCors(builder.Configuration);

var app = builder.Build();
if (await app.MigratedAsync(args)) return;

// Not the defaults' pipeline: this one is public, so that the subscription list and other inner routes are not even mapped.
app.UseMiddleware<SecurityHeaders>();
app.UseTrustedProxies();
app.UseProblemDocuments();
app.UseRouting();
app.UseWhere(Asks.FromAnotherOrigin, door => door.UseCors());
app.UseMiddleware<DoorChecks>();
app.UseWhere(Asks.WithAToken, door => door.UseAuthentication());
app.UseMiddleware<RateLimits>();
app.UseWhere(Asks.ForWhatIsNotForEverybody, door => door.UseAuthorization());

app.MapPublicRoutes();
app.MapQueues();
app.MapReadiness();
app.MapGet("/openapi/v1.json", (MergedOpenApi documents, CancellationToken ct) => documents.GetAsync(ct));
app.MapDocumentationPage();
app.MapOperatorsPage();
app.Run();
