using System.ComponentModel.DataAnnotations;

namespace Marketplace.Cart.Carts;

public sealed class CartOptions
{
    /// <summary>A cart that nobody wrote for this long is forgotten.</summary>
    public TimeSpan KeptFor { get; set; } = TimeSpan.FromDays(30);

    [Range(1, 100)]
    public int MostAttempts { get; set; } = 20;
}
