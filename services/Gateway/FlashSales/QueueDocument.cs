using System.Text.Json.Nodes;

namespace Marketplace.Gateway.FlashSales;

/// <summary>What the API description says of the routes that are answered here.</summary>
internal static class QueueDocument
{
    private const string Text = """
        {
          "paths": {
            "/api/v1/flash-sales/{saleId}/queue": {
              "get": {
                "tags": ["flashsales"],
                "summary": "Where the holder of a ticket stands; without one, the countdown. Answered by the gateway itself; ask again after pollAfterSeconds (also Retry-After).",
                "parameters": [
                  { "name": "saleId", "in": "path", "required": true, "schema": { "type": "string", "format": "uuid" } },
                  { "name": "Queue-Ticket", "in": "header", "schema": { "type": "string" }, "description": "As the join gave it. A bearer token that comes along must be its owner's." }
                ],
                "responses": {
                  "200": { "description": "OK", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/gateway.Standing" } } } },
                  "400": { "description": "/problems/ticket-invalid" },
                  "403": { "description": "/problems/ticket-not-yours" },
                  "404": { "description": "No queue for such a sale" },
                  "409": { "description": "/problems/ticket-expired, /problems/ticket-other-sale" },
                  "429": { "description": "Polls too often" },
                  "503": { "description": "Where anybody stands is not known at the moment" }
                }
              }
            },
            "/api/v1/flash-sales/{saleId}/queue/events": {
              "get": {
                "tags": ["flashsales"],
                "summary": "The same as server-sent events named standing, until one is final (sold_out, ended or expired).",
                "parameters": [
                  { "name": "saleId", "in": "path", "required": true, "schema": { "type": "string", "format": "uuid" } },
                  { "name": "Queue-Ticket", "in": "header", "schema": { "type": "string" } },
                  { "name": "ticket", "in": "query", "schema": { "type": "string" }, "description": "For EventSource, which sets no headers." }
                ],
                "responses": {
                  "200": { "description": "A stream", "content": { "text/event-stream": { "schema": { "$ref": "#/components/schemas/gateway.Standing" } } } },
                  "204": { "description": "Last-Event-ID was the final one" },
                  "429": { "description": "/problems/too-many-streams" }
                }
              }
            }
          },
          "schemas": {
            "gateway.Standing": {
              "type": "object",
              "required": ["saleId", "state", "serverTime", "startsAt", "endsAt", "pollAfterSeconds"],
              "properties": {
                "saleId": { "type": "string", "format": "uuid" },
                "state": { "type": "string", "enum": ["before_start", "open", "waiting", "admitted", "expired", "allocated", "sold_out", "ended"] },
                "serverTime": { "type": "string", "format": "date-time" },
                "startsAt": { "type": "string", "format": "date-time" },
                "endsAt": { "type": "string", "format": "date-time" },
                "startsInSeconds": { "type": "integer", "format": "int64" },
                "position": { "type": "integer", "format": "int64", "description": "1 is let in next" },
                "peopleAhead": { "type": "integer", "format": "int64" },
                "waitSeconds": { "type": "integer", "format": "int64", "description": "An estimate" },
                "admittedUntil": { "type": "string", "format": "date-time" },
                "pollAfterSeconds": { "type": "integer", "format": "int32" }
              }
            }
          }
        }
        """;

    public static void AddTo(JsonObject paths, JsonObject schemas)
    {
        var own = JsonNode.Parse(Text)!.AsObject();
        foreach (var (name, path) in own["paths"]!.AsObject().ToList())
        {
            if (paths[name] is not JsonObject known)
                paths[name] = known = [];
            known["get"] = path!["get"]!.DeepClone();
        }
        foreach (var (name, schema) in own["schemas"]!.AsObject())
            schemas[name] = schema!.DeepClone();
    }
}
