using Dapr;
using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.Identity.Accounts;

/// <summary>
/// The marketplace starts with one operator, whose password is the secret <c>operator-password</c>. An account that exists is left as it
/// is: changing the secret later does not change a password that somebody uses.
/// </summary>
public sealed partial class OperatorAccount(AccountStore accounts, Passwords passwords, SecretStore secrets, ILogger<OperatorAccount> log) : BackgroundService
{
    public const string Email = "operator@marketplace.local";

    private const string SecretName = "operator-password";
    private static readonly TimeSpan BetweenTries = TimeSpan.FromSeconds(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var email = EmailAddress.Parse(Email);
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                if (await accounts.FindAsync(email, stoppingToken) is not null)
                    return;

                var password = await secrets.GetAsync(SecretName, stoppingToken);
                if (await accounts.OpenOperatorAsync(email, await passwords.HashAsync(password, stoppingToken), stoppingToken))
                    LogOpened();
                return;
            }
            catch (Exception e) when (e is DaprException or NpgsqlException or InvalidOperationException)
            {
                LogNotYet(SecretName, e);
                await Task.Delay(BetweenTries, stoppingToken);
            }
        }
    }

    [LoggerMessage(LogLevel.Information, "The operator's account is open")]
    private partial void LogOpened();

    [LoggerMessage(LogLevel.Error, "There is no operator yet: the secret {Secret} or the database is missing")]
    private partial void LogNotYet(string secret, Exception why);
}
