using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Dapr;
using Dapr.Client;
using Grpc.Core;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.State;

/// <summary>The state API on every store, through the official client and by hand.</summary>
[EverySidecar]
public sealed class StoredState(StoresUnderTest stores) : IClassFixture<StoresUnderTest>
{
    private static readonly string[] All = ["memory", "garnet", "redis", "postgres1", "postgres2"];

    public static TheoryData<string> Every => [.. All];

    public static TheoryData<string> Compared => ["memory", "postgres1", "postgres2"];

    [Theory, MemberData(nameof(Every))]
    public async Task A_saved_value_comes_back_with_an_etag(string store)
    {
        stores.Need(store);
        await stores.Dapr.SaveStateAsync(store, "lamp", new Listing("Lamp", 1299));

        var (listing, etag) = await stores.Dapr.GetStateAndETagAsync<Listing>(store, "lamp");

        Assert.Equal(new Listing("Lamp", 1299), listing);
        Assert.NotEmpty(etag);
    }

    [Theory, MemberData(nameof(Every))]
    public async Task A_missing_key_is_empty_and_no_error(string store)
    {
        stores.Need(store);
        var (listing, etag) = await stores.Dapr.GetStateAndETagAsync<Listing>(store, "never-saved");
        Assert.Null(listing);
        Assert.Empty(etag);

        using var answer = await stores.Http.GetAsync($"/v1.0/state/{store}/never-saved");
        Assert.Equal(HttpStatusCode.NoContent, answer.StatusCode);
        Assert.Null(answer.Content.Headers.ContentType);

        await stores.Dapr.DeleteStateAsync(store, "never-saved");
    }

    [Theory, MemberData(nameof(Every))]
    public async Task A_stale_etag_is_refused_and_a_fresh_one_is_not(string store)
    {
        stores.Need(store);
        var key = "etag-" + Guid.NewGuid();
        await stores.Dapr.SaveStateAsync(store, key, "first");
        var (_, stale) = await stores.Dapr.GetStateAndETagAsync<string>(store, key);
        await stores.Dapr.SaveStateAsync(store, key, "second");
        var (_, fresh) = await stores.Dapr.GetStateAndETagAsync<string>(store, key);

        Assert.NotEqual(stale, fresh);
        Assert.False(await stores.Dapr.TrySaveStateAsync(store, key, "third", stale));
        Assert.False(await stores.Dapr.TryDeleteStateAsync(store, key, stale));
        Assert.Equal("second", await stores.Dapr.GetStateAsync<string>(store, key));
        Assert.True(await stores.Dapr.TrySaveStateAsync(store, key, "fourth", fresh));
        Assert.Equal("fourth", await stores.Dapr.GetStateAsync<string>(store, key));

        var (_, last) = await stores.Dapr.GetStateAndETagAsync<string>(store, key);
        Assert.True(await stores.Dapr.TryDeleteStateAsync(store, key, last));
        Assert.Null(await stores.Dapr.GetStateAsync<string>(store, key));
    }

    [Theory, MemberData(nameof(Every))]
    public async Task Of_twenty_writers_with_one_etag_one_wins(string store)
    {
        stores.Need(store);
        var key = "race-" + Guid.NewGuid();
        await stores.Dapr.SaveStateAsync(store, key, -1);
        var (_, etag) = await stores.Dapr.GetStateAndETagAsync<int>(store, key);

        var wins = await Task.WhenAll(Enumerable.Range(0, 20).Select(writer => stores.Dapr.TrySaveStateAsync(store, key, writer, etag)));

        Assert.Equal(1, wins.Count(won => won));
        Assert.Equal(Array.IndexOf(wins, true), await stores.Dapr.GetStateAsync<int>(store, key));
    }

    [Theory, MemberData(nameof(Every))]
    public async Task Over_http_a_mismatch_is_409_with_the_error_code_of_its_call(string store)
    {
        stores.Need(store);
        var key = "http-" + Guid.NewGuid();
        await SaveAsync(store, new { key, value = 1 });
        using var first = await stores.Http.GetAsync($"/v1.0/state/{store}/{key}");
        var stale = first.Headers.GetValues("ETag").Single();
        await SaveAsync(store, new { key, value = 2 });

        using var save = await stores.Http.PostAsJsonAsync($"/v1.0/state/{store}", new[] { new { key, value = 3, etag = stale } });
        Assert.Equal(HttpStatusCode.Conflict, save.StatusCode);
        Assert.Equal("ERR_STATE_SAVE", await ErrorCodeAsync(save));

        using var request = new HttpRequestMessage(HttpMethod.Delete, $"/v1.0/state/{store}/{key}");
        request.Headers.TryAddWithoutValidation("If-Match", stale);
        using var delete = await stores.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.Conflict, delete.StatusCode);
        Assert.Equal("ERR_STATE_DELETE", await ErrorCodeAsync(delete));
    }

    [Theory, MemberData(nameof(Every))]
    public async Task In_a_transaction_a_mismatch_is_a_plain_error(string store)
    {
        stores.Need(store);
        var (kept, other) = ("kept-" + Guid.NewGuid(), "other-" + Guid.NewGuid());
        await stores.Dapr.SaveStateAsync(store, kept, "old");
        var (_, stale) = await stores.Dapr.GetStateAndETagAsync<string>(store, kept);
        await stores.Dapr.SaveStateAsync(store, kept, "old");
        StateTransactionRequest[] operations =
        [
            new(other, "\"new\""u8.ToArray(), StateOperationType.Upsert),
            new(kept, "\"new\""u8.ToArray(), StateOperationType.Upsert, stale),
        ];

        var refusal = await Assert.ThrowsAsync<DaprException>(() => stores.Dapr.ExecuteStateTransactionAsync(store, operations));

        Assert.Equal(StatusCode.Internal, Assert.IsType<RpcException>(refusal.InnerException).StatusCode);
        Assert.Equal("old", await stores.Dapr.GetStateAsync<string>(store, kept));

        // Redis runs the operations one by one and undoes none.
        Assert.Equal(IsRedis(store) ? "new" : null, await stores.Dapr.GetStateAsync<string>(store, other));

        using var overHttp = await stores.Http.PostAsJsonAsync($"/v1.0/state/{store}/transaction", new
        {
            operations = new object[] { new { operation = "upsert", request = new { key = kept, value = "new", etag = stale } } },
        });
        Assert.Equal(HttpStatusCode.InternalServerError, overHttp.StatusCode);
        Assert.Equal("ERR_STATE_TRANSACTION", await ErrorCodeAsync(overHttp));
    }

    [Theory, MemberData(nameof(Every))]
    public async Task A_transaction_writes_and_deletes_together(string store)
    {
        stores.Need(store);
        var (written, deleted) = ("tx-" + Guid.NewGuid(), "tx-" + Guid.NewGuid());
        await stores.Dapr.SaveStateAsync(store, deleted, 1);

        using var answer = await stores.Http.PostAsJsonAsync($"/v1.0/state/{store}/transaction", new
        {
            operations = new object[]
            {
                new { operation = "upsert", request = new { key = written, value = 2 } },
                new { operation = "delete", request = new { key = deleted } },
            },
        });

        Assert.Equal(HttpStatusCode.NoContent, answer.StatusCode);
        Assert.Equal(2, await stores.Dapr.GetStateAsync<int>(store, written));
        Assert.Equal(0, await stores.Dapr.GetStateAsync<int>(store, deleted));
    }

    [Theory, MemberData(nameof(Every))]
    public async Task A_long_transaction_is_one_too(string store)
    {
        stores.Need(store);
        await stores.Dapr.SaveStateAsync(store, "long-old", "old");
        StateTransactionRequest[] operations =
        [
            .. Enumerable.Range(0, 20).Select(i => new StateTransactionRequest($"long-{i}", JsonSerializer.SerializeToUtf8Bytes(new Listing("Lamp", i)), StateOperationType.Upsert)),
            new("long-old", null, StateOperationType.Delete),
            new("long-brief", "1"u8.ToArray(), StateOperationType.Upsert, metadata: new Dictionary<string, string> { ["ttlInSeconds"] = "1" }),
        ];
        await stores.Dapr.ExecuteStateTransactionAsync(store, operations);

        for (var i = 0; i < 20; i++) Assert.Equal(new Listing("Lamp", i), await stores.Dapr.GetStateAsync<Listing>(store, $"long-{i}"));
        Assert.Null(await stores.Dapr.GetStateAsync<string>(store, "long-old"));
        await Eventually.Async(async () => (await stores.Dapr.GetStateAndETagAsync<int>(store, "long-brief")).etag.Length == 0, "the brief one expires");

        // Of two writes to one key the later one stays.
        await stores.Dapr.ExecuteStateTransactionAsync(store, [.. operations[..20], new("long-0", JsonSerializer.SerializeToUtf8Bytes(new Listing("Lamp", 99)), StateOperationType.Upsert)]);
        Assert.Equal(99, (await stores.Dapr.GetStateAsync<Listing>(store, "long-0"))!.Minor);
    }

    [Theory, MemberData(nameof(Every))]
    public async Task Many_keys_are_read_at_once_and_missing_ones_are_named(string store)
    {
        stores.Need(store);
        await stores.Dapr.SaveBulkStateAsync<int>(store, [new("bulk-1", 1, null!), new("bulk-2", 2, null!)]);

        var items = await stores.Dapr.GetBulkStateAsync(store, ["bulk-2", "bulk-none", "bulk-1"], parallelism: null);
        Assert.Equal(["bulk-2", "bulk-none", "bulk-1"], items.Select(item => item.Key));
        Assert.Equal(["2", "", "1"], items.Select(item => item.Value));

        using var answer = await stores.Http.PostAsJsonAsync($"/v1.0/state/{store}/bulk", new { keys = new[] { "bulk-1", "bulk-none" } });
        var json = await answer.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal(1, json[0].GetProperty("data").GetInt32());
        Assert.Equal("""{"key":"bulk-none"}""", json[1].GetRawText());
    }

    [Theory, MemberData(nameof(Every))]
    public async Task What_has_a_time_to_live_is_gone_after_it(string store)
    {
        stores.Need(store);
        var key = "short-" + Guid.NewGuid();
        await stores.Dapr.SaveStateAsync(store, key, "soon gone", metadata: new Dictionary<string, string> { ["ttlInSeconds"] = "1" });
        Assert.Equal("soon gone", await stores.Dapr.GetStateAsync<string>(store, key));
        if (!IsRedis(store))
        {
            using var answer = await stores.Http.GetAsync($"/v1.0/state/{store}/{key}");
            Assert.EndsWith("Z", answer.Headers.GetValues("metadata.ttlExpireTime").Single());
        }

        await Eventually.Async(async () => await stores.Dapr.GetStateAsync<string>(store, key) is null, "the value expires");
    }

    [Theory, MemberData(nameof(Every))]
    public async Task A_write_without_a_time_to_live_keeps_the_value_except_on_redis(string store)
    {
        stores.Need(store);
        var (rewritten, watched) = ("rewritten-" + Guid.NewGuid(), "watched-" + Guid.NewGuid());
        var short1 = new Dictionary<string, string> { ["ttlInSeconds"] = "1" };
        await stores.Dapr.SaveStateAsync(store, rewritten, 1, metadata: short1);
        await stores.Dapr.SaveStateAsync(store, rewritten, 2);
        await stores.Dapr.SaveStateAsync(store, watched, 1, metadata: short1);

        await Eventually.Async(async () => await stores.Dapr.GetStateAsync<int>(store, watched) == 0, "a value written later expires");

        Assert.Equal(IsRedis(store) ? 0 : 2, await stores.Dapr.GetStateAsync<int>(store, rewritten));
    }

    [Theory]
    [InlineData("memory", HttpStatusCode.Conflict)]
    [InlineData("garnet", HttpStatusCode.NoContent)]
    [InlineData("redis", HttpStatusCode.NoContent)]
    [InlineData("postgres1", HttpStatusCode.InternalServerError)]
    [InlineData("postgres2", HttpStatusCode.InternalServerError)]
    public async Task First_write_over_an_existing_key_ends_as_the_store_has_it(string store, HttpStatusCode expected)
    {
        stores.Need(store);
        var key = "first-" + Guid.NewGuid();
        await SaveAsync(store, new { key, value = 1 });
        using var answer = await stores.Http.PostAsJsonAsync($"/v1.0/state/{store}", new[] { new { key, value = 2, options = new { concurrency = "first-write" } } });
        Assert.Equal(expected, answer.StatusCode);
    }

    [Theory]
    [InlineData("garnet")]
    [InlineData("redis")]
    public async Task A_key_once_written_first_stays_closed_to_blind_writes_on_redis(string store)
    {
        stores.Need(store);
        var key = "marked-" + Guid.NewGuid();
        await SaveAsync(store, new { key, value = 1, options = new { concurrency = "first-write" } });
        using var blind = await stores.Http.PostAsJsonAsync($"/v1.0/state/{store}", new[] { new { key, value = 2 } });
        Assert.Equal(HttpStatusCode.InternalServerError, blind.StatusCode);
    }

    [Theory]
    [InlineData("memory", HttpStatusCode.Conflict)]
    [InlineData("garnet", HttpStatusCode.BadRequest)]
    [InlineData("redis", HttpStatusCode.BadRequest)]
    [InlineData("postgres1", HttpStatusCode.BadRequest)]
    [InlineData("postgres2", HttpStatusCode.Conflict)]
    public async Task A_text_that_is_no_etag_is_refused_as_the_store_has_it(string store, HttpStatusCode expected)
    {
        stores.Need(store);
        var key = "odd-" + Guid.NewGuid();
        await SaveAsync(store, new { key, value = 1 });
        using var answer = await stores.Http.PostAsJsonAsync($"/v1.0/state/{store}", new[] { new { key, value = 2, etag = "not one" } });
        Assert.Equal(expected, answer.StatusCode);
    }

    [Theory, MemberData(nameof(Every))]
    public async Task An_etag_for_a_key_that_is_gone_fails_except_on_redis(string store)
    {
        stores.Need(store);
        var key = "gone-" + Guid.NewGuid();
        await stores.Dapr.SaveStateAsync(store, key, 1);
        var (_, etag) = await stores.Dapr.GetStateAndETagAsync<int>(store, key);
        await stores.Dapr.DeleteStateAsync(store, key);
        Assert.Equal(IsRedis(store), await stores.Dapr.TrySaveStateAsync(store, key, 2, etag));
    }

    [Theory, MemberData(nameof(Every))]
    public async Task Bytes_come_back_as_they_went(string store)
    {
        stores.Need(store);
        var bytes = Enumerable.Range(0, 256).Select(i => (byte)i).ToArray();
        await stores.Dapr.SaveByteStateAsync(store, "bytes", bytes);
        var (read, _) = await stores.Dapr.GetByteStateAndETagAsync(store, "bytes");
        Assert.Equal(bytes, read.ToArray());
    }

    [Theory, MemberData(nameof(Every))]
    public async Task Json_over_http_comes_back_as_go_writes_it(string store)
    {
        stores.Need(store);
        using var text = new StringContent("""[{"key":"go","value":{"b":1.0,"a":"<é&>","big":12345678901}}]""", Encoding.UTF8, "application/json");
        using var save = await stores.Http.PostAsync($"/v1.0/state/{store}", text);
        Assert.Equal(HttpStatusCode.NoContent, save.StatusCode);

        var read = await stores.Http.GetStringAsync($"/v1.0/state/{store}/go");

        // PostgreSQL v1 keeps JSON, not text: only there the escapes are gone and keys are in its own order.
        if (store == "postgres1") Assert.Equal("""{"a": "<é&>", "b": 1, "big": 12345678901}""", read);
        else Assert.Equal("""{"a":"\u003cé\u0026\u003e","b":1,"big":12345678901}""", read);
    }

    [Theory, MemberData(nameof(Compared))]
    public async Task Keys_carry_the_app_id_unless_the_component_says_otherwise(string store)
    {
        stores.Need(store);
        using var office = stores.Sidecars.Client(1);
        await stores.Dapr.SaveStateAsync(store, "mine", 1);
        Assert.Equal(0, await office.GetStateAsync<int>(store, "mine"));
        if (stores.Database is null) return;

        await stores.Dapr.SaveStateAsync("shared", "ours", 1);
        Assert.Equal(1, await office.GetStateAsync<int>("shared", "ours"));
    }

    [Fact]
    public async Task Bad_requests_are_told_apart()
    {
        using var unknownStore = await stores.Http.GetAsync("/v1.0/state/nowhere/key");
        Assert.Equal((HttpStatusCode.BadRequest, "ERR_STATE_STORE_NOT_FOUND"), (unknownStore.StatusCode, await ErrorCodeAsync(unknownStore)));

        using var separator = await stores.Http.PostAsJsonAsync("/v1.0/state/memory", new[] { new { key = "a||b", value = 1 } });
        Assert.Equal(HttpStatusCode.BadRequest, separator.StatusCode);

        using var noKey = await stores.Http.PostAsJsonAsync("/v1.0/state/memory", new[] { new { value = 1 } });
        Assert.Equal((HttpStatusCode.BadRequest, "ERR_MALFORMED_REQUEST"), (noKey.StatusCode, await ErrorCodeAsync(noKey)));

        using var broken = await stores.Http.PostAsync("/v1.0/state/memory", new StringContent("[{", Encoding.UTF8, "application/json"));
        Assert.Equal((HttpStatusCode.BadRequest, "ERR_MALFORMED_REQUEST"), (broken.StatusCode, await ErrorCodeAsync(broken)));

        using var empty = await stores.Http.PostAsync("/v1.0/state/memory", new StringContent("[]", Encoding.UTF8, "application/json"));
        Assert.Equal(HttpStatusCode.NoContent, empty.StatusCode);

        using var operation = await stores.Http.PostAsJsonAsync("/v1.0/state/memory/transaction", new { operations = new[] { new { operation = "sing", request = new { key = "k" } } } });
        Assert.Equal(HttpStatusCode.BadRequest, operation.StatusCode);

        var notFound = await Assert.ThrowsAsync<DaprException>(() => stores.Dapr.GetStateAsync<int>("nowhere", "key"));
        Assert.Equal(StatusCode.InvalidArgument, Assert.IsType<RpcException>(notFound.InnerException).StatusCode);
        var details = Google.Rpc.Status.Parser.ParseFrom(((RpcException)notFound.InnerException!).Trailers.GetValueBytes("grpc-status-details-bin"));
        Assert.Equal("DAPR_STATE_NOT_FOUND", details.Details[0].Unpack<Google.Rpc.ErrorInfo>().Reason);
    }

    [Fact]
    public async Task A_key_may_hold_a_slash_and_a_blank()
    {
        await SaveAsync("memory", new { key = "a/b c", value = 5 });
        Assert.Equal("5", await stores.Http.GetStringAsync("/v1.0/state/memory/a%2Fb%20c"));
        Assert.Equal(5, await stores.Dapr.GetStateAsync<int>("memory", "a/b c"));
    }

    private static bool IsRedis(string store) => store is "redis" or "garnet";

    private async Task SaveAsync(string store, object item)
    {
        using var answer = await stores.Http.PostAsJsonAsync($"/v1.0/state/{store}", new[] { item });
        Assert.Equal(HttpStatusCode.NoContent, answer.StatusCode);
    }

    private static async Task<string?> ErrorCodeAsync(HttpResponseMessage answer) =>
        (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("errorCode").GetString();

    private sealed record Listing(string Title, long Minor);
}
