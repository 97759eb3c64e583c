import { StateConcurrencyEnum, StateConsistencyEnum, type DaprClient } from "@dapr/dapr";
import type { Store } from "./ledger.js";

// Long after any broker or dead letter would bring an event again.
const days = 400;
const strong = { consistency: StateConsistencyEnum.CONSISTENCY_STRONG, concurrency: StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE };

/** The state store of this app, through its sidecar. Reads are bulk reads: the SDK's single read over HTTP gives no ETag. */
export class DaprStore implements Store {
  readonly #dapr: DaprClient;
  readonly #name: string;

  constructor(dapr: DaprClient, name: string) {
    this.#dapr = dapr;
    this.#name = name;
  }

  async read<T>(keys: readonly string[]): Promise<Map<string, { value: T; etag: string }>> {
    const found = new Map<string, { value: T; etag: string }>();
    if (keys.length === 0) return found;
    const items = (await this.#dapr.state.getBulk(this.#name, [...keys], { parallelism: 10 })) as unknown as BulkItem<T>[];
    for (const { key, data, etag, error } of items) {
      if (error) throw new Error(`${key} cannot be read: ${error}`);
      if (etag && data !== undefined && data !== null) found.set(key, { value: data, etag });
    }
    return found;
  }

  async replace(key: string, value: unknown, etag: string | undefined): Promise<boolean> {
    const { error } = await this.#dapr.state.save(this.#name, [{ key, value: value as object, options: { ...strong }, ...(etag && { etag }) }]);
    if (!error) return true;
    if (statusOf(error) === 409) return false;
    // Some stores refuse the first write of what another one just wrote with an error of their own.
    if (!etag && (await this.read([key])).size > 0) return false;
    throw error;
  }

  async write(keys: readonly string[], value: unknown): Promise<void> {
    const metadata = { ttlInSeconds: `${days * 24 * 60 * 60}` };
    const { error } = await this.#dapr.state.save(this.#name, keys.map((key) => ({ key, value: value as object, metadata })));
    if (error) throw error;
  }
}

interface BulkItem<T> {
  key: string;
  data?: T | null;
  etag?: string;
  error?: string;
}

function statusOf(error: Error): number | undefined {
  try {
    return (JSON.parse(error.message) as { status?: number }).status;
  } catch {
    return undefined; // not an answer of the sidecar
  }
}
