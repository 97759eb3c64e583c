// The workflows of tests/OfficialWorker/Basket.cs in JavaScript: each must leave the same history. The SDK has no retry policy: what a
// policy does is written out, a timer and the call again.
const price = { name: "Price", run: async (_, amount) => amount * 100 };
const reserve = { name: "Reserve", run: async (_, order) => `reserved ${order}` };
const ribbon = { name: "Ribbon", run: async (_, colour) => `${colour} ribbon` };
const tried = new Set();
const shaky = {
  name: "Shaky",
  run: async (_, order) => {
    if (tried.has(order)) return "done";
    tried.add(order);
    throw new Error(`not yet, ${order}`);
  },
};

async function* basket(context, order) {
  yield context.callActivity("Reserve", order.id);
  try {
    yield context.callActivity("Shaky", order.id);
  } catch {
    yield context.createTimer(0.05);
    yield context.callActivity("Shaky", order.id);
  }
  const prices = yield context.whenAll(order.prices.map((amount) => context.callActivity("Price", amount)));
  const payment = yield context.waitForExternalEvent("Paid");
  yield context.createTimer(0.05);
  const parcel = yield context.callChildWorkflow("Wrap", "red", `${context.getWorkflowInstanceId()}-parcel`);
  return { sum: prices.reduce((sum, amount) => sum + amount), paidBy: payment.by, parcel };
}

async function* wrap(context, colour) {
  return `wrapped in ${yield context.callActivity("Ribbon", colour)}`;
}

async function* rounds(context, round) {
  const amount = yield context.callActivity("Price", round);
  if (round === 3) return `round ${round} at ${amount}`;
  context.continueAsNew(round + 1, true);
}

async function* refused(context, id) {
  return yield context.callActivity("Shaky", id);
}

export function register(runtime) {
  for (const { name, run } of [price, reserve, ribbon, shaky]) runtime.registerActivityWithName(name, run);
  for (const [name, run] of Object.entries({ Basket: basket, Wrap: wrap, Rounds: rounds, Refused: refused })) runtime.registerWorkflowWithName(name, run);
}
