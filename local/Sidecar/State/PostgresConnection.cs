using System.Text;
using Marketplace.Local.Sidecar.Resources;
using Npgsql;

namespace Marketplace.Local.Sidecar.State;

/// <summary>The connection strings that daprd's PostgreSQL components take: keywords of libpq or a URL. Npgsql's own form is taken too.</summary>
internal static class PostgresConnection
{
    public static string Of(Component component)
    {
        NpgsqlConnectionStringBuilder builder;
        try
        {
            builder = component.Get("connectionString") is { } text ? Parse(text) : new NpgsqlConnectionStringBuilder();
            foreach (var key in (ReadOnlySpan<string>)["host", "port", "user", "password", "database", "sslmode"])
            {
                if (component.Get(key) is { } value) Set(builder, key, value);
            }
        }
        catch (Exception e) when (e is ArgumentException or FormatException or UriFormatException)
        {
            throw component.Error("connectionString", $"is not valid: {e.Message}");
        }

        if (string.IsNullOrEmpty(builder.Host)) component.Require("connectionString");
        builder.CommandTimeout = Math.Max(1, (int)component.Duration("timeout", TimeSpan.FromSeconds(20)).TotalSeconds);
        if (component.Int("maxConns", 0) is > 0 and var most) builder.MaxPoolSize = most;
        builder.MaxAutoPrepare = 32;
        builder.AutoPrepareMinUsages = 2;
        builder.ApplicationName ??= "dapr";
        return builder.ConnectionString;
    }

    public static NpgsqlConnectionStringBuilder Parse(string text)
    {
        if (text.StartsWith("postgres://", StringComparison.Ordinal) || text.StartsWith("postgresql://", StringComparison.Ordinal)) return ParseUrl(text);
        if (text.Contains(';', StringComparison.Ordinal)) return new NpgsqlConnectionStringBuilder(text);

        var builder = new NpgsqlConnectionStringBuilder();
        foreach (var (key, value) in Keywords(text))
            Set(builder, key, value);
        return builder;
    }

    private static NpgsqlConnectionStringBuilder ParseUrl(string text)
    {
        var url = new Uri(text);
        var builder = new NpgsqlConnectionStringBuilder { Host = url.Host, Database = Uri.UnescapeDataString(url.AbsolutePath.TrimStart('/')) };
        if (url.Port > 0) builder.Port = url.Port;
        var user = url.UserInfo.Split(':', 2);
        if (user[0].Length > 0) builder.Username = Uri.UnescapeDataString(user[0]);
        if (user.Length > 1) builder.Password = Uri.UnescapeDataString(user[1]);
        foreach (var pair in url.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var parts = pair.Split('=', 2);
            Set(builder, parts[0], Uri.UnescapeDataString(parts.ElementAtOrDefault(1) ?? ""));
        }

        return builder;
    }

    /// <summary>key=value pairs apart by spaces; a value with spaces stands in single quotes, a backslash takes the next character as it is.</summary>
    private static IEnumerable<(string Key, string Value)> Keywords(string text)
    {
        var at = 0;
        while (true)
        {
            while (at < text.Length && char.IsWhiteSpace(text[at])) at++;
            if (at == text.Length) yield break;

            var equals = text.IndexOf('=', at);
            if (equals < 0) throw new FormatException($"{text[at..]} is no key=value.");
            var key = text[at..equals].Trim();
            at = equals + 1;
            while (at < text.Length && text[at] == ' ') at++;
            var quoted = at < text.Length && text[at] == '\'';
            if (quoted) at++;
            var value = new StringBuilder();
            while (at < text.Length && (quoted ? text[at] != '\'' : !char.IsWhiteSpace(text[at])))
            {
                if (text[at] == '\\' && at + 1 < text.Length) at++;
                value.Append(text[at++]);
            }

            if (quoted) at++;
            yield return (key, value.ToString());
        }
    }

    private static void Set(NpgsqlConnectionStringBuilder builder, string key, string value)
    {
        switch (key.ToLowerInvariant())
        {
            case "dbname": builder.Database = value; break;
            case "user": builder.Username = value; break;
            case "hostaddr": builder.Host = value; break;
            case "connect_timeout": builder.Timeout = int.Parse(value); break;
            case "application_name": builder.ApplicationName = value; break;
            case "sslmode": builder.SslMode = Enum.Parse<SslMode>(value.Replace("-", "", StringComparison.Ordinal), ignoreCase: true); break;
            case "sslrootcert": builder.RootCertificate = value; break;
            case "sslcert": builder.SslCertificate = value; break;
            case "sslkey": builder.SslKey = value; break;
            case "search_path": builder.SearchPath = value; break;
            case "options": builder.Options = value; break;
            case "pool_max_conns": builder.MaxPoolSize = int.Parse(value); break;
            case var pool when pool.StartsWith("pool_", StringComparison.Ordinal) || pool is "default_query_exec_mode" or "target_session_attrs": break;
            default: builder[key] = value; break;
        }
    }
}
