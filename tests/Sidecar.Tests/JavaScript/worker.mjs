// Runs the workflows of basket.mjs until the test is done with them.
import { WorkflowRuntime } from "@dapr/dapr";
import { check, end, reached, untilClosed } from "./checks.mjs";
import { register } from "./basket.mjs";

const runtime = new WorkflowRuntime({ daprHost: "127.0.0.1", daprPort: process.env.DAPR_GRPC_PORT });
register(runtime);
await check("the worker starts", () => runtime.start());
reached("working");
await untilClosed();
await check("the worker stops", () => runtime.stop());
await end();
