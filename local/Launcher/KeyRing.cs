using System.Security.Cryptography;
using System.Text.Json;

namespace Marketplace.Local.Launcher;

/// <summary>Passwords and tokens of this data folder, made up once and kept, so that a restart finds its own databases again.</summary>
public sealed class KeyRing
{
    private readonly string file;
    private readonly Dictionary<string, string> keys;

    private KeyRing(string file, Dictionary<string, string> keys)
    {
        this.file = file;
        this.keys = keys;
    }

    public string Postgres => Get("postgres");
    public string RabbitMq => Get("rabbitmq");
    public string AppToken => Get("app-token");
    public string SigningKeyWrap => Get("signing-key-wrap");
    public string QueueTicketKeys => Get("queue-ticket-keys", () => Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)));
    public string WebhookSecret => Get("stripe-webhook-secret", () => "whsec_" + Random());
    public string StripeKey => Get("stripe-key", () => "sk_test_" + Random());

    /// <summary>Locally a person has to type it; it guards a shop that lives on this machine.</summary>
    public string OperatorPassword => Get("operator-password", () => "operator-password-1");

    public string Database(string name) => Get($"{name}-db");

    public static KeyRing Open(DataFolder data)
    {
        var keys = File.Exists(data.Keys)
            ? JsonSerializer.Deserialize<Dictionary<string, string>>(File.ReadAllText(data.Keys)) ?? []
            : [];
        return new KeyRing(data.Keys, keys);
    }

    /// <summary>Servers that start side by side ask at the same time.</summary>
    private string Get(string name, Func<string>? make = null)
    {
        lock (keys)
        {
            if (keys.TryGetValue(name, out var key))
                return key;
            keys[name] = key = make is null ? Random() : make();
            PrivateFile.Write(file, JsonSerializer.Serialize(keys, PrivateFile.Readable));
            return key;
        }
    }

    private static string Random() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
}

/// <summary>Files with passwords in them: replaced whole, readable by their owner only.</summary>
public static class PrivateFile
{
    public static readonly JsonSerializerOptions Readable = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    public static void Write(string file, string text)
    {
        var draft = file + ".new";
        File.WriteAllText(draft, text);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(draft, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        File.Move(draft, file, overwrite: true);
    }
}
