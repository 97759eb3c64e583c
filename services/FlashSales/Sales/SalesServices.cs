using Marketplace.FlashSales.Clients;
using Marketplace.Hosting;

namespace Marketplace.FlashSales.Sales;

public static class SalesServices
{
    public static void AddSales(this IServiceCollection services)
    {
        services.AddOptions<AllotmentOptions>().BindConfiguration("Allotments").ValidateDataAnnotations().ValidateOnStart();
        services.AddNeighbour<ICatalogClient>("catalog");
        services.AddNeighbour<IInventoryClient>("inventory");
        services.AddSingleton<SalesMeter>();
        services.AddSingleton<SaleStore>();
        services.AddSingleton<SaleMemory>();
        services.AddSingleton<AllotmentStore>();
        services.AddSingleton<AllotmentKeeper>().AddHostedService(provider => provider.GetRequiredService<AllotmentKeeper>());
        services.AddSingleton<Scheduling>();
        services.AddSingleton<SaleProgressStore>();
        services.AddSingleton<SaleAuditStore>();
    }
}
