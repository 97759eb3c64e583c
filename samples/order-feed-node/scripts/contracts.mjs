// Writes src/contracts.ts: a type per order event, from the schemas that the services publish by. The file is not committed, so that it
// cannot be older than they are: a changed event shows at the next build, a new one as a topic that src/feed.ts does not handle yet.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { compile } from "json-schema-to-typescript";

const schemas = new URL("../../../services/Shared/Contracts/schemas/", import.meta.url);
const files = (await readdir(schemas)).filter((file) => /^order\..+\.json$/.test(file)).sort();
const events = await Promise.all(files.map(async (file) => ({ topic: file.replace(/\.json$/, ""), schema: JSON.parse(await readFile(new URL(file, schemas), "utf8")) })));

const types = await Promise.all(events.map(({ schema }) => compile(schema, schema.title, { bannerComment: "", additionalProperties: false })));
const source = `// Generated from services/Shared/Contracts/schemas by scripts/contracts.mjs.

${types.join("\n")}
/** What each topic carries. */
export interface OrderEvents {
${events.map(({ topic, schema }) => `  ${JSON.stringify(topic)}: ${schema.title};`).join("\n")}
}

export type OrderTopic = keyof OrderEvents;

export const orderTopics: readonly OrderTopic[] = ${JSON.stringify(events.map(({ topic }) => topic))};
`;
await writeFile(new URL("../src/contracts.ts", import.meta.url), source);
