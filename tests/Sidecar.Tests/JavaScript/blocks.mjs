// Bindings, secrets, locks and metadata over the client of PROTOCOL; the app listens on APP_PORT for the ticks of an input binding.
import { randomUUID } from "node:crypto";
import { LockStatus } from "@dapr/dapr/types/lock/UnlockResponse.js";
import { assert, check, client, end, eventually, failureOf, grpc, server } from "./checks.mjs";

const app = server();
let ticks = 0;
await app.binding.receive("ticks", async () => {
  if (++ticks === 1) throw new Error("the first one is not taken");
});
await app.start();
const dapr = client();
const text = (answer) => (grpc ? Buffer.from(answer.data).toString() : answer);

await check("token: nobody gets in without", async () => {
  const answer = await fetch(`http://127.0.0.1:${process.env.DAPR_HTTP_PORT}/v1.0/metadata`);
  assert.equal(answer.status, 401);
});

await check("binding: a file is written, read and removed", async () => {
  const metadata = { fileName: `${randomUUID()}.txt` };
  await dapr.binding.send("files", "create", "good morning", metadata);
  assert.equal(text(await dapr.binding.send("files", "get", undefined, metadata)), "good morning");
  await dapr.binding.send("files", "delete", undefined, metadata);
  const failure = await failureOf(() => dapr.binding.send("files", "get", undefined, metadata));
  if (!grpc) assert.deepEqual([failure.status, failure.errorCode], [500, "ERR_INVOKE_OUTPUT_BINDING"], failure.text);
});

await check("binding: what it cannot do is an error that says so", async () => {
  const failure = await failureOf(() => dapr.binding.send("files", "sing", "la"));
  assert.match(failure.text, /does not support operation sing/);
});

await check("binding: events come in, and after one that was refused the next", async () => {
  await eventually(() => ticks >= 2, "two ticks");
});

await check("secrets: one by its name", async () => {
  assert.deepEqual(await dapr.secret.get("secrets", "key"), { key: "s3cret" });
  assert.deepEqual(await dapr.secret.get("secrets", "nested:inner"), { "nested:inner": "deep" });
});

await check("secrets: all that the app may see", async () => {
  const all = await dapr.secret.getBulk("secrets");
  assert.deepEqual(all.key, { key: "s3cret" });
});

await check("secrets: one that does not exist is an error", async () => {
  const failure = await failureOf(() => dapr.secret.get("secrets", "nobody"));
  if (!grpc) assert.deepEqual([failure.status, failure.errorCode], [500, "ERR_SECRET_GET"], failure.text);
});

await check("secrets: neither is a store that does not", async () => {
  const failure = await failureOf(() => dapr.secret.get("no-such-store", "key"));
  if (grpc) assert.equal(failure.code, 3, failure.text);
  else assert.equal(failure.errorCode, "ERR_SECRET_STORE_NOT_FOUND", failure.text);
});

await check("lock: one owner at a time, and only it lets go", async () => {
  const till = randomUUID();
  assert.deepEqual(await dapr.lock.lock("locks", till, "ada", 30), { success: true });
  assert.deepEqual(await dapr.lock.lock("locks", till, "bruno", 30), { success: false });
  assert.deepEqual(await dapr.lock.unlock("locks", till, "bruno"), { status: LockStatus.LockBelongsToOthers });
  assert.deepEqual(await dapr.lock.unlock("locks", till, "ada"), { status: LockStatus.Success });
  assert.deepEqual(await dapr.lock.unlock("locks", till, "ada"), { status: LockStatus.LockDoesNotExist });
  assert.deepEqual(await dapr.lock.lock("locks", till, "bruno", 30), { success: true });
});

await check("lock: it ends by itself", async () => {
  const till = randomUUID();
  await dapr.lock.lock("locks", till, "ada", 1);
  await eventually(async () => (await dapr.lock.lock("locks", till, "bruno", 1)).success, "the lock ends");
});

await check("metadata: who we are and what we have", async () => {
  const metadata = await dapr.metadata.get();
  assert.equal(metadata.id, "node");
  const files = metadata.components.find((component) => component.name === "files");
  assert.deepEqual([files.type, files.version], ["bindings.localstorage", "v1"]);
});

await check("metadata: a note of the app", async () => {
  const name = `note-${grpc ? "grpc" : "http"}`;
  assert.equal(await dapr.metadata.set(name, "open"), true);
  assert.equal((await dapr.metadata.get()).extended[name], "open");
});

await check("health: it is", async () => {
  assert.equal(await dapr.health.isHealthy(), true);
});

await app.stop();
await end();
