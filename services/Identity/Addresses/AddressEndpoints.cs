using System.ComponentModel.DataAnnotations;
using System.Security.Claims;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Identity.Addresses;

public sealed record AddressRequest(
    [Required, MaxLength(100), RegularExpression(PlainText.Pattern, ErrorMessage = PlainText.Message)] string Name,
    [Required, MaxLength(200), RegularExpression(PlainText.Pattern, ErrorMessage = PlainText.Message)] string Line1,
    [MaxLength(200), RegularExpression(PlainText.Pattern, ErrorMessage = PlainText.Message)] string? Line2,
    [Required, MaxLength(100), RegularExpression(PlainText.Pattern, ErrorMessage = PlainText.Message)] string City,
    [Required, MaxLength(20), RegularExpression(PlainText.Pattern, ErrorMessage = PlainText.Message)] string PostalCode,
    [Required, RegularExpression("^[A-Z]{2}$", ErrorMessage = "The field {0} must be a country code of two letters, such as GB.")] string Country)
{
    public Address As(Guid addressId) => new(addressId, Name, Line1, string.IsNullOrWhiteSpace(Line2) ? null : Line2, City, PostalCode, Country);
}

public sealed record AddressPage(IReadOnlyList<Address> Items, string? Next);

public static class AddressEndpoints
{
    public static void MapAddresses(this IEndpointRouteBuilder routes)
    {
        var addresses = routes.MapGroup("/api/v1/me/addresses").RequireAuthorization(Policies.Account);
        addresses.MapGet("", ListAsync);
        addresses.MapPost("", AddAsync);
        addresses.MapPut("/{addressId:guid}", ChangeAsync);
        addresses.MapDelete("/{addressId:guid}", RemoveAsync);
    }

    private static async Task<Ok<AddressPage>> ListAsync(ClaimsPrincipal user, AddressStore addresses, CancellationToken ct) =>
        TypedResults.Ok(new AddressPage(await addresses.ListAsync(Buyer.Id(user), ct), null));

    private static async Task<Results<Created<Address>, ProblemHttpResult>> AddAsync(
        AddressRequest request, ClaimsPrincipal user, AddressStore addresses, CancellationToken ct) =>
        await addresses.AddAsync(Buyer.Id(user), request, ct) is { } address
            ? TypedResults.Created($"/api/v1/me/addresses/{address.AddressId}", address)
            : Problems.Of(
                StatusCodes.Status422UnprocessableEntity, "too-many-addresses", $"An account keeps at most {AddressStore.MostPerAccount} addresses.");

    private static async Task<Results<Ok<Address>, NotFound>> ChangeAsync(
        Guid addressId, AddressRequest request, ClaimsPrincipal user, AddressStore addresses, CancellationToken ct) =>
        await addresses.ChangeAsync(Buyer.Id(user), addressId, request, ct) is { } address ? TypedResults.Ok(address) : TypedResults.NotFound();

    private static async Task<Results<NoContent, NotFound>> RemoveAsync(
        Guid addressId, ClaimsPrincipal user, AddressStore addresses, CancellationToken ct) =>
        await addresses.RemoveAsync(Buyer.Id(user), addressId, ct) ? TypedResults.NoContent() : TypedResults.NotFound();
}
