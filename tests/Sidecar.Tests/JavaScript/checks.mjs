// What every script here shares: a check is one line of JSON on standard output, {"check", "ok", "error"?}, and everything else goes to
// standard error, where the test that started this process shows it when something failed.
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { CommunicationProtocolEnum, DaprClient, DaprServer, LogLevel } from "@dapr/dapr";

console.log = console.error;
console.info = console.debug = () => {}; // the SDK tells every step of a workflow there

export { assert, delay };

export const grpc = process.env.PROTOCOL === "grpc";
const quiet = { level: LogLevel.Error };

export function client(protocol = process.env.PROTOCOL ?? "http") {
  return new DaprClient(
    protocol === "grpc"
      ? { daprPort: process.env.DAPR_GRPC_PORT, communicationProtocol: CommunicationProtocolEnum.GRPC, logger: quiet }
      : { daprPort: process.env.DAPR_HTTP_PORT, communicationProtocol: CommunicationProtocolEnum.HTTP, logger: quiet },
  );
}

export function server() {
  return new DaprServer({
    serverHost: "127.0.0.1",
    serverPort: process.env.APP_PORT,
    communicationProtocol: CommunicationProtocolEnum.HTTP,
    clientOptions: { daprPort: process.env.DAPR_HTTP_PORT, communicationProtocol: CommunicationProtocolEnum.HTTP },
    logger: quiet,
  });
}

function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

/** Runs one check; a failed one does not keep the next from running. */
export async function check(name, body) {
  try {
    await body();
    say({ check: name, ok: true });
  } catch (error) {
    say({ check: name, ok: false, error: String(error?.stack ?? JSON.stringify(error)) });
  }
}

/** Tells the test that the script has come this far. */
export function reached(mark, data) {
  say({ reached: mark, ...data });
}

/** Until the test has done its part: it closes our standard input. */
export async function untilClosed() {
  for await (const _ of process.stdin);
}

/** Waits for what another process does. */
export async function eventually(condition, because, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`Not within ${seconds} s: ${because}`);
    await delay(20);
  }
}

/** The failure of a call. The HTTP client hands some failures back as a value where the gRPC one throws them. */
export async function failureOf(call) {
  try {
    const answer = await call();
    if (answer?.error) return flat(answer.error);
  } catch (error) {
    return flat(error?.error ?? error);
  }
  throw new Error("It should have failed.");
}

// {status, errorCode} over HTTP, {code} over gRPC; the whole text in both.
function flat(error) {
  const text = String(error.message ?? error);
  if (typeof error.code === "number") return { code: error.code, text };
  const { status, error_msg } = JSON.parse(text);
  let errorCode;
  try {
    errorCode = JSON.parse(error_msg).errorCode;
  } catch {
    // An answer of the app itself, passed on as it is.
  }
  return { status, errorCode, text: error_msg };
}

/** The end of every script: the SDK keeps sockets open. */
export async function end() {
  say({ end: true });
  await new Promise((resolve) => process.stdout.write("", resolve));
  process.exit(0);
}
