using System.ComponentModel.DataAnnotations;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>
/// Bound to <c>Search:Elasticsearch</c>. The address is a secret, <c>elasticsearch-url</c>, since it may name a user; see
/// <see cref="Credentials"/> for the others. None of them is ever logged.
/// </summary>
public sealed class ElasticsearchOptions
{
    /// <summary>Name of the alias that is searched; the indices behind it are this name and a number.</summary>
    [RegularExpression("^[a-z][a-z0-9_]*$", ErrorMessage = "Search:Elasticsearch:Index is small letters, digits and underscores.")]
    public string Index { get; set; } = "products";

    /// <summary><c>none</c> (or those in the address), <c>password</c> (secrets elasticsearch-user and elasticsearch-password) or <c>api-key</c> (secret elasticsearch-api-key).</summary>
    [AllowedValues("none", "password", "api-key")]
    public string Credentials { get; set; } = "none";

    /// <summary>SHA-256 of the certificate authority, in hex, for a server whose certificate nobody else vouches for.</summary>
    public string? CertificateFingerprint { get; set; }

    /// <summary>Of an index that is made from here on: about one for each 30 GB.</summary>
    [Range(1, 100)]
    public int Shards { get; set; } = 1;

    public TimeSpan SearchTimeout { get; set; } = TimeSpan.FromSeconds(5);

    public TimeSpan WriteTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a change is tried again before its event is given back to the broker.</summary>
    public TimeSpan WritePatience { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Roughly, of the text in it.</summary>
    [Range(10_000, 90_000_000)]
    public int BytesOfBulk { get; set; } = 4_000_000;

    /// <summary>A rebuild that has not been heard of for so long is given up by the others, and what it left is removed.</summary>
    public TimeSpan RebuildLease { get; set; } = TimeSpan.FromMinutes(3);
}
