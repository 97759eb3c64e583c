namespace Marketplace.FlashSales.Sales;

public static class SalesServices
{
    public static void AddSales(this IServiceCollection services)
    {
        services.AddSingleton<SaleStore>();
        services.AddSingleton<SaleMemory>();
    }
}
