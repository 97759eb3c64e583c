using System.ComponentModel.DataAnnotations;

namespace Marketplace.Notifications.Mail;

public sealed class MailOptions
{
    [EmailAddress]
    public string From { get; set; } = "shop@marketplace.local";

    /// <summary>How many mails a process has under way at once.</summary>
    [Range(1, 64)]
    public int Concurrency { get; set; } = 4;

    /// <summary>How many rows are claimed at a time.</summary>
    [Range(1, 1000)]
    public int BatchSize { get; set; } = 40;

    public TimeSpan SendTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>A claim is another's again after this; longer than a batch takes.</summary>
    public TimeSpan Claim { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>The pause after the first failure; it doubles up to <see cref="LongestPause"/>.</summary>
    public TimeSpan Pause { get; set; } = TimeSpan.FromSeconds(2);

    public TimeSpan LongestPause { get; set; } = TimeSpan.FromMinutes(10);

    [Range(1, 1000)]
    public int Tries { get; set; } = 30;

    /// <summary>How often the table is looked at when nothing announced itself.</summary>
    public TimeSpan Poll { get; set; } = TimeSpan.FromSeconds(1);
}
