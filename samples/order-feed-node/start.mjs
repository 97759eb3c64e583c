// Installs and builds what is stale, then becomes the service: one process, so that a signal reaches it. With --prepare it ends before.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, openSync, closeSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const schemas = join(here, "../../services/Shared/Contracts/schemas");
process.chdir(here);

await whileNobodyElseBuilds(() => {
  upToDate("node_modules/.installed", ["package-lock.json"], ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], "Installing packages (npm ci)");
  upToDate("dist/.built", ["package-lock.json", "tsconfig.json", ...below("src"), ...below("test"), ...below("scripts"), ...below(schemas)], ["run", "build", "--silent"], "Building (npm run build)");
});
if (!process.argv.includes("--prepare")) await import("./dist/src/main.js");

function below(folder) {
  return readdirSync(folder)
    .filter((file) => file !== "contracts.ts")
    .map((file) => join(folder, file));
}

function upToDate(stamp, inputs, npm, progress) {
  const hash = createHash("sha256");
  for (const file of inputs.sort()) hash.update(file).update("\0").update(readFileSync(file));
  const wanted = hash.digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  console.log(`${progress} …`);
  const { status, error } = spawnSync(process.platform === "win32" ? "npm.cmd" : "npm", npm, { stdio: "inherit", shell: process.platform === "win32" });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
  writeFileSync(stamp, wanted);
}

// Two replicas share this folder. The one that builds writes its process id into a file; one that finds the id of a process that is gone
// takes its place.
async function whileNobodyElseBuilds(build) {
  const lock = ".building";
  for (;;) {
    try {
      const file = openSync(lock, "wx");
      writeSync(file, `${process.pid}`);
      closeSync(file);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      if (!isAlive(lock)) rmSync(lock, { force: true });
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  try {
    build();
  } finally {
    rmSync(lock, { force: true });
  }
}

function isAlive(lock) {
  try {
    const pid = Number(readFileSync(lock, "utf8"));
    if (!pid) return true; // being written this moment
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
