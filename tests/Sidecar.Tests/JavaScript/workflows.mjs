// A workflow worker and both clients: the gRPC one of workflows, and the management API of the HTTP client.
import { randomUUID } from "node:crypto";
import { DaprWorkflowClient, WorkflowRuntime, WorkflowRuntimeStatus } from "@dapr/dapr";
import { assert, check, client, end, eventually, failureOf } from "./checks.mjs";
import { register } from "./basket.mjs";

const place = { daprHost: "127.0.0.1", daprPort: process.env.DAPR_GRPC_PORT };
const runtime = new WorkflowRuntime(place);
register(runtime);
runtime.registerWorkflowWithName("Waits", async function* (context, name) {
  context.setCustomStatus("waiting");
  return `${name}: ${yield context.waitForExternalEvent("Go")}`;
});
runtime.registerWorkflowWithName("Early", async function* (context) {
  const go = context.waitForExternalEvent("Go");
  const limit = context.createTimer(0.05);
  return (yield context.whenAny([go, limit])) === go ? "in time" : "too late";
});
await runtime.start();

const workflows = new DaprWorkflowClient(place);
const management = client("http").workflow;
const outcome = async (id) => {
  const state = await workflows.waitForWorkflowCompletion(id, true, 20);
  return [state.runtimeStatus, state.serializedOutput && JSON.parse(state.serializedOutput)];
};
const status = async (id) => (await workflows.getWorkflowState(id, true))?.runtimeStatus;
// The management API takes an order and does not wait until it is carried out.
const becomes = (id, wanted) => eventually(async () => (await management.get(id)).runtimeStatus === wanted, `it becomes ${wanted}`);

await check("one of everything", async () => {
  const id = await workflows.scheduleNewWorkflow("Basket", { id: randomUUID(), prices: [3, 4, 5] });
  await workflows.raiseEvent(id, "paid", { by: "card" });
  assert.deepEqual(await outcome(id), [WorkflowRuntimeStatus.COMPLETED, { sum: 1200, paidBy: "card", parcel: "wrapped in red ribbon" }]);
});

await check("it begins anew", async () => {
  const id = await workflows.scheduleNewWorkflow("Rounds", 1);
  assert.deepEqual(await outcome(id), [WorkflowRuntimeStatus.COMPLETED, "round 3 at 300"]);
});

await check("a failure that nobody catches is the workflow's", async () => {
  const id = await workflows.scheduleNewWorkflow("Refused", randomUUID());
  const state = await workflows.waitForWorkflowCompletion(id, true, 20);
  assert.equal(state.runtimeStatus, WorkflowRuntimeStatus.FAILED);
  assert.match(state.workflowFailureDetails.getErrorMessage(), /not yet/);
});

await check("a start waits for the first turn, and shows its status", async () => {
  const id = `waits-${randomUUID()}`;
  assert.equal(await workflows.scheduleNewWorkflow("Waits", "Ada", id), id);
  const state = await workflows.waitForWorkflowStart(id, true, 20);
  assert.deepEqual([state.name, state.instanceId, JSON.parse(state.serializedInput)], ["Waits", id, "Ada"]);
  await eventually(async () => (await workflows.getWorkflowState(id, true)).customStatus?.includes("waiting"), "its own status is there");
  await workflows.raiseEvent(id, "Go", "now");
  assert.deepEqual(await outcome(id), [WorkflowRuntimeStatus.COMPLETED, "Ada: now"]);
});

await check("an id that runs is not started again", async () => {
  const id = await workflows.scheduleNewWorkflow("Waits", "Ada");
  await assert.rejects(() => workflows.scheduleNewWorkflow("Waits", "Bruno", id), /already exists/);
  await workflows.terminateWorkflow(id, "enough");
});

await check("a timer wins over an event that does not come", async () => {
  const id = await workflows.scheduleNewWorkflow("Early", "x");
  assert.deepEqual(await outcome(id), [WorkflowRuntimeStatus.COMPLETED, "too late"]);
});

await check("a start in the future waits for it", async () => {
  const at = new Date(Date.now() + 1500);
  const id = await workflows.scheduleNewWorkflow("Rounds", 3, undefined, at);
  assert.equal(await status(id), WorkflowRuntimeStatus.PENDING);
  await outcome(id);
  assert.ok(Date.now() >= at.getTime(), "not before its time");
});

await check("paused, it stands still; resumed, it goes on", async () => {
  const id = await workflows.scheduleNewWorkflow("Waits", "Ada");
  await workflows.suspendWorkflow(id);
  assert.equal(await status(id), WorkflowRuntimeStatus.SUSPENDED);
  await workflows.raiseEvent(id, "Go", "later");
  await workflows.resumeWorkflow(id);
  assert.deepEqual(await outcome(id), [WorkflowRuntimeStatus.COMPLETED, "Ada: later"]);
});

await check("terminated, it ends with what was said; purged, it is gone", async () => {
  const id = await workflows.scheduleNewWorkflow("Waits", "Ada");
  await workflows.terminateWorkflow(id, "fraud");
  assert.deepEqual(await outcome(id), [WorkflowRuntimeStatus.TERMINATED, "fraud"]);
  assert.equal(await workflows.purgeWorkflow(id), true);
  assert.equal(await workflows.getWorkflowState(id, true), undefined);
});

await check("over HTTP: start, pause, resume, raise, state", async () => {
  const id = randomUUID();
  assert.equal(await management.start("Waits", { name: "Ada" }, id), id);
  await becomes(id, "RUNNING");
  await management.pause(id);
  await becomes(id, "SUSPENDED");
  await management.resume(id);
  await management.raise(id, "Go", { when: "now" });
  await becomes(id, "COMPLETED");
  const state = await management.get(id);
  assert.deepEqual([state.instanceID, state.workflowName, state.properties["dapr.workflow.output"]], [id, "Waits", `"[object Object]: [object Object]"`]);
  await management.purge(id);
  const failure = await failureOf(() => management.get(id));
  assert.deepEqual([failure.status, failure.errorCode], [404, "ERR_INSTANCE_ID_NOT_FOUND"], failure.text);
});

await check("over HTTP: terminate", async () => {
  const id = await management.start("Waits", { name: "Ada" });
  await becomes(id, "RUNNING");
  await management.terminate(id);
  await becomes(id, "TERMINATED");
});

await workflows.stop();
await runtime.stop();
await end();
