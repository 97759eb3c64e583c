// Listens on APP_PORT behind the sidecar and publishes through the client of PROTOCOL to itself.
import { randomUUID } from "node:crypto";
import { DaprPubSubStatusEnum } from "@dapr/dapr";
import { assert, check, client, delay, end, eventually, failureOf, grpc, server } from "./checks.mjs";

const app = server();
const { pubsub } = client();
const arrivals = [];
const at = (place) => arrivals.filter((arrival) => arrival.place === place);
const keep = (place, status) => async (data, headers) => {
  arrivals.push({ place, data, headers });
  return typeof status === "function" ? status(data) : status;
};

await app.pubsub.subscribe("pubsub", "js.plain", keep("plain"));
await app.pubsub.subscribe("pubsub", "js.text", keep("text"));
await app.pubsub.subscribe("pubsub", "js.bytes", keep("bytes"), "bytes", { rawPayload: true });
await app.pubsub.subscribe("pubsub", "js.many", keep("many"));
await app.pubsub.subscribeBulk("pubsub", "js.batch", keep("batch"), { maxMessagesCount: 20, maxAwaitDurationMs: 200 });
await app.pubsub.subscribe("pubsub", "js.shaky", keep("shaky", (data) =>
  at("shaky").filter((arrival) => arrival.data.id === data.id).length < 3 ? DaprPubSubStatusEnum.RETRY : DaprPubSubStatusEnum.SUCCESS));
await app.pubsub.subscribeWithOptions("pubsub", "js.doomed", { deadLetterTopic: "js.dead", callback: keep("doomed", DaprPubSubStatusEnum.RETRY) });
await app.pubsub.subscribeWithOptions("pubsub", "js.unwanted", { deadLetterTopic: "js.dead", callback: keep("unwanted", DaprPubSubStatusEnum.DROP) });
await app.pubsub.subscribe("pubsub", "js.dead", keep("dead"));
await app.pubsub.subscribeWithOptions("pubsub", "js.sorted", {
  route: { default: "/other", rules: [{ match: `event.type == "gift"`, path: "/gifts" }] },
});
app.pubsub.subscribeToRoute("pubsub", "js.sorted", "/gifts", keep("gifts"));
app.pubsub.subscribeToRoute("pubsub", "js.sorted", "/other", keep("other"));
await app.start();

const arrived = (place, id) => eventually(() => at(place).find((arrival) => (arrival.data?.id ?? arrival.data) === id), `${id} arrives at ${place}`);

await check("the sidecar asks once what is listened to, and says so", async () => {
  const metadata = await eventually(async () => {
    const known = await client("http").metadata.get();
    return known.subscriptions?.length >= 10 && known;
  }, "the sidecar knows the subscriptions");
  const doomed = metadata.subscriptions.find((subscription) => subscription.topic === "js.doomed");
  assert.equal(doomed.deadLetterTopic, "js.dead");
  assert.equal(doomed.type, "PROGRAMMATIC");
});

// The broker behind a sidecar may need a moment more before the first message is not lost on it.
await check("the first message comes", async () => {
  const id = randomUUID();
  await eventually(async () => {
    await pubsub.publish("pubsub", "js.plain", { id });
    await delay(100);
    return at("plain").some((arrival) => arrival.data.id === id);
  }, "the first message comes");
});

await check("an object arrives as the object it was, once", async () => {
  const event = { id: randomUUID(), lines: [{ lamp: 2 }], note: "für Ada" };
  assert.deepEqual(await pubsub.publish("pubsub", "js.plain", event), {});
  const { data, headers } = await arrived("plain", event.id);
  assert.deepEqual(data, event);
  assert.equal(headers["content-type"], "application/cloudevents+json");
  assert.equal(headers.pubsubname, "pubsub");
  assert.equal(at("plain").filter((arrival) => arrival.data.id === event.id).length, 1);
});

await check("text arrives as text", async () => {
  const text = `text-${randomUUID()}`;
  await pubsub.publish("pubsub", "js.text", text);
  assert.equal((await arrived("text", text)).data, text);
});

await check("a raw payload arrives without an envelope", async () => {
  const event = { id: randomUUID() };
  await pubsub.publish("pubsub", "js.bytes", event, { metadata: { rawPayload: "true" } });
  assert.deepEqual((await arrived("bytes", event.id)).data, event);
});

await check("an envelope of the publisher keeps its type and finds its route", async () => {
  const [gift, other] = [{ id: randomUUID() }, { id: randomUUID() }];
  const envelope = { specversion: "1.0", source: "urn:js", id: randomUUID(), type: "gift", datacontenttype: "application/json", data: gift };
  await pubsub.publish("pubsub", "js.sorted", envelope, { contentType: "application/cloudevents+json" });
  await pubsub.publish("pubsub", "js.sorted", other);
  assert.deepEqual((await arrived("gifts", gift.id)).data, gift);
  assert.deepEqual((await arrived("other", other.id)).data, other);
});

await check("many are published in one call", async () => {
  const ids = Array.from({ length: 20 }, () => randomUUID());
  assert.deepEqual(await pubsub.publishBulk("pubsub", "js.many", ids.map((id) => ({ id }))), { failedMessages: [] });
  await Promise.all(ids.map((id) => arrived("many", id)));
});

await check("many are handed over in one call to who asked for that", async () => {
  const ids = Array.from({ length: 20 }, () => randomUUID());
  await pubsub.publishBulk("pubsub", "js.batch", ids.map((id) => ({ entryID: id, event: { id }, contentType: "application/json" })));
  await Promise.all(ids.map((id) => arrived("batch", id)));
});

await check("RETRY brings it again", async () => {
  const id = randomUUID();
  await pubsub.publish("pubsub", "js.shaky", { id });
  await eventually(() => at("shaky").filter((arrival) => arrival.data.id === id).length === 3, "the third try");
});

await check("what fails to the end goes to the dead letters", async () => {
  const id = randomUUID();
  await pubsub.publish("pubsub", "js.doomed", { id });
  await arrived("dead", id);
  // Once and the retries of the policy that the test gave the component.
  assert.equal(at("doomed").filter((arrival) => arrival.data.id === id).length, 1 + Number(process.env.RETRIES));
});

await check("DROP ends it at the first try, in the dead letters", async () => {
  const id = randomUUID();
  await pubsub.publish("pubsub", "js.unwanted", { id });
  await arrived("dead", id);
  assert.equal(at("unwanted").filter((arrival) => arrival.data.id === id).length, 1);
});

await check("a pub/sub that does not exist is an error of the caller", async () => {
  const failure = await failureOf(() => pubsub.publish("no-such-pubsub", "js.plain", { id: 1 }));
  if (grpc) assert.equal(failure.code, 3, failure.text);
  else assert.deepEqual([failure.status, failure.errorCode], [404, "ERR_PUBSUB_NOT_FOUND"], failure.text);
});

await check("a bulk publish that cannot be done names every message", async () => {
  const answer = await pubsub.publishBulk("no-such-pubsub", "js.many", [{ id: 1 }, { id: 2 }]);
  assert.equal(answer.failedMessages.length, 2);
});

await app.stop();
await end();
