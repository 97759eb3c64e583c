using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Dapr;
using Grpc.Core;
using Xunit;

namespace Marketplace.Sidecar.Tests.Secrets;

[EverySidecar]
public sealed class SecretStores : IAsyncLifetime
{
    private const string Resources = """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: flat}
        spec:
          type: secretstores.local.file
          metadata: [{name: secretsFile, value: "secrets.json"}]
        ---
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: several}
        spec:
          type: secretstores.local.file
          metadata: [{name: secretsFile, value: "secrets.json"}, {name: multiValued, value: "true"}, {name: nestedSeparator, value: "."}]
        ---
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: environment}
        spec:
          type: secretstores.local.env
          metadata: [{name: prefix, value: "SIDECAR_TEST_"}]
        """;

    private SidecarsUnderTest sidecars = null!;
    private HttpClient http = null!;

    public async ValueTask InitializeAsync()
    {
        Environment.SetEnvironmentVariable("SIDECAR_TEST_color", "green");
        // The file is named relative to the app's folder, which the fixture makes: so it is written by its own component's document.
        sidecars = await StartAsync();
        http = sidecars.Http();
    }

    public async ValueTask DisposeAsync()
    {
        http.Dispose();
        await sidecars.DisposeAsync();
    }

    [Fact]
    public async Task A_flat_file_has_one_value_per_name_and_nested_names()
    {
        Assert.Equal("""{"top":"1"}""", await http.GetStringAsync("/v1.0/secrets/flat/top"));
        Assert.Equal("""{"db:user":"ada"}""", await http.GetStringAsync("/v1.0/secrets/flat/db:user"));
        Assert.Equal("""{"list:1":"b"}""", await http.GetStringAsync("/v1.0/secrets/flat/list:1"));

        using var dapr = sidecars.Client();
        Assert.Equal("ada", (await dapr.GetSecretAsync("flat", "db:user"))["db:user"]);
        Assert.Equal("pw", (await dapr.GetBulkSecretAsync("flat"))["db:password"]["db:password"]);
    }

    [Fact]
    public async Task A_multi_valued_file_has_several_values_per_name()
    {
        using var dapr = sidecars.Client();
        var secret = await dapr.GetSecretAsync("several", "db");
        Assert.Equal(("ada", "pw", "x"), (secret["user"], secret["password"], secret["deep.er"]));
    }

    [Fact]
    public async Task A_missing_secret_is_an_error_in_a_file_and_empty_in_the_environment()
    {
        using var missing = await http.GetAsync("/v1.0/secrets/flat/none");
        Assert.Equal((HttpStatusCode.InternalServerError, "ERR_SECRET_GET"), (missing.StatusCode, await ErrorCodeAsync(missing)));

        Assert.Equal("""{"none":""}""", await http.GetStringAsync("/v1.0/secrets/environment/none"));
        Assert.Equal("""{"color":"green"}""", await http.GetStringAsync("/v1.0/secrets/environment/color"));
    }

    [Fact]
    public async Task An_unknown_store_is_401_over_http_and_invalid_over_grpc()
    {
        using var unknown = await http.GetAsync("/v1.0/secrets/nowhere/key");
        Assert.Equal((HttpStatusCode.Unauthorized, "ERR_SECRET_STORE_NOT_FOUND"), (unknown.StatusCode, await ErrorCodeAsync(unknown)));

        using var dapr = sidecars.Client();
        var refusal = await Assert.ThrowsAsync<DaprException>(() => dapr.GetSecretAsync("nowhere", "key"));
        Assert.Equal(StatusCode.InvalidArgument, Assert.IsType<RpcException>(refusal.InnerException).StatusCode);
    }

    [Fact]
    public async Task All_secrets_come_at_once_and_a_store_without_values_says_nothing()
    {
        var all = await http.GetFromJsonAsync<Dictionary<string, Dictionary<string, string>>>("/v1.0/secrets/flat/bulk");
        Assert.Equal(["db:deep:er", "db:password", "db:user", "list:0", "list:1", "top"], all!.Keys.Order(StringComparer.Ordinal));
        Assert.Equal("pw", all["db:password"]["db:password"]);
        Assert.Equal("x", (await http.GetFromJsonAsync<Dictionary<string, Dictionary<string, string>>>("/v1.0/secrets/several/bulk"))!["db"]["deep.er"]);
    }

    [Fact]
    public async Task The_configuration_says_which_secrets_an_app_may_read()
    {
        using var guarded = sidecars.Http(1);
        Assert.Equal("""{"top":"1"}""", await guarded.GetStringAsync("/v1.0/secrets/flat/top"));
        Assert.Equal((403, "ERR_PERMISSION_DENIED"), await guarded.GetAsync("/v1.0/secrets/flat/db:user").RefusalAsync());
        Assert.Equal(["top"], (await guarded.GetFromJsonAsync<Dictionary<string, Dictionary<string, string>>>("/v1.0/secrets/flat/bulk"))!.Keys);

        // Here one is closed and the others are open; in the environment everything is closed.
        Assert.Equal((403, "ERR_PERMISSION_DENIED"), await guarded.GetAsync("/v1.0/secrets/several/db").RefusalAsync());
        Assert.Equal(200, (await guarded.GetAsync("/v1.0/secrets/several/top").BodyAsync()).Status);
        Assert.Equal((403, "ERR_PERMISSION_DENIED"), await guarded.GetAsync("/v1.0/secrets/environment/color").RefusalAsync());

        using var dapr = sidecars.Client(1);
        var refusal = await Answers.RefusedAsync(() => dapr.GetSecretAsync("flat", "db:user"));
        Assert.Equal((StatusCode.PermissionDenied, "access denied by policy to get \"db:user\" from \"flat\""), (refusal.StatusCode, refusal.Status.Detail));
    }

    [Fact]
    public async Task Without_a_store_there_is_nothing_to_ask()
    {
        using var bare = sidecars.Http(2);
        Assert.Equal((500, "ERR_SECRET_STORES_NOT_CONFIGURED"), await bare.GetAsync("/v1.0/secrets/flat/top").RefusalAsync());
        using var dapr = sidecars.Client(2);
        Assert.Equal(StatusCode.FailedPrecondition, (await Answers.RefusedAsync(() => dapr.GetSecretAsync("flat", "top"))).StatusCode);
    }

    private static async Task<SidecarsUnderTest> StartAsync()
    {
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, """{"top":"1","db":{"user":"ada","password":"pw","deep":{"er":"x"}},"list":["a","b"]}""");
        return await SidecarsUnderTest.StartAsync(Resources.Replace("secrets.json", file, StringComparison.Ordinal), new AppUnderTest("shop"),
            new AppUnderTest("guarded", Configuration: """
                apiVersion: dapr.io/v1alpha1
                kind: Configuration
                metadata: {name: guarded}
                spec:
                  secrets:
                    scopes:
                    - {storeName: flat, defaultAccess: deny, allowedSecrets: [top]}
                    - {storeName: several, deniedSecrets: [db]}
                    - {storeName: environment, defaultAccess: deny}
                """),
            new AppUnderTest("bare", Resources: ""));
    }

    private static async Task<string?> ErrorCodeAsync(HttpResponseMessage answer) =>
        (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("errorCode").GetString();
}
