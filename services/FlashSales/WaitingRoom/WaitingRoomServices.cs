using Marketplace.FlashSales.ExpressCheckout;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.WaitingRoom;

public static class WaitingRoomServices
{
    public static void AddWaitingRoom(this IServiceCollection services)
    {
        services.AddExpressCheckout();
        services.AddOptions<WaitingRoomOptions>().BindConfiguration("WaitingRoom").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<NewSeed>(StartDraw.NewSeed);
        services.AddSingleton<QueueTickets>().AddHostedService(provider => provider.GetRequiredService<QueueTickets>());
        services.AddSingleton(provider => provider.GetRequiredService<QueueTickets>().Keys);
        services.AddSingleton<QueueMeter>();
        services.AddSingleton<Places>();
        services.AddSingleton<JoinStore>();
        services.AddSingleton<JoinDesk>();
        services.AddSingleton<AdmissionStore>();
        services.AddSingleton<AdmissionBoard>();
        services.AddSingleton<Doorkeeper>().AddHostedService(provider => provider.GetRequiredService<Doorkeeper>());
    }
}
