using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Marketplace.Bench.Reads;

/// <summary>
/// The verb <c>floor &lt;port&gt; &lt;body file&gt; &lt;header file&gt;</c>: Kestrel and nothing else. Under <c>/body</c> the same body as the product page, elsewhere
/// with the same header fields.
/// </summary>
internal static class Floor
{
    public static async Task RunAsync(string port, string bodyFile, string headerFile)
    {
        var body = await File.ReadAllBytesAsync(bodyFile);
        var fields = (await File.ReadAllLinesAsync(headerFile)).Select(line => line.Split(": ", 2)).Where(field => field[0] is not ("Date" or "Content-Length")).ToArray();

        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{port}");
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.AddServerHeader = false);
        var app = builder.Build();
        app.Run(http =>
        {
            var response = http.Response;
            if (http.Request.Path == "/body")
            {
                response.ContentType = "application/json; charset=utf-8";
            }
            else
            {
                foreach (var field in fields)
                    response.Headers[field[0]] = field[1];
            }

            response.ContentLength = body.Length;
            var writing = response.BodyWriter.WriteAsync(body);
            return writing.IsCompletedSuccessfully ? Task.CompletedTask : writing.AsTask();
        });
        await app.RunAsync();
    }
}
