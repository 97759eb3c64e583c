import assert from "node:assert/strict";
import { test } from "node:test";
import type { OrderTopic } from "../src/contracts.js";
import { advance, emptyFeed, factOf, type Fact, type Feed } from "../src/feed.js";
import { Ledger, type Store } from "../src/ledger.js";

const gbp = (minor: number) => ({ minor, currency: "GBP" });
const fact = (topic: OrderTopic, orderId: string, minor?: number, second = 0): Fact => ({
  topic,
  orderId,
  at: new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString(),
  ...(minor !== undefined && { total: gbp(minor) }),
});
const after = (...facts: Fact[]) => facts.reduce<Feed>((feed, one) => advance(feed, new Set(), [one]).feed ?? feed, emptyFeed);

test("revenue is what was confirmed and not cancelled, whichever came first", () => {
  const [confirmed, cancelled] = [fact("order.confirmed", "a", 500), fact("order.cancelled", "a", 500)];
  assert.deepEqual(after(confirmed).revenue, { GBP: 500 });
  assert.equal(after(confirmed, cancelled).revenue["GBP"], 0);
  assert.deepEqual(after(cancelled, confirmed).revenue, {});
  assert.deepEqual(after(cancelled).revenue, {}); // never confirmed, so nothing was earned
});

test("an order counts once per topic", () => {
  const twice = after(fact("order.payment_failed", "a", 500), fact("order.payment_failed", "a", 500), fact("order.confirmed", "a", 500), fact("order.confirmed", "a", 500));
  assert.deepEqual(twice.orders, { "order.payment_failed": 1, "order.confirmed": 1 });
  assert.deepEqual(twice.revenue, { GBP: 500 });
});

test("currencies are not mixed", () => {
  const euro: Fact = { ...fact("order.confirmed", "b"), total: { minor: 300, currency: "EUR" } };
  assert.deepEqual(after(fact("order.confirmed", "a", 500), euro).revenue, { GBP: 500, EUR: 300 });
});

test("the newest orders come first, each as it stands", () => {
  const feed = after(
    fact("order.confirmed", "a", 500, 3),
    fact("order.created", "b", 100, 2),
    fact("order.created", "a", 500, 1), // late
  );
  assert.deepEqual(feed.recent.map(({ orderId, status }) => [orderId, status]), [["a", "confirmed"], ["b", "created"]]);
  const many = Array.from({ length: 50 }, (_, n) => fact("order.created", `${n}`, 1, n));
  assert.deepEqual(after(...many).recent.map(({ orderId }) => Number(orderId)), Array.from({ length: 20 }, (_, n) => 49 - n));
});

test("what has a record is not counted again, and is open no longer", () => {
  const first = after(fact("order.confirmed", "a", 500));
  assert.deepEqual(advance(first, new Set(["order.confirmed-a"]), [fact("order.confirmed", "a", 500)]), { toRecord: [] });
  const next = advance(first, new Set(["order.confirmed-a"]), [fact("order.confirmed", "b", 200)]);
  assert.deepEqual(next.feed?.open, ["order.confirmed-b"]);
  assert.deepEqual(next.feed?.revenue, { GBP: 700 });
});

test("an event that is none is named, not counted", () => {
  assert.equal(factOf("order.confirmed", undefined), "it holds no object");
  assert.equal(factOf("order.confirmed", { occurredAt: "2026-01-01T00:00:00Z" }), "it names no order");
  assert.equal(factOf("order.confirmed", { orderId: "a", occurredAt: "soon" }), "it does not say when");
  assert.equal(factOf("order.confirmed", { orderId: "a", occurredAt: "2026-01-01T00:00:00Z" }), "it has no total");
  assert.equal(factOf("order.confirmed", { orderId: "a", occurredAt: "2026-01-01T00:00:00Z", total: { minor: 1.5, currency: "GBP" } }), "its total is no amount");
  assert.equal(typeof factOf("order.delivered", { orderId: "a", occurredAt: "2026-01-01T00:00:00Z" }), "object");
});

test("two replicas that write at once, die between two writes and hear everything again count each order once", async () => {
  for (let round = 0; round < 20; round++) {
    const store = new ShakyStore();
    const facts = Array.from({ length: 30 }, (_, n) => [fact("order.created", `${n}`, 10), fact("order.confirmed", `${n}`, 10), ...(n % 3 === 0 ? [fact("order.cancelled", `${n}`, 10)] : [])]).flat();
    const deliver = async (one: Fact, replica: Ledger) => replica.count(one).then(() => true, () => false);
    let left = [...facts, ...facts];
    while (left.length > 0) {
      // Each pass is two fresh replicas: what the last ones had in memory is lost.
      const replicas = [new Ledger(store), new Ledger(store)] as const;
      const done = await Promise.all(left.map((one) => deliver(one, replicas[Math.random() < 0.5 ? 0 : 1])));
      left = left.filter((_, n) => !done[n]).concat(Math.random() < 0.3 ? facts.slice(0, 5) : []);
    }
    const feed = await new Ledger(store).feed();
    assert.deepEqual(feed.orders, { "order.created": 30, "order.confirmed": 30, "order.cancelled": 10 });
    assert.deepEqual(feed.revenue, { GBP: 200 });
  }
});

/** A store that takes its time and now and then does what it was asked and then fails, or fails before. */
class ShakyStore implements Store {
  readonly #items = new Map<string, { value: string; version: number }>();

  async read<T>(keys: readonly string[]): Promise<Map<string, { value: T; etag: string }>> {
    await pause();
    return new Map(keys.flatMap((key) => {
      const item = this.#items.get(key);
      return item ? [[key, { value: JSON.parse(item.value) as T, etag: `${item.version}` }] as const] : [];
    }));
  }

  async replace(key: string, value: unknown, etag: string | undefined): Promise<boolean> {
    await pause();
    const item = this.#items.get(key);
    if ((item ? `${item.version}` : undefined) !== etag) return false;
    this.#items.set(key, { value: JSON.stringify(value), version: (item?.version ?? 0) + 1 });
    shake();
    return true;
  }

  async write(keys: readonly string[], value: unknown): Promise<void> {
    await pause();
    shake();
    for (const key of keys) this.#items.set(key, { value: JSON.stringify(value), version: 1 });
    shake();
  }
}

function shake(): void {
  if (Math.random() < 0.1) throw new Error("the connection broke");
}

function pause(): Promise<void> {
  return new Promise((resolve) => (Math.random() < 0.5 ? setImmediate(resolve) : setTimeout(resolve, Math.random() * 2)));
}
