using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Marketplace.Hosting;

internal static class Telemetry
{
    /// <summary>Traces and metrics leave only when somebody said where to; otherwise nothing is collected and nothing is paid.</summary>
    public static void Add(WebApplicationBuilder builder, string appId)
    {
        if (string.IsNullOrEmpty(builder.Configuration["OTEL_EXPORTER_OTLP_ENDPOINT"]))
            return;

        builder.Services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService(appId, serviceNamespace: "marketplace"))
            .WithTracing(tracing => tracing
                .AddAspNetCoreInstrumentation(options => options.Filter = http => http.Request.Path.Value is not ("/livez" or "/readyz"))
                .AddHttpClientInstrumentation()
                .AddNpgsql()
                .AddSource("Marketplace.*")
                .AddOtlpExporter())
            .WithMetrics(metrics => metrics
                .AddAspNetCoreInstrumentation()
                .AddHttpClientInstrumentation()
                .AddRuntimeInstrumentation()
                .AddMeter("Marketplace.*", "Npgsql")
                .AddOtlpExporter());
    }
}
