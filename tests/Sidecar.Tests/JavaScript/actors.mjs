// Actors that live in this app on APP_PORT, called through the sidecar.
import { randomUUID } from "node:crypto";
import { AbstractActor, ActorId, ActorProxyBuilder, Temporal } from "@dapr/dapr";
import { assert, check, client, end, eventually, reached, server, untilClosed } from "./checks.mjs";

const seen = [];
const milliseconds = (n) => Temporal.Duration.from({ milliseconds: n });

// The class's name is the actor type.
class JsTill extends AbstractActor {
  #busy = 0;

  async onActivate() {
    seen.push(`${this.id.getId()} opened`);
  }

  async onDeactivate() {
    seen.push(`${this.id.getId()} closed`);
  }

  async add(amount) {
    const state = this.getStateManager();
    const [known, total] = await state.tryGetState("total");
    await state.setState("total", (known ? total : 0) + amount);
    return (known ? total : 0) + amount;
  }

  async total() {
    return (await this.getStateManager().tryGetState("total"))[1] ?? 0;
  }

  async describe(a, b) {
    return { a, b, id: this.id.getId() };
  }

  async slow() {
    const before = ++this.#busy;
    await new Promise((resolve) => setTimeout(resolve, 30));
    this.#busy--;
    return before;
  }

  async forget() {
    await this.getStateManager().removeState("total");
    return "forgotten";
  }

  async refuse() {
    throw new Error("no change");
  }

  async startTimer(word) {
    await this.registerActorTimer("bell", "onBell", milliseconds(50), milliseconds(50), undefined, word);
  }

  async stopTimer() {
    await this.unregisterActorTimer("bell");
  }

  async onBell(word) {
    seen.push(`${this.id.getId()} bell ${word}`);
  }

  async startReminder(word) {
    await this.registerActorReminder("rent", milliseconds(50), milliseconds(100), undefined, word);
  }

  async stopReminder() {
    await this.unregisterActorReminder("rent");
  }

  async receiveReminder(word) {
    seen.push(`${this.id.getId()} rent ${word}`);
  }
}

const app = server();
await app.actor.init();
await app.actor.registerActor(JsTill);
await app.start();

const dapr = client("http");
const till = (id = randomUUID()) => ({ id, proxy: new ActorProxyBuilder(JsTill, dapr).build(new ActorId(id)) });
const count = (line) => seen.filter((entry) => entry === line).length;

await check("the sidecar hosts the type", async () => {
  await eventually(async () => {
    const metadata = await dapr.metadata.get();
    const actors = metadata.actorRuntime?.activeActors ?? metadata.actors ?? [];
    return actors.some((actor) => actor.type === "JsTill") && metadata.actorRuntime?.hostReady !== false;
  }, "the type is placed");
});

await check("an actor is called, and keeps its state", async () => {
  const one = till();
  assert.equal(await one.proxy.add(5), 5);
  assert.equal(await one.proxy.add(7), 12);
  assert.equal(await one.proxy.total(), 12);
  assert.equal(count(`${one.id} opened`), 1);
});

await check("its state is the sidecar's, not the object's", async () => {
  const one = till();
  await one.proxy.add(5);
  // The sidecar's own view, over the API of the app that hosts it.
  const answer = await fetch(`http://127.0.0.1:${process.env.DAPR_HTTP_PORT}/v1.0/actors/JsTill/${one.id}/state/total`);
  assert.deepEqual([answer.status, await answer.json()], [200, 5]);
  await one.proxy.forget();
  const gone = await fetch(`http://127.0.0.1:${process.env.DAPR_HTTP_PORT}/v1.0/actors/JsTill/${one.id}/state/total`);
  assert.equal(gone.status, 204);
});

await check("several arguments arrive as such", async () => {
  const one = till("with spaces and ü");
  assert.deepEqual(await one.proxy.describe("x", { y: 1 }), { a: "x", b: { y: 1 }, id: "with spaces and ü" });
});

await check("one turn at a time", async () => {
  const one = till();
  assert.deepEqual(await Promise.all(Array.from({ length: 5 }, () => one.proxy.slow())), [1, 1, 1, 1, 1]);
});

// Without arguments: a body that came over gRPC has no content type, as from daprd, and this SDK's server reads none of those.
await check("the gRPC client reaches the same actor", async () => {
  const one = till();
  await one.proxy.add(5);
  assert.equal(await new ActorProxyBuilder(JsTill, client("grpc")).build(new ActorId(one.id)).total(), 5);
});

await check("a failing method is an error of the caller, and the actor goes on", async () => {
  const one = till();
  await assert.rejects(() => one.proxy.refuse());
  assert.equal(await one.proxy.add(1), 1);
});

await check("a timer rings until it is stopped", async () => {
  const one = till();
  await one.proxy.startTimer("ding");
  await eventually(() => count(`${one.id} bell ding`) >= 2, "two rings");
  await one.proxy.stopTimer();
});

await check("a reminder comes until it is taken back", async () => {
  const one = till();
  await one.proxy.startReminder("due");
  await eventually(() => count(`${one.id} rent due`) >= 2, "two reminders");
  await one.proxy.stopReminder();
});

reached("serving");
await untilClosed();
await app.stop();
await end();
