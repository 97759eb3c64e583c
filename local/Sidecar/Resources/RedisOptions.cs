using StackExchange.Redis;

namespace Marketplace.Local.Sidecar.Resources;

/// <summary>The metadata that every Redis component shares, as options of the client.</summary>
public static class RedisOptions
{
    public static ConfigurationOptions Of(Component component)
    {
        var options = new ConfigurationOptions
        {
            AbortOnConnectFail = true,
            ConnectTimeout = (int)component.Duration("dialTimeout", TimeSpan.FromSeconds(5)).TotalMilliseconds,
            AsyncTimeout = 10_000,
            User = component.Get("redisUsername"),
            Password = component.Get("redisPassword"),
            Ssl = component.Bool("enableTLS"),
            ClientName = "sidecar",
        };
        foreach (var address in component.Require("redisHost").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (!address.Contains(':', StringComparison.Ordinal)) throw component.Error("redisHost", $"must be host:port, not {address}.");
            options.EndPoints.Add(address);
        }

        if (component.Bool("failover")) options.ServiceName = component.Require("sentinelMasterName");
        return options;
    }
}
