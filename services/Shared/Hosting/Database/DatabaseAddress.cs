using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Marketplace.Hosting;

/// <summary>Where this service's database is: <c>ConnectionStrings:&lt;database&gt;</c>, else the secret <c>&lt;database&gt;-db</c>.</summary>
internal sealed class DatabaseAddress(MarketplaceApp app, IConfiguration configuration, SecretStore secrets, ILoggerFactory log)
{
    private string? resolved;

    public async Task<string> ResolveAsync(CancellationToken ct) =>
        resolved = configuration.GetConnectionString(app.Database!) ?? await secrets.GetAsync($"{app.Database!.Replace('_', '-')}-db", ct);

    public NpgsqlDataSource CreateDataSource()
    {
        var builder = new NpgsqlDataSourceBuilder(resolved ?? throw new InvalidOperationException("The database is known only after `await app.MigratedAsync(args)`."));
        builder.UseLoggerFactory(log);
        var address = builder.ConnectionStringBuilder;
        address.ApplicationName ??= app.AppId;
        if (address.MaxAutoPrepare == 0)
            address.MaxAutoPrepare = 64;                        // the same few statements over and over: parse and plan them once per connection
        address.NoResetOnClose = true;                          // a DISCARD ALL per use of a connection, for session state that no service makes
        return builder.Build();
    }
}
