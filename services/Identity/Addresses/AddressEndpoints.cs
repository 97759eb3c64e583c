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
        routes.MapInternal("/internal/addresses", "flashsales").MapPost("/", LookUpAsync);
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

    private static async Task<Ok<AddressLookupReply>> LookUpAsync(AddressLookup request, AddressStore addresses, CancellationToken ct) =>
        TypedResults.Ok(new AddressLookupReply(await addresses.LookUpAsync(request.Wanted, ct)));
}

/// <summary>An address of each of these accounts: the one with that id, or the account's first.</summary>
public sealed record AddressLookup([property: MaxLength(500)] IReadOnlyList<WantedAddress> Wanted);

public sealed record WantedAddress(Guid AccountId, Guid? AddressId = null);

/// <summary>An account that has none, or not that one, is absent.</summary>
public sealed record AddressLookupReply(IReadOnlyList<AccountAddress> Addresses);

public sealed record AccountAddress(Guid AccountId, Guid AddressId, string Name, string Line1, string? Line2, string City, string PostalCode, string Country);
