namespace Marketplace.Local.Sidecar;

/// <summary>The loopback port for the launcher and the journey tests: is the host alive, and faults to order.</summary>
internal static class ControlApi
{
    public static void MapControl(this IEndpointRouteBuilder routes, SidecarHost host)
    {
        var control = routes.MapGroup("").RequireHost($"*:{host.ControlPort}");
        control.MapGet("/livez", () => TypedResults.Ok(new { status = "ok" }));
        control.MapGet("/apps", () => TypedResults.Ok(host.Instances.Select(instance => new
        {
            instance.AppId,
            instance.App.AppPort,
            instance.App.HttpPort,
            instance.App.GrpcPort,
            healthy = instance.Channel.IsHealthy,
            introduced = instance.Introduced,
        })));
        control.MapGet("/apps/{appPort:int}/introduced", IResult (int appPort) =>
            host.Instances.Any(instance => instance.App.AppPort == appPort && instance.Introduced) ? TypedResults.NoContent() : TypedResults.StatusCode(StatusCodes.Status503ServiceUnavailable));

        control.MapGet("/faults", () => TypedResults.Ok(host.Faults.All));
        control.MapPost("/faults", IResult (Fault fault) => host.Faults.TryAdd(fault, out var added) is { } refusal
            ? TypedResults.BadRequest(new { error = refusal })
            : TypedResults.Created($"/faults/{added.Id}", new { id = added.Id }));
        control.MapDelete("/faults/{id:long}", IResult (long id) => host.Faults.Remove(id) ? TypedResults.NoContent() : TypedResults.NotFound());
        control.MapDelete("/faults", () =>
        {
            host.Faults.Clear();
            return TypedResults.NoContent();
        });
    }
}
