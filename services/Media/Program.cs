using Dapr.Client;
using Grpc.Net.Client;
using Marketplace.Hosting;
using Marketplace.Media;
using Marketplace.Media.Clients;
using Marketplace.Media.Renditions;
using Marketplace.Media.Storage;
using Marketplace.Media.Uploads;

var builder = WebApplication.CreateBuilder(args);
// Before the defaults, which keep a client that is there: an original comes back in one message, larger than gRPC's own limit.
builder.Services.AddDaprClient(dapr => dapr.UseGrpcChannelOptions(new GrpcChannelOptions { MaxReceiveMessageSize = MediaStore.LargestMessage, ThrowOperationCanceledOnCancellation = true }));
builder.AddMarketplaceDefaults(database: null);
builder.Services.AddOptions<UploadOptions>().BindConfiguration("Uploads").ValidateDataAnnotations().ValidateOnStart();
builder.Services.AddOptions<RenditionOptions>().BindConfiguration("Renditions").ValidateDataAnnotations().ValidateOnStart();
builder.Services.AddNeighbour<ICatalogClient>("catalog");
builder.Services.AddSingleton<MediaStore>();
builder.Services.AddSingleton<MediaNews>();
builder.Services.AddSingleton<UploadSlots>();
builder.Services.AddSingleton<Workshop>();
builder.Services.AddSingleton<ServedPictures>();

Vips.Prepare();
var app = builder.Build();
if (await app.MigratedAsync(args)) return;
app.UseMarketplaceDefaults();
app.MapUploads();
app.MapRenditions();
app.MapMediaEvents();
app.Run();
