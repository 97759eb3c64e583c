import type { OrderEvents, OrderTopic } from "./contracts.js";

// What is known about all orders, and how one more fact changes it. No I/O: what is read and written around it is in ledger.ts.

export interface Money {
  minor: number;
  currency: string;
}

/** What the feed takes from an event. An order counts once per topic, however often and in whatever order its events come. */
export interface Fact {
  topic: OrderTopic;
  orderId: string;
  at: string;
  total?: Money;
}

export interface RecentOrder {
  orderId: string;
  status: string;
  total?: Money;
  at: string;
}

export interface Feed {
  /** Orders per topic. */
  orders: Record<string, number>;
  /** Totals of orders that were confirmed and not cancelled, per currency, in minor units. */
  revenue: Record<string, number>;
  /** Newest first. */
  recent: RecentOrder[];
  /** What is counted above and may not be on record under a key of its own yet. */
  open: string[];
}

export const emptyFeed: Feed = { orders: {}, revenue: {}, recent: [], open: [] };

const remembered = 20;

/** The fact in an event, or why it is none. */
export function factOf<T extends OrderTopic>(topic: T, event: Partial<OrderEvents[T]> | undefined): Fact | string {
  if (typeof event !== "object" || event === null) return "it holds no object";
  const { orderId, occurredAt } = event;
  if (typeof orderId !== "string" || orderId === "") return "it names no order";
  if (typeof occurredAt !== "string" || Number.isNaN(Date.parse(occurredAt))) return "it does not say when";
  const fact: Fact = { topic, orderId, at: new Date(occurredAt).toISOString() };
  if (!("total" in event)) return needsTotal(topic) ? "it has no total" : fact;
  const { total } = event as { total: Partial<Money> };
  if (!Number.isSafeInteger(total?.minor) || typeof total.currency !== "string") return "its total is no amount";
  return { ...fact, total: { minor: total.minor as number, currency: total.currency } };
}

/** The key of the record that a fact was counted. */
export function keyOf({ topic, orderId }: Fact): string {
  return `${topic}-${orderId}`;
}

/** What has to be known before a fact can be counted: that it was not, and for money whether the opposite was. */
export function keysAround(fact: Fact): string[] {
  const other = opposite(fact.topic);
  return other ? [keyOf(fact), keyOf({ ...fact, topic: other })] : [keyOf(fact)];
}

/**
 * The feed after some more facts.
 * @param recorded which of `feed.open` and of the keys around the facts have a record, read after the feed was
 * @returns the facts' keys that need a record, and the feed if it has changed
 */
export function advance(feed: Feed, recorded: ReadonlySet<string>, facts: readonly Fact[]): { feed?: Feed; toRecord: string[] } {
  const next: Feed = {
    orders: { ...feed.orders },
    revenue: { ...feed.revenue },
    recent: feed.recent,
    open: feed.open.filter((key) => !recorded.has(key)),
  };
  const counted = new Set([...recorded, ...feed.open]);
  const toRecord = new Set<string>();
  let changed = false;
  for (const fact of facts) {
    const key = keyOf(fact);
    if (!recorded.has(key)) toRecord.add(key);
    if (counted.has(key)) continue;
    counted.add(key);
    next.open.push(key);
    next.orders[fact.topic] = (next.orders[fact.topic] ?? 0) + 1;
    const earned = earnedBy(fact, counted);
    if (earned) next.revenue[earned.currency] = (next.revenue[earned.currency] ?? 0) + earned.minor;
    next.recent = withFact(next.recent, fact);
    changed = true;
  }
  return changed ? { feed: next, toRecord: [...toRecord] } : { toRecord: [...toRecord] };
}

/** Revenue is what was confirmed and not cancelled; which of the two we hear first makes no difference. */
function earnedBy(fact: Fact, counted: ReadonlySet<string>): Money | undefined {
  const other = opposite(fact.topic);
  if (!fact.total || !other) return undefined;
  const otherKnown = counted.has(keyOf({ ...fact, topic: other }));
  if (fact.topic === "order.confirmed") return otherKnown ? undefined : fact.total;
  return otherKnown ? { ...fact.total, minor: -fact.total.minor } : undefined;
}

function opposite(topic: OrderTopic): OrderTopic | undefined {
  switch (topic) {
    case "order.confirmed":
      return "order.cancelled";
    case "order.cancelled":
      return "order.confirmed";
    case "order.created":
    case "order.payment_failed":
    case "order.failed":
    case "order.delivered":
      return undefined;
  }
}

function needsTotal(topic: OrderTopic): boolean {
  return topic === "order.confirmed" || topic === "order.cancelled";
}

function withFact(recent: readonly RecentOrder[], fact: Fact): RecentOrder[] {
  const before = recent.find((order) => order.orderId === fact.orderId);
  const newer = !before || fact.at >= before.at;
  const total = fact.total ?? before?.total;
  const order: RecentOrder = {
    orderId: fact.orderId,
    status: newer ? fact.topic.replace(/^order\./, "") : before.status,
    at: newer ? fact.at : before.at,
    ...(total && { total }),
  };
  return [order, ...recent.filter((other) => other !== before)].sort((a, b) => b.at.localeCompare(a.at)).slice(0, remembered);
}
