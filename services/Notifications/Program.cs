using Marketplace.Hosting;
using Marketplace.Notifications.Mail;
using Marketplace.Notifications.Messages;

var builder = WebApplication.CreateBuilder(args);
builder.AddMarketplaceDefaults(database: "notifications");
builder.Services.AddValidation();
builder.Services.AddOptions<MailOptions>().BindConfiguration("Mail").ValidateDataAnnotations().ValidateOnStart();
builder.Services.AddSingleton<MessageStore>();
builder.Services.AddSingleton<MailSignal>();
builder.Services.AddSingleton<IMailExit, MailBinding>();
builder.Services.AddHostedService<MailRoom>();

var app = builder.Build();
if (await app.MigratedAsync(args)) return;
app.UseMarketplaceDefaults();
app.MapMessages();
app.MapMessageEvents();
app.Run();
