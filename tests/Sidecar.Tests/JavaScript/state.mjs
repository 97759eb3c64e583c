// State over the client of PROTOCOL, in the store STORE.
import { randomUUID } from "node:crypto";
import { StateConcurrencyEnum, StateConsistencyEnum } from "@dapr/dapr";
import { assert, check, client, end, eventually, failureOf, grpc } from "./checks.mjs";

const { state } = client();
const store = process.env.STORE;
const key = (name) => `${name}-${randomUUID()}`;
const etagOf = async (name) => (await state.getBulk(store, [name]))[0].etag;
const conflict = (failure) =>
  grpc ? assert.equal(failure.code, 10, failure.text) : assert.deepEqual([failure.status, failure.errorCode], [409, "ERR_STATE_SAVE"], failure.text);

await check("what was saved comes back, text as text and objects as objects", async () => {
  const [text, cart] = [key("text"), key("cart")];
  assert.deepEqual(await state.save(store, [{ key: text, value: "forty two" }, { key: cart, value: { lines: [{ lamp: 2 }], total: 12.5, gift: null } }]), {});
  assert.equal(await state.get(store, text), "forty two");
  assert.deepEqual(await state.get(store, cart), { lines: [{ lamp: 2 }], total: 12.5, gift: null });
});

await check("nothing is an empty answer", async () => {
  assert.equal(await state.get(store, key("nobody")), "");
});

await check("many are read in one call, the missing ones among them", async () => {
  const keys = [key("a"), key("b"), key("c")];
  await state.save(store, [{ key: keys[0], value: { n: 1 } }, { key: keys[1], value: { n: 2 } }]);
  const found = new Map((await state.getBulk(store, keys, { parallelism: 2 })).map((item) => [item.key, item]));
  assert.deepEqual([...found.keys()].sort(), [...keys].sort());
  assert.deepEqual([found.get(keys[0]).data, found.get(keys[1]).data], [{ n: 1 }, { n: 2 }]);
  assert.ok(found.get(keys[0]).etag, "an etag of what exists");
  assert.ok(!found.get(keys[2]).data && !found.get(keys[2]).etag, "nothing of what does not");
});

await check("what was deleted is gone, and deleting it again is no error", async () => {
  const gone = key("gone");
  await state.save(store, [{ key: gone, value: "soon" }]);
  assert.deepEqual(await state.delete(store, gone), {});
  assert.equal(await state.get(store, gone), "");
  assert.deepEqual(await state.delete(store, gone), {});
});

await check("a write with the etag that was read succeeds once", async () => {
  const counter = key("counter");
  await state.save(store, [{ key: counter, value: { n: 1 } }]);
  const etag = await etagOf(counter);
  const options = { concurrency: StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE, consistency: StateConsistencyEnum.CONSISTENCY_STRONG };
  assert.deepEqual(await state.save(store, [{ key: counter, value: { n: 2 }, etag, options }]), {});
  conflict(await failureOf(() => state.save(store, [{ key: counter, value: { n: 3 }, etag, options }])));
  assert.deepEqual(await state.get(store, counter), { n: 2 });
  assert.notEqual(await etagOf(counter), etag);
});

await check("a first write without an etag is refused where something stands", async () => {
  const once = key("once");
  const options = { concurrency: StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE };
  assert.deepEqual(await state.save(store, [{ key: once, value: "first", options }]), {});
  await failureOf(() => state.save(store, [{ key: once, value: "second", options }]));
  assert.equal(await state.get(store, once), "first");
});

await check("a delete with an old etag is refused", async () => {
  const kept = key("kept");
  await state.save(store, [{ key: kept, value: "one" }]);
  const etag = await etagOf(kept);
  await state.save(store, [{ key: kept, value: "two" }]);
  const failure = await failureOf(() => state.delete(store, kept, { etag, concurrency: StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE }));
  if (grpc) assert.equal(failure.code, 10, failure.text);
  else assert.deepEqual([failure.status, failure.errorCode], [409, "ERR_STATE_DELETE"], failure.text);
  assert.equal(await state.get(store, kept), "two");
});

await check("a transaction happens whole", async () => {
  const [stays, goes] = [key("stays"), key("goes")];
  await state.save(store, [{ key: goes, value: "here" }]);
  await state.transaction(store, [
    { operation: "upsert", request: { key: stays, value: "written" } },
    { operation: "delete", request: { key: goes } },
  ]);
  assert.deepEqual([await state.get(store, stays), await state.get(store, goes)], ["written", ""]);
});

await check("a transaction with a stale etag changes nothing", async () => {
  const [guarded, beside] = [key("guarded"), key("beside")];
  await state.save(store, [{ key: guarded, value: "one" }]);
  const etag = await etagOf(guarded);
  await state.save(store, [{ key: guarded, value: "two" }]);
  await failureOf(() => state.transaction(store, [
    { operation: "upsert", request: { key: beside, value: "written" } },
    { operation: "upsert", request: { key: guarded, value: "three", etag, options: { concurrency: StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE } } },
  ]));
  // In Redis the operations beside the refused one stay done: daprd knows no rollback there.
  assert.equal(await state.get(store, guarded), "two");
});

await check("what has a time to live ends", async () => {
  const brief = key("brief");
  await state.save(store, [{ key: brief, value: "short", metadata: { ttlInSeconds: "1" } }]);
  assert.equal(await state.get(store, brief), "short");
  await eventually(async () => (await state.get(store, brief)) === "", "it expires");
});

await check("a store that does not exist is an error of the caller", async () => {
  const failure = await failureOf(() => state.save("no-such-store", [{ key: "a", value: "b" }]));
  if (grpc) assert.equal(failure.code, 3, failure.text);
  else assert.deepEqual([failure.status, failure.errorCode], [400, "ERR_STATE_STORE_NOT_FOUND"], failure.text);
});

await end();
