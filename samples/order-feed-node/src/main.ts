import { createHash, timingSafeEqual } from "node:crypto";
import { CommunicationProtocolEnum, DaprPubSubStatusEnum, DaprServer, LogLevel } from "@dapr/dapr";
import express from "express";
import { orderTopics, type OrderTopic } from "./contracts.js";
import { DaprStore } from "./dapr-store.js";
import { factOf } from "./feed.js";
import { Ledger } from "./ledger.js";

const pubsub = "pubsub";
const deadLetters = "order-feed.dead";
const host = process.env["HOST"] ?? "127.0.0.1";
const port = process.env["APP_PORT"] ?? "8120";
const logger = { level: LogLevel.Warn };

let stopping = false;

// ---- Who may call: the sidecar, which proves itself by APP_API_TOKEN. Without that variable everything but the probes is closed. ----

const digest = (text: string) => createHash("sha256").update(text).digest();
const expected = process.env["APP_API_TOKEN"] ? digest(process.env["APP_API_TOKEN"]) : undefined;
if (!expected) console.warn("APP_API_TOKEN is not set: events and calls are refused.");

const http = express();
http.disable("x-powered-by");
http.get("/livez", (_, answer) => void answer.send("alive"));
http.get("/readyz", (_, answer) => void answer.status(stopping ? 503 : 200).send(stopping ? "stopping" : "ready"));
http.use((request, answer, next) => {
  if (expected && timingSafeEqual(expected, digest(request.get("dapr-api-token") ?? ""))) next();
  else answer.status(401).end();
});

// The SDK listens on every address of the machine; the sidecar is on this one.
const listen = http.listen.bind(http) as (port: number, host: string) => ReturnType<typeof http.listen>;
http.listen = ((at: number) => listen(at, host)) as typeof http.listen;

const server = new DaprServer({
  serverHost: host,
  serverPort: port,
  serverHttp: http,
  communicationProtocol: CommunicationProtocolEnum.HTTP,
  clientOptions: { communicationProtocol: CommunicationProtocolEnum.HTTP },
  logger,
});
const ledger = new Ledger(new DaprStore(server.client, "order-feed"));

// ---- What we listen to: every topic by its name, as most brokers have no wildcard ----

for (const topic of orderTopics) {
  await server.pubsub.subscribeWithOptions(pubsub, topic, {
    deadLetterTopic: deadLetters,
    callback: (event: unknown) => onEvent(topic, event),
  });
}
// What was given up on is kept by the broker's topic only while somebody listens; the log is what an operator searches.
await server.pubsub.subscribe(pubsub, deadLetters, async (event: unknown) => {
  console.error(`Given up: ${JSON.stringify(event)}`);
});

/** The SDK takes a handler that throws for one that succeeded, so that a failure has to be an answer here. */
async function onEvent(topic: OrderTopic, event: unknown): Promise<DaprPubSubStatusEnum> {
  const fact = factOf(topic, event as Parameters<typeof factOf>[1]);
  if (typeof fact === "string") {
    console.warn(`An event on ${topic} is given up: ${fact}.`);
    return DaprPubSubStatusEnum.DROP;
  }
  try {
    await ledger.count(fact);
    return DaprPubSubStatusEnum.SUCCESS;
  } catch (error) {
    console.warn(`${topic} of order ${fact.orderId} comes again: ${error}`);
    return DaprPubSubStatusEnum.RETRY;
  }
}

// ---- What we answer over invocation. Plain routes: the SDK's own listener knows no other status than 200. ----

const answering = (body: () => Promise<object>): express.RequestHandler => (_, answer, next) => void body().then((json) => answer.json(json)).catch(next);

http.get("/totals", answering(async () => {
  const { orders, revenue } = await ledger.feed();
  return {
    orders: Object.fromEntries(orderTopics.map((topic) => [topic.replace(/^order\./, ""), orders[topic] ?? 0])),
    revenue: Object.entries(revenue).map(([currency, minor]) => ({ minor, currency })),
  };
}));
http.get("/orders/recent", answering(async () => ({ items: (await ledger.feed()).recent })));
http.use(((error, _request, answer, _next) => {
  console.warn(`Not answered: ${error}`);
  answer.status(503).type("application/problem+json").send({ type: "/problems/unavailable", title: "The feed cannot be read just now.", status: 503 });
}) satisfies express.ErrorRequestHandler);

// ---- From start to stop ----

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    stopping = true;
    // Takes no new calls, lets those under way end, closes the rest after a few seconds.
    void server.stop().then(() => process.exit(0));
  });
}
await server.start();
console.log(`order-feed listens on ${host}:${port} to ${orderTopics.join(", ")}`);
