// Calls the app NEIGHBOUR through the client of PROTOCOL, then serves on APP_PORT until the test has called it.
import { HttpMethod } from "@dapr/dapr";
import { assert, check, client, end, failureOf, grpc, reached, server, untilClosed } from "./checks.mjs";

const app = server();
await app.invoker.listen("greetings", async (call) => ({ hello: JSON.parse(call.body).name, contentType: call.metadata.contentType }), { method: HttpMethod.POST });
await app.invoker.listen("greetings", async (call) => ({ url: call.query, caller: call.headers["dapr-caller-app-id"] }), { method: HttpMethod.GET });
await app.start();

const { invoker } = client();
const neighbour = process.env.NEIGHBOUR;

for (const method of [HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH]) {
  await check(`${method} carries a body there and back`, async () => {
    assert.deepEqual(await invoker.invoke(neighbour, "echo", method, { name: "Ada", lines: [1, 2] }),
      { method: method.toUpperCase(), body: { name: "Ada", lines: [1, 2] }, caller: "node" });
  });
}

for (const method of [HttpMethod.GET, HttpMethod.DELETE]) {
  await check(`${method} needs none`, async () => {
    const answer = await (grpc ? invoker.invoke(neighbour, "echo", method) : invoker.invoke(neighbour, "echo", method, undefined));
    assert.equal(answer.method, method.toUpperCase());
  });
}

await check("a path goes through with its parts", async () => {
  assert.deepEqual(await invoker.invoke(neighbour, "shelves/3/lamps", HttpMethod.GET), { shelf: 3 });
});

await check("a refusal of the app reaches the caller", async () => {
  const failure = await failureOf(() => invoker.invoke(neighbour, "refusal", HttpMethod.POST, { a: 1 }));
  if (grpc) assert.equal(failure.code, 6, failure.text); // 409 as AlreadyExists
  else assert.deepEqual([failure.status, JSON.parse(failure.text).reason], [409, "sold out"]);
});

await check("a route that the app does not have is its 404", async () => {
  const failure = await failureOf(() => invoker.invoke(neighbour, "no/such/route", HttpMethod.GET));
  if (grpc) assert.equal(failure.code, 5, failure.text);
  else assert.equal(failure.status, 404);
});

await check("an app that nobody runs is an error", async () => {
  const failure = await failureOf(() => invoker.invoke("nobody", "echo", HttpMethod.GET));
  if (!grpc) assert.deepEqual([failure.status, failure.errorCode], [500, "ERR_DIRECT_INVOKE"], failure.text);
});

reached("serving");
await untilClosed();
await app.stop();
await end();
